use std::path::Path;
use std::time::{Duration, Instant};

use build_coordinator::git::{Git, GitConfig, GitError, PollPlan, Source};
use build_coordinator::model::Revision;

use super::support::{Workshop, found, script};

#[tokio::test]
async fn no_message_pretends_to_be_another_commit() {
    let workshop = Workshop::new();
    workshop.commit("a", "1", "one");
    let tree = workshop.git(["rev-parse", "HEAD^{tree}"]);
    let fake = "0123456789abcdef0123456789abcdef01234567 commit 3\ntree\n";
    let mut object = format!("tree {tree}\nauthor <script>\x01 <\"'> -5 +9999\ncommitter x <y> 99999999999999999999 z\n\n").into_bytes();
    object.extend_from_slice(b"\x1b[31m subject \xff\xfe\0 hidden\n\n");
    object.extend_from_slice(fake.as_bytes());
    object.extend_from_slice("x".repeat(1 << 20).as_bytes());
    let commit: Revision = workshop
        .git_with(
            [
                "hash-object",
                "-t",
                "commit",
                "-w",
                "--stdin",
                "--literally",
            ],
            &object,
        )
        .parse()
        .unwrap();
    workshop.git(["update-ref", "refs/heads/hostile", commit.as_str()]);
    let cache = workshop.cache().await;
    cache.fetch().await.unwrap();
    let both = cache
        .commits(&[commit.clone(), workshop.head()])
        .await
        .unwrap();
    assert_eq!(
        both[0].subject,
        "\u{1b}[31m subject \u{fffd}\u{fffd}  hidden"
    );
    assert_eq!(
        both[0].author_name, "",
        "an address begins at the first bracket"
    );
    assert!(both[0].body.starts_with(fake) && both[0].body.len() <= 16 << 10);
    assert_eq!(both[1].subject, "one");
    let error = cache
        .commits(&["1".repeat(40).parse().unwrap()])
        .await
        .unwrap_err();
    assert!(matches!(error, GitError::NoCommit(_)));
}

#[tokio::test]
async fn a_branch_may_have_any_name_that_git_allows() {
    let workshop = Workshop::new();
    let head = workshop.commit("a", "1", "one");
    let names = [
        "$(touch${IFS}pwned)",
        "--upload-pack=touch",
        "';DROP-TABLE-builds;--",
        "<script>alert(1)<",
        "a/-b",
        "ünïcode\u{202e}",
        "main|touch-pwned",
    ];
    for name in names {
        workshop.git(["update-ref", &format!("refs/heads/{name}"), head.as_str()]);
    }
    let cache = workshop.cache().await;
    let poll = cache.poll(&[], &PollPlan::default()).await.unwrap();
    for name in names {
        assert!(
            poll.found.iter().any(|found| found.branch == name),
            "{name}"
        );
        assert_eq!(found(&cache, name).await, Some(head.clone()), "{name}");
    }
    assert_eq!(poll.updates.len(), names.len() + 1);
}

#[tokio::test]
async fn nothing_that_a_repository_configures_runs() {
    let workshop = Workshop::new();
    workshop.commit("a", "1", "one");
    let marker = workshop.path().join("pwned");
    let touch = script(
        workshop.path(),
        &format!("touch {}; exit 1", marker.display()),
    );
    let touch = touch.to_str().unwrap();
    for key in [
        "core.fsmonitor",
        "core.sshCommand",
        "uploadpack.packObjectsHook",
        "core.alternateRefsCommand",
        "core.pager",
        "filter.evil.smudge",
        "filter.evil.process",
        "tar.tar.command",
        "tar.tgz.command",
        "core.gitProxy",
    ] {
        workshop.git(["config", key, touch]);
    }
    workshop.git([
        "config",
        "core.hooksPath",
        workshop.path().to_str().unwrap(),
    ]);
    std::fs::write(workshop.source().join(".gitattributes"), "* filter=evil\n").unwrap();
    // Written past git, which would run the filter itself.
    let blob = workshop.git_with(["hash-object", "-w", "--stdin"], b"* filter=evil\n");
    let tree = workshop.git_with(
        ["mktree"],
        format!("100644 blob {blob}\t.gitattributes\n").as_bytes(),
    );
    let head = workshop.git(["commit-tree", "-m", "hostile", &tree]);
    workshop.git(["update-ref", "refs/heads/main", &head]);
    let _ = std::fs::remove_file(&marker);

    let cache = workshop.cache().await;
    let poll = cache.poll(&[], &PollPlan::default()).await.unwrap();
    cache.archive(&poll.found[0].commit.revision).await.unwrap();
    assert_eq!(poll.found[0].commit.subject, "hostile");
    assert!(!marker.exists());
}

