//! Following a project of a Gerrit server: the recorded rounds, and what may go wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use harness::GitRemote;
use maintner::leader::{
    LeadError, Leader, LeaderConfig, Round, Source as _, SourceError, SourceErrorKind, Wake,
};
use maintner::reclog::Sync;
use maintner::sync::GerritSource;
use maintner::{View, pb};
use tempfile::{TempDir, tempdir};

const PROJECT: &str = "go.googlesource.com/go";

/// A log, and a folder for commits.
struct Follow {
    dir: TempDir,
    leader: Leader,
    source: GerritSource,
}

async fn open(log: &Path) -> Leader {
    let config = LeaderConfig::default().sync(Sync::Never);
    Leader::open(log, config).await.unwrap()
}

impl Follow {
    async fn new(remote: &Path) -> Self {
        Self::of(&format!("file://{}", remote.display())).await
    }

    async fn of(url: &str) -> Self {
        let dir = tempdir().unwrap();
        let leader = open(&dir.path().join("log")).await;
        let source = GerritSource::named(url, PROJECT, dir.path().join("git")).unwrap();
        Self {
            dir,
            leader,
            source,
        }
    }

    async fn round(&mut self, wake: Wake) -> Result<Round, SourceError> {
        self.source.round(&self.leader, wake).await
    }

    /// As after a restart: nothing is left but what is on the disk.
    async fn restart(&mut self, url: &str) {
        self.leader.close().await;
        self.leader = open(&self.dir.path().join("log")).await;
        self.source = GerritSource::named(url, PROJECT, self.dir.path().join("git")).unwrap();
    }

    fn refs(&self) -> BTreeMap<String, String> {
        refs(&self.leader.view())
    }
}

/// All refs, those of changes too.
fn refs(view: &View) -> BTreeMap<String, String> {
    let (host, name) = PROJECT.split_once('/').unwrap();
    let Some(project) = view.gerrit().project(host, name) else {
        return BTreeMap::new();
    };
    let mut refs: BTreeMap<_, _> = project
        .references()
        .map(|(name, hash)| (name.to_owned(), hash.to_string()))
        .collect();
    for cl in project.all_cls() {
        let name = |end: &str| {
            format!(
                "refs/changes/{:02}/{}/{end}",
                cl.number() % 100,
                cl.number()
            )
        };
        for (version, commit) in cl.patch_sets() {
            refs.insert(name(&version.to_string()), commit.hash().to_string());
        }
        if let Some(meta) = cl.meta_head() {
            refs.insert(name("meta"), meta.hash().to_string());
        }
    }
    refs
}

/// The contents of all commits that are there.
fn commits(view: &View) -> BTreeMap<String, (String, usize)> {
    let commit = |commit: maintner::Commit<'_>| {
        let message = String::from_utf8_lossy(commit.message()).into_owned();
        (commit.hash().to_string(), (message, commit.files().count()))
    };
    let commits = view.commits().filter(|commit| !commit.is_placeholder());
    commits.map(commit).collect()
}

fn make(remote: &Path, round: usize) {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/gerrit-sync/make-remote.sh"
    );
    let made = Command::new("sh")
        .args([script, &round.to_string()])
        .env("R", remote)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdout(Stdio::null())
        .status();
    assert!(made.unwrap().success());
}

/// What upstream's leader wrote in the recorded rounds so far, as a corpus would have it.
#[derive(Default)]
struct Expected {
    refs: BTreeMap<String, String>,
    commits: BTreeMap<String, usize>,
}

impl Expected {
    fn take(&mut self, mutations: &serde_json::Value) {
        for mutation in mutations.as_array().unwrap() {
            let gerrit = &mutation["gerrit"];
            let list = |key: &str| gerrit[key].as_array().cloned().unwrap_or_default();
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            for commit in list("commits") {
                let files = commit["diff_tree"]["file"].as_array().map_or(0, Vec::len);
                self.commits.insert(text(&commit["sha1"]), files);
            }
            for gone in list("deleted_refs") {
                self.refs.remove(&text(&gone));
            }
            for new in list("refs") {
                self.refs.insert(text(&new["ref"]), text(&new["sha1"]));
            }
        }
    }

    /// Without upstream's fault: a tag stored as the commit that it tags, and that one as another ref.
    fn better(&self) -> (BTreeMap<String, String>, BTreeMap<String, usize>) {
        let (mut refs, mut commits) = (self.refs.clone(), self.commits.clone());
        for (name, peeled) in &self.refs {
            if let Some(tag) = name.strip_suffix("^{}") {
                refs.remove(name);
                commits.remove(&refs.insert(tag.to_owned(), peeled.clone()).unwrap());
            }
        }
        (refs, commits)
    }
}

