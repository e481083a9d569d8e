//! The fake Gerrit as a bot's tests see it.

use std::process::Command;

use futures_util::TryStreamExt as _;
use gerrit::test_support::{FakeGerrit, Label, Push};
use gerrit::types::*;
use gerrit::{Auth, ChangeOption, Client, Config, ErrorKind, FilePath, Query, RevisionId};

fn with_project() -> FakeGerrit {
    let fake = FakeGerrit::new();
    fake.add_project("tools/build").unwrap();
    fake.add_account("bot").unwrap();
    fake
}

#[tokio::test]
async fn a_bot_reviews_what_waits_for_it() {
    let fake = with_project();
    let waiting = fake
        .push(&Push::new("tools/build", "one").file("a.go", "package a\n"))
        .unwrap();
    fake.push(&Push::new("tools/build", "two")).unwrap();
    let admin = fake.client("admin");
    let tag = HashtagsInput::default().adding("wait-bot");
    admin.change(waiting).set_hashtags(&tag).await.unwrap();

    let bot = fake.client("bot");
    let query = Query::is("open")
        .unwrap()
        .and(Query::field("hashtag", "wait-bot").unwrap());
    let found: Vec<_> = bot.changes(query).stream().try_collect().await.unwrap();
    assert_eq!(
        found.iter().map(|one| one.number).collect::<Vec<_>>(),
        [waiting]
    );
    let review = ReviewInput::default()
        .message("Seen.")
        .vote("Code-Review", 1);
    bot.change(waiting)
        .revision(RevisionId::current())
        .review(&review)
        .await
        .unwrap();
    let change = admin.change(waiting).detail([]).await.unwrap();
    assert_eq!(
        change.labels["Code-Review"]
            .recommended
            .as_ref()
            .unwrap()
            .username,
        "bot"
    );
    let file = FilePath::new("a.go").unwrap();
    let content = admin.change(waiting).revision(1).file_content(&file).await;
    let content: Vec<_> = content.unwrap().try_collect().await.unwrap();
    assert_eq!(content.concat(), b"package a\n");
}