#[tokio::test]
async fn a_repository_of_another_user_can_be_fetched() {
    if !is_root() {
        eprintln!("SKIPPED: only root can give files away");
        return;
    }
    let workshop = Workshop::new();
    workshop.commit("a", "1", "one");
    give_away(&workshop.source());
    let cache = workshop.cache().await;
    assert_eq!(
        cache
            .poll(&[], &PollPlan::default())
            .await
            .unwrap()
            .found
            .len(),
        1
    );
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_what_it_started() {
    let workshop = Workshop::new();
    workshop.commit("a", "1", "one");
    workshop.cache().await;
    let pids = workshop.path().join("pids");
    let hang = format!(
        "case \"$*\" in *fetch*) sleep 1000 & echo $! >>{0}; echo $$ >>{0}; sleep 1000;; *) exec git \"$@\";; esac",
        pids.display()
    );
    let program = script(workshop.path(), &hang);
    let config = GitConfig::default()
        .program(program)
        .fetch_limit(Duration::from_millis(500));
    let cache = workshop.cache_with(config).await;
    let error = cache.fetch().await.unwrap_err();
    assert!(
        matches!(
            error,
            GitError::TimedOut {
                command: "fetch",
                ..
            }
        ),
        "{error}"
    );
    assert_all_gone(&pids).await;

    // And one whose caller went away.
    std::fs::remove_file(&pids).unwrap();
    let patient = GitConfig::default().program(workshop.path().join("fake-git"));
    let cache = workshop.cache_with(patient).await;
    let task = tokio::spawn(async move { cache.fetch().await });
    wait_for(|| lines(&pids).len() == 2).await;
    task.abort();
    assert_all_gone(&pids).await;
}

#[tokio::test]
async fn endless_output_is_cut_off() {
    let workshop = Workshop::new();
    workshop.cache().await;
    let program = script(
        workshop.path(),
        "case \"$*\" in *for-each-ref*) exec yes;; *fetch*) yes complaint >&2;; *) exec git \"$@\";; esac",
    );
    let config = GitConfig::default()
        .program(program)
        .fetch_limit(Duration::from_secs(2));
    let cache = workshop.cache_with(config).await;
    let error = cache.branches().await.unwrap_err();
    assert!(matches!(error, GitError::TooLarge { .. }), "{error}");
    let error = cache.fetch().await.unwrap_err();
    assert!(matches!(error, GitError::TimedOut { .. }), "{error}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_pack_that_is_too_large_is_not_fetched() {
    let workshop = Workshop::new();
    // Bytes that do not compress.
    let mut state = 1_u64;
    let noise: String = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
    })
    .take(1 << 20)
    .collect();
    workshop.commit("noise", &noise, "large");
    let cache = workshop
        .cache_with(GitConfig::default().max_pack(1 << 18))
        .await;
    let error = cache.fetch().await.unwrap_err();
    assert!(matches!(error, GitError::Failed { .. }), "{error}");
    assert!(cache.branches().await.unwrap().is_empty());
}

#[tokio::test]
async fn locks_of_a_fetch_that_was_killed_do_not_stay() {
    let workshop = Workshop::new();
    workshop.commit("a", "1", "one");
    workshop.cache().await.fetch().await.unwrap();
    workshop.commit("a", "2", "two");
    let caches = std::fs::read_dir(workshop.path().join("cache")).unwrap();
    let bare = caches
        .map(|entry| entry.unwrap().path())
        .next()
        .unwrap()
        .join("bare");
    for lock in [
        "packed-refs.lock",
        "refs/heads/main.lock",
        "HEAD.lock",
        "config.lock",
    ] {
        std::fs::write(bare.join(lock), "").unwrap();
    }
    let cache = workshop.cache().await;
    cache.fetch().await.unwrap();
    assert_eq!(cache.branches().await.unwrap()[0].revision, workshop.head());
}

#[tokio::test]
async fn a_cache_whose_making_was_killed_is_made_to_its_end() {
    for missing in ["HEAD", "config", "refs", "objects", "objects/pack"] {
        let workshop = Workshop::new();
        let one = workshop.commit("a", "1", "one");
        workshop.cache().await;
        let caches = std::fs::read_dir(workshop.path().join("cache")).unwrap();
        let cache = caches.map(|entry| entry.unwrap().path());
        let bare = cache.map(|dir| dir.join("bare")).find(|bare| bare.is_dir());
        let gone = bare.unwrap().join(missing);
        if gone.is_dir() {
            std::fs::remove_dir_all(gone).unwrap();
        } else {
            std::fs::remove_file(gone).unwrap();
        }
        let cache = workshop.cache().await;
        cache.fetch().await.unwrap();
        assert_eq!(found(&cache, "main").await, Some(one), "{missing}");
    }
}

#[tokio::test]
async fn no_error_repeats_a_password() {
    let workshop = Workshop::new();
    let git = Git::open(workshop.path().join("cache"), GitConfig::default())
        .await
        .unwrap();
    // Nobody listens there.
    let source = Source::parse("http://user:hunter2@127.0.0.1:1/x.git").unwrap();
    let cache = git.repository("private", &source).await.unwrap();
    let error = cache.fetch().await.unwrap_err();
    let shown = format!("{error} {error:?} {source} {source:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(matches!(error, GitError::Failed { .. }), "{shown}");
}

async fn assert_all_gone(pids: &Path) {
    for pid in lines(pids) {
        let process = Path::new("/proc").join(pid);
        wait_for(|| {
            // A zombie is gone but for its parent's asking.
            let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        })
        .await;
    }
}

async fn wait_for(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    // What this process makes belongs to whom it runs as.
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().metadata().unwrap().uid() == 0
}

fn give_away(path: &Path) {
    std::os::unix::fs::lchown(path, Some(65534), Some(65534)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}