#[tokio::test]
async fn the_recorded_rounds_give_what_upstreams_leader_wrote() {
    let dir = tempdir().unwrap();
    let remote = dir.path().join("remote.git");
    let expected = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/gerrit-sync/expected.json"
    );
    let expected: serde_json::Value =
        serde_json::from_slice(&std::fs::read(expected).unwrap()).unwrap();
    let mut so_far = Expected::default();
    make(&remote, 0);
    let mut follow = Follow::new(&remote).await;
    for (number, recorded) in expected["rounds"].as_array().unwrap().iter().enumerate() {
        if number > 0 {
            make(&remote, number);
        }
        so_far.take(&recorded["mutations"]);
        let round = follow.round(Wake::Interval).await.unwrap();
        let (refs, wanted) = so_far.better();
        assert_eq!(follow.refs(), refs, "round {number}");
        let view = follow.leader.view();
        let found: BTreeMap<_, _> = commits(&view)
            .into_iter()
            .map(|(hash, (_, files))| (hash, files))
            .collect();
        assert_eq!(found, wanted, "round {number}");
        view.check().unwrap();
        assert_eq!(view.stats().ignored, 0);
        let has_news = recorded["mutations"]
            .as_array()
            .is_some_and(|all| !all.is_empty());
        assert_eq!(round.mutations > 0, has_news, "round {number}");
        // A round without news is one request.
        let again = follow.round(Wake::Interval).await.unwrap();
        assert_eq!((again.requests, again.mutations, again.skipped), (1, 0, 0));
    }
    follow
        .restart(&format!("file://{}", remote.display()))
        .await;
    let round = follow.round(Wake::Start).await.unwrap();
    assert_eq!((round.requests, round.mutations), (1, 0));
}

#[tokio::test]
async fn a_hundred_restarts_in_mid_round_lose_nothing() {
    let mut remote = GitRemote::new();
    let url = remote.url();
    let mut follow = Follow::new(remote.path()).await;
    let mut cut = 0;
    for number in 1..=100 {
        remote.changes([number]);
        let before = follow.leader.stats().log_bytes;
        let grown = {
            let leader = follow.leader.clone();
            async move { leader.longer_than(before).await }
        };
        // Ended as soon as anything is written, while the rest is not; or, now and then, at once.
        let is_ended = tokio::select! {
            biased;
            () = std::future::ready(()), if number % 10 == 0 => true,
            _ = grown => true,
            round = follow.round(Wake::Interval) => { round.unwrap(); false }
        };
        cut += u32::from(is_ended);
        if number % 5 == 0 {
            follow.restart(&url).await;
        }
    }
    assert!(cut > 50, "{cut} rounds were cut short");
    follow.restart(&url).await;
    follow.round(Wake::Start).await.unwrap();
    let mut undisturbed = Follow::new(remote.path()).await;
    undisturbed.round(Wake::Start).await.unwrap();
    assert_eq!(follow.refs(), undisturbed.refs());
    assert_eq!(follow.refs().len(), 202);
    let (view, other) = (follow.leader.view(), undisturbed.leader.view());
    assert_eq!(commits(&view), commits(&other));
    view.check().unwrap();
    let (host, name) = PROJECT.split_once('/').unwrap();
    assert_eq!(
        view.gerrit()
            .project(host, name)
            .unwrap()
            .open_cls()
            .count(),
        100
    );
}

#[tokio::test]
async fn a_project_that_is_gone_or_hidden_fails_and_nothing_is_deleted() {
    let mut remote = GitRemote::new();
    remote.changes([7]);
    let mut follow = Follow::new(remote.path()).await;
    follow.round(Wake::Start).await.unwrap();
    let refs = follow.refs();
    assert_eq!(refs.len(), 4);
    let (path, away) = (
        remote.path().to_owned(),
        remote.path().with_extension("away"),
    );
    std::fs::rename(&path, &away).unwrap();
    let error = follow.round(Wake::Interval).await.unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::Permanent, "{error:?}");
    // Nothing in it may be read any more.
    let init = Command::new("git")
        .args(["init", "--quiet", "--bare"])
        .arg(&path)
        .status();
    assert!(init.unwrap().success());
    let error = follow.round(Wake::Interval).await.unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::Permanent, "{error:?}");
    assert_eq!(follow.refs(), refs);
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::rename(&away, &path).unwrap();
    remote.changes([8]);
    remote.git(&["update-ref", "-d", "refs/changes/07/7/1"], "");
    remote.git(&["update-ref", "-d", "refs/changes/07/7/meta"], "");
    follow.round(Wake::Interval).await.unwrap();
    let now: BTreeSet<_> = follow.refs().into_keys().collect();
    assert_eq!(now.len(), 6, "a change that is gone stays: {now:?}");
}