#[tokio::test]
async fn a_new_patch_set_has_no_votes() {
    let fake = with_project();
    let push =
        Push::new("tools/build", "one").change_id("I0000000000000000000000000000000000000001");
    let number = fake.push(&push.clone().file("a", "1\n2\n")).unwrap();
    let change = fake.client("admin").change(number);
    let vote = ReviewInput::default().vote("Code-Review", 2);
    change.revision(1).review(&vote).await.unwrap();
    assert_eq!(fake.push(&push.file("a", "1\n3\n4\n")).unwrap(), number);
    let options = [
        ChangeOption::AllRevisions,
        ChangeOption::CurrentFiles,
        ChangeOption::Submittable,
    ];
    let detail = change.detail(options).await.unwrap();
    assert_eq!(
        (detail.current_revision_number, detail.submittable),
        (2, Some(false))
    );
    assert_eq!((detail.revisions.len(), detail.insertions), (2, 3));
    assert_eq!(
        change.submit(None).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    let gone = fake
        .client("admin")
        .change(number)
        .revision(3)
        .files()
        .await
        .unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn labels_of_a_test_count() {
    let fake = with_project();
    fake.add_label(Label::new("TryBot-Result", -1..=1));
    fake.add_label(Label::new("Run-TryBot", -1..=1).optional());
    let number = fake.push(&Push::new("tools/build", "one")).unwrap();
    let admin = fake.client("admin").change(number);
    let bot = fake.client("bot").change(number);
    admin
        .revision(1)
        .review(&ReviewInput::default().vote("Code-Review", 2))
        .await
        .unwrap();
    bot.revision(1)
        .review(&ReviewInput::default().vote("TryBot-Result", -1))
        .await
        .unwrap();
    let refused = admin.submit(None).await.unwrap_err();
    assert!(
        refused
            .status()
            .unwrap()
            .body()
            .contains("'TryBot-Result' is unsatisfied"),
        "{refused}"
    );
    bot.revision(1)
        .review(&ReviewInput::default().vote("TryBot-Result", 1))
        .await
        .unwrap();
    assert_eq!(
        admin.submit(None).await.unwrap().status,
        Some(ChangeStatus::Merged)
    );
}

#[tokio::test]
async fn changes_that_touch_the_same_lines_conflict() {
    let fake = with_project();
    let push = |subject: &str, content: &str| Push::new("tools/build", subject).file("a", content);
    let mut changes = Vec::new();
    for (subject, content) in [("one", "1\n"), ("two", "2\n"), ("three", "1\n")] {
        changes.push(fake.push(&push(subject, content)).unwrap());
    }
    let other = fake
        .push(&Push::new("tools/build", "other").file("b", "b\n"))
        .unwrap();
    changes.push(other);
    let admin = fake.client("admin");
    let vote = ReviewInput::default().vote("Code-Review", 2);
    let mut merged = Vec::new();
    for number in changes {
        let change = admin.change(number);
        change.revision(1).review(&vote).await.unwrap();
        merged.push(change.submit(None).await.is_ok());
    }
    assert_eq!(merged, [true, false, true, true]);
}

#[tokio::test]
async fn failures_come_when_they_are_ordered() {
    let fake = with_project();
    fake.fail_next(1, 503);
    // One that reads is tried again.
    fake.client("bot").projects().await.unwrap();
    assert_eq!(fake.requests(), 2);
    fake.fail_next(1, 500);
    let input = ChangeInput::default()
        .project("tools/build")
        .branch("master")
        .subject("x");
    let failed = fake.client("bot").create_change(&input).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Server);
    assert!(
        fake.anonymous()
            .changes(Query::is("open").unwrap())
            .all()
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn searches_come_in_pages_the_newest_first() {
    let fake = with_project();
    let numbers: Vec<u64> = (0..5)
        .map(|at| {
            fake.push(&Push::new("tools/build", format!("number {at}")))
                .unwrap()
        })
        .collect();
    let all = || {
        fake.anonymous()
            .changes(Query::field("project", "tools/build").unwrap())
    };
    let page = all().page_size(2).page().await.unwrap();
    assert!(page.has_more);
    let found: Vec<u64> = all()
        .page_size(2)
        .all()
        .await
        .unwrap()
        .iter()
        .map(|one| one.number)
        .collect();
    assert_eq!(found, numbers.into_iter().rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn the_fake_is_a_server_too() {
    let fake = with_project();
    let number = fake.push(&Push::new("tools/build", "one")).unwrap();
    let server = fake.serve().await.unwrap();
    let client = |user: &str, password: &str| {
        let config = Config::default()
            .attempts(1)
            .auth(Auth::basic(user, password));
        Client::new(server.url(), config).unwrap()
    };
    assert_eq!(
        client("bot", "secret")
            .change(number)
            .get([])
            .await
            .unwrap()
            .subject,
        "one"
    );
    let wrong = client("bot", "wrong")
        .change(number)
        .get([])
        .await
        .unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Unauthenticated);
    let url = server.url().to_owned();
    drop(server);
    let config = Config::default().attempts(1);
    let gone = Client::new(&url, config)
        .unwrap()
        .change(number)
        .get([])
        .await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::Network);
}

#[test]
fn what_no_gerrit_takes_is_refused() {
    let fake = with_project();
    for name in ["", "../up", "/root", "a//b", "a.git", "tools/build"] {
        assert!(fake.add_project(name).is_err(), "{name:?}");
    }
    assert!(fake.add_account("bot").is_err());
    for push in [
        Push::new("nowhere", "x"),
        Push::new("tools/build", "x").branch("never"),
        Push::new("tools/build", "x").by("nobody"),
        Push::new("tools/build", "x").file("../up", ""),
        Push::new("tools/build", "x").file("a", "").file("a/b", ""),
    ] {
        assert!(fake.push(&push).is_err(), "{push:?}");
    }
}

/// What git prints, or none where there is no git.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {said}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn git_reads_the_repositories() {
    let folder = tempfile::tempdir().unwrap();
    let fake = FakeGerrit::in_folder(folder.path());
    fake.add_project("tools/build").unwrap();
    let push = Push::new("tools/build", "one: of two\n\nWhy.")
        .file("dir/a.txt", "a\n")
        .file("dir-b", "b\n");
    let number = fake.push(&push).unwrap();
    let change = fake.client("admin").change(number);
    let review = ReviewInput::default()
        .vote("Code-Review", 2)
        .message("Patch-set: 9\nnot a footer");
    change.revision(1).review(&review).await.unwrap();
    change.submit(None).await.unwrap();

    let repository = fake.repository("tools/build").unwrap();
    let dir = repository.to_str().unwrap();
    let Some(checked) = git(&["-C", dir, "fsck", "--full", "--strict"]) else {
        return;
    };
    assert_eq!(checked, "");
    let refs = git(&["ls-remote", dir]).unwrap();
    for name in [
        "refs/changes/01/1/1",
        "refs/changes/01/1/meta",
        "refs/heads/master",
    ] {
        assert!(refs.contains(&format!("\t{name}\n")), "{refs}");
    }
    let log = git(&[
        "-C",
        dir,
        "log",
        "--format=%ae%n%B",
        "refs/changes/01/1/meta",
    ])
    .unwrap();
    assert!(log.contains("1000000@59d9095a-5263-436f-a1e2-b6453f17bccf\nUpdate patch set 1\n\nPatch Set 1: Code-Review+2\n"), "{log}");
    assert!(
        log.contains("\nPatch-set: 1\nStatus: merged\nTag: autogenerated:gerrit:merged\n"),
        "{log}"
    );
    assert!(
        log.contains("Create change\n\nUploaded patch set 1.\n\nPatch-set: 1\nChange-id: I"),
        "{log}"
    );

    // Over HTTP as well.
    let server = fake.serve().await.unwrap();
    let url = format!("{}/tools/build", server.url());
    let copy = tempfile::tempdir().unwrap();
    let copy = copy.path().join("copy").to_str().unwrap().to_owned();
    let files = tokio::task::spawn_blocking(move || {
        git(&[
            "-c",
            "http.proxy=",
            "clone",
            "--quiet",
            "--bare",
            &url,
            &copy,
        ])
        .unwrap();
        git(&[
            "-C",
            &copy,
            "-c",
            "http.proxy=",
            "fetch",
            "--quiet",
            "origin",
            "+refs/changes/*:refs/changes/*",
        ])
        .unwrap();
        git(&[
            "-C",
            &copy,
            "ls-tree",
            "-r",
            "--name-only",
            "refs/changes/01/1/1",
        ])
        .unwrap()
    });
    assert_eq!(files.await.unwrap(), "dir-b\ndir/a.txt\n");
}