#[tokio::test]
async fn commits_that_a_log_lacks_are_asked_for_at_the_start() {
    let mut remote = GitRemote::new();
    remote.commit("refs/heads/master", "second", Some("refs/heads/master^0"));
    let tip = remote.git(&["rev-parse", "refs/heads/master"], "");
    let raw = |hash: &str| remote.git(&["cat-file", "commit", hash], "") + "\n";
    let nowhere = "1".repeat(40);
    let lost = raw(&tip).replacen("tree ", &format!("parent {nowhere}\ntree "), 1);
    let mut follow = Follow::new(remote.path()).await;
    let commit = |sha1: &str, raw: &str| pb::GitCommit {
        sha1: sha1.to_owned(),
        raw: raw.into(),
        diff_tree: None,
    };
    let gerrit = pb::GerritMutation {
        project: PROJECT.to_owned(),
        commits: vec![commit(&tip, &raw(&tip)), commit(&"2".repeat(40), &lost)],
        ..Default::default()
    };
    let gerrit = Some(gerrit);
    let mutation = pb::Mutation {
        gerrit,
        ..Default::default()
    };
    follow.leader.append(vec![mutation]).await.unwrap();
    let missing = |view: &View| {
        let (host, name) = PROJECT.split_once('/').unwrap();
        let project = view.gerrit().project(host, name).unwrap();
        project
            .missing_commits()
            .map(|hash| hash.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(missing(&follow.leader.view()).len(), 2);
    follow.round(Wake::Start).await.unwrap();
    assert_eq!(missing(&follow.leader.view()), [nowhere], "nobody has it");
    assert_eq!(follow.refs().len(), 2);
    let round = follow.round(Wake::Interval).await.unwrap();
    assert_eq!(round.requests, 1);
}

/// Runs git in the folder for commits.
fn git(follow: &Follow, args: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(follow.dir.path().join("git"))
        .args(args)
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// How many of something the folder for commits has.
fn count(follow: &Follow, what: &str) -> u64 {
    let counts = git(follow, &["count-objects", "-v"]);
    let mut counts = counts.lines().filter_map(|line| line.split_once(": "));
    let count = counts.find(|(name, _)| *name == what).unwrap().1;
    count.parse().unwrap()
}

#[tokio::test]
async fn news_come_without_the_history_that_is_here() {
    let mut remote = GitRemote::new();
    for number in 0..20 {
        let message = format!("commit {number}");
        remote.commit("refs/heads/master", &message, Some("refs/heads/master^0"));
    }
    remote.changes(1..=20);
    for number in 0..20 {
        remote.comment(7, &format!("comment {number}"));
    }
    let mut follow = Follow::new(remote.path()).await;
    follow.round(Wake::Start).await.unwrap();
    let before = count(&follow, "in-pack");
    assert!(before >= 2 * (1 + 20 + 40 + 20), "{before}");
    // With and without what a source remembers.
    for is_restarted in [false, true] {
        if is_restarted {
            follow.restart(&remote.url()).await;
        }
        let before = count(&follow, "in-pack");
        remote.comment(7, "one more");
        let name = format!("refs/changes/09/9/{}", if is_restarted { 3 } else { 2 });
        remote.commit(&name, "better", Some("refs/heads/master^0"));
        let round = follow.round(Wake::Interval).await.unwrap();
        assert_eq!((round.requests, round.mutations), (2, 3));
        let fetched = count(&follow, "in-pack") - before;
        assert!(
            (6..=10).contains(&fetched),
            "{fetched} objects for two commits"
        );
    }
    let refs = git(&follow, &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs, "refs/kept/tips");
}

#[tokio::test]
async fn many_packs_are_put_together_and_nothing_is_removed() {
    let mut remote = GitRemote::new();
    remote.changes([1]);
    let mut follow = Follow::new(remote.path()).await;
    follow.round(Wake::Start).await.unwrap();
    let file = follow.dir.path().join("file");
    let mut blobs = Vec::new();
    for number in 0..60 {
        std::fs::write(&file, format!("blob {number}")).unwrap();
        blobs.push(git(&follow, &["hash-object", "-w", file.to_str().unwrap()]));
    }
    for blob in &blobs {
        std::fs::write(&file, blob).unwrap();
        let made = Command::new("git")
            .args(["pack-objects", "-q", "objects/pack/pack"])
            .current_dir(follow.dir.path().join("git"))
            .stdin(std::fs::File::open(&file).unwrap())
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success());
    }
    assert!(count(&follow, "packs") > 60);
    let packs = follow.dir.path().join("git/objects/pack");
    let left = [
        "tmp_pack_old",
        "tmp_pack_new",
        "pack-old.keep",
        "pack-his.keep",
    ]
    .map(|name| packs.join(name));
    let two_days = Duration::from_secs(2 * 24 * 3600);
    for (number, file) in left.iter().enumerate() {
        let text = if number == 3 {
            "mine"
        } else {
            "fetch-pack 1 on h"
        };
        std::fs::write(file, text).unwrap();
        if number != 1 {
            let file = std::fs::File::options().write(true).open(file).unwrap();
            file.set_modified(SystemTime::now() - two_days).unwrap();
        }
    }
    remote.comment(1, "news");
    let round = follow.round(Wake::Interval).await.unwrap();
    assert_eq!(round.mutations, 2);
    assert!(count(&follow, "packs") < 10);
    assert_eq!(left.map(|file| file.exists()), [false, true, false, true]);
    for blob in blobs {
        git(&follow, &["cat-file", "-e", &blob]);
    }
}

#[tokio::test]
async fn a_kill_or_crash_while_a_ref_is_written_is_got_over() {
    let mut remote = GitRemote::new();
    remote.changes([1]);
    let mut follow = Follow::new(remote.path()).await;
    follow.round(Wake::Start).await.unwrap();
    remote.comment(1, "one");
    follow.round(Wake::Interval).await.unwrap();
    let file = follow.dir.path().join("git/refs/kept/tips");
    let lock = file.with_extension("lock");
    let an_hour = Duration::from_secs(3600);
    let now = SystemTime::now();
    // Of a git that may still be there, however long this test takes; then of none.
    for (written, is_waited_for) in [(now + an_hour, true), (now - an_hour, false)] {
        let lock = std::fs::File::create(&lock).unwrap();
        lock.set_modified(written).unwrap();
        remote.comment(1, "two");
        let round = follow.round(Wake::Interval).await;
        match is_waited_for {
            true => assert_eq!(round.unwrap_err().kind(), SourceErrorKind::Transient),
            false => assert_eq!(round.unwrap().mutations, 3),
        }
    }
    for (number, text) in ["", "no hash\n", &"1".repeat(40)].into_iter().enumerate() {
        std::fs::write(&file, text).unwrap();
        remote.comment(1, &format!("more {number}"));
        assert_eq!(follow.round(Wake::Interval).await.unwrap().mutations, 2);
    }
    let (host, name) = PROJECT.split_once('/').unwrap();
    let view = follow.leader.view();
    let cl = view.gerrit().project(host, name).unwrap().cl(1).unwrap();
    assert_eq!(cl.messages().count(), 6, "all comments");
}

/// Answers every connection with this, and ends it.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else {
                return;
            };
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    format!("http://127.0.0.1:{port}/x")
}

#[tokio::test]
async fn servers_that_fail_are_told_apart() {
    use SourceErrorKind::{Permanent, RateLimited, Transient};
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<h1>Hi!\r\n";
    let torn = "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\nContent-Length: 900\r\n\r\n001e# service=git-upload-pack\n0000";
    for (answer, kind) in [
        ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", Transient),
        ("HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n", Permanent),
        (
            "HTTP/1.1 401 Who\r\nContent-Length: 0\r\nWWW-Authenticate: Basic\r\n\r\n",
            Permanent,
        ),
        (
            "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\nRetry-After: 9\r\n\r\n",
            RateLimited,
        ),
        (torn, Transient),
        ("", Transient),
    ] {
        let mut follow = Follow::of(&answering(answer)).await;
        let error = follow.round(Wake::Start).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{answer}: {error:?}");
        assert!(follow.refs().is_empty());
    }
    let mut follow = Follow::of(&answering(page)).await;
    follow.round(Wake::Start).await.unwrap_err();
    let mut follow = Follow::of("http://nowhere.invalid/x").await;
    let error = follow.round(Wake::Start).await.unwrap_err();
    assert_eq!(error.kind(), Transient, "{error:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left_after_a_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let dir = tempdir().unwrap();
    let leader = open(&dir.path().join("log")).await;
    let source = GerritSource::named(&url, PROJECT, dir.path().join("git")).unwrap();
    let mut source = source.time_limit(Duration::from_secs(1));
    let error = source.round(&leader, Wake::Start).await.unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::Transient, "{error:?}");
    // Or at once, when nobody waits any more.
    let mut source = source.time_limit(Duration::from_secs(600));
    let round = tokio::time::timeout(
        Duration::from_millis(300),
        source.round(&leader, Wake::Start),
    );
    round.await.unwrap_err();
    leader.close().await;
    let late = leader.append(Vec::new()).await;
    assert!(matches!(late, Ok(()) | Err(LeadError::Closed)));
}
