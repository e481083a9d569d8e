//! Upstream's maintq asks our maintnerd, and our client upstream's.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{GitRemote, Program};
use maintner::Corpus;
use maintner_api::pb::{GetRefRequest, ListGoReleasesRequest};
use tempfile::{TempDir, tempdir};

use crate::events::Events;
use crate::support::{LIMIT, Running, wait_for};

/// A project with what makes two releases.
fn go() -> GitRemote {
    let mut remote = GitRemote::new();
    remote.commit("refs/heads/master", "second", Some("refs/heads/master^0"));
    for version in ["1.20", "1.21"] {
        let branch = format!("refs/heads/release-branch.go{version}");
        let title = format!("go{version}");
        remote.commit(&branch, &title, Some("refs/heads/master^0"));
        remote.git(
            &["update-ref", &format!("refs/tags/go{version}"), &branch],
            "",
        );
    }
    remote
}

#[test]
fn upstreams_maintq_asks_our_maintnerd() {
    let Some(maintq) = harness::upstream_or_skip("maintner/maintq") else {
        return;
    };
    let remote = go();
    let sources = format!(
        "[gerrit]\n[[gerrit.project]]\nname = 'go.googlesource.com/go'\nurl = '{}'\n",
        remote.url()
    );
    let running = Running::start(&sources, &[]);
    let cache = tempdir().unwrap();
    let mut corpus = running.follow(cache.path());
    wait_for(&mut corpus, |view| {
        let project = view.gerrit().project("go.googlesource.com", "go");
        project.is_some_and(|project| project.reference("refs/tags/go1.21").is_some())
    });
    let port = running.https.rsplit(':').next().unwrap();
    let ask = |args: &[&str]| {
        let mut command = maintq.command();
        let output = command
            .arg("-server")
            .arg(format!("localhost:{port}"))
            .args(args)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
            said,
        )
    };
    let master = remote.git(&["rev-parse", "refs/heads/master"], "");
    let first = remote.git(&["rev-parse", "refs/heads/master^"], "");
    let (is_fine, said, error) = ask(&["get-ref", "go", "refs/heads/master"]);
    assert!(is_fine && said.contains(&master), "{said} {error}");
    let (is_fine, said, error) = ask(&["has-ancestor", &master, &first]);
    assert!(is_fine && said.contains("has_ancestor"), "{said} {error}");
    let (is_fine, said, error) = ask(&["list-releases"]);
    assert!(
        is_fine && said.contains("go1.21") && said.contains("go1.20"),
        "{said} {error}"
    );
    let (is_fine, said, error) = ask(&["get-dashboard"]);
    assert!(
        is_fine && said.contains(&master) && said.contains("second"),
        "{said} {error}"
    );
    let (is_fine, said, error) = ask(&["get-dashboard", "-branch", "nothing"]);
    assert!(
        !is_fine && error.contains("unknown branch"),
        "{said} {error}"
    );
    let (is_fine, said, error) = ask(&["try-work"]);
    assert!(
        !is_fine && error.contains("no Gerrit server"),
        "{said} {error}"
    );
}

/// Upstream's maintnerd, which follows a repository into a log.
struct Upstream {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Upstream {
    fn start(program: &Program, remote: &GitRemote, log: &Path, more: &[String]) -> Self {
        let dir = tempdir().unwrap();
        let (git_config, credentials) =
            (dir.path().join("gitconfig"), dir.path().join("credentials"));
        // It knows addresses of https alone.
        let instead = format!(
            "[url \"{}\"]\n\tinsteadOf = https://go.googlesource.com/go\n",
            remote.url()
        );
        std::fs::write(&git_config, instead).unwrap();
        let nobody = r#"{"type": "authorized_user", "client_id": "x", "client_secret": "y", "refresh_token": "z"}"#;
        std::fs::write(&credentials, nobody).unwrap();
        // It cannot tell its port, so that one is taken that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let child = program
            .command()
            .args([
                "-watch-gerrit=go.googlesource.com/go",
                "-listen-https-selfsigned",
            ])
            .arg(address.to_string())
            .arg("-data-dir")
            .arg(log)
            .args(more)
            .env("GIT_CONFIG_GLOBAL", &git_config)
            // It wants to be known to Google's cloud, and then asks nothing of it.
            .env("GOOGLE_APPLICATION_CREDENTIALS", &credentials)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self {
            child: child.unwrap(),
            port: address.port(),
            _dir: dir,
        }
    }

    fn assert_runs(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "it ended");
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_client_asks_upstreams_maintnerd_over_a_log_of_ours() {
    let Some(maintnerd) = harness::upstream_or_skip("maintnerd") else {
        return;
    };
    let remote = go();
    let dir = tempdir().unwrap();
    let sources = dir.path().join("s.toml");
    std::fs::write(
        &sources,
        format!(
            "[gerrit]\n[[gerrit.project]]\nname = 'go.googlesource.com/go'\nurl = '{}'\n",
            remote.url()
        ),
    )
    .unwrap();
    let made = Command::new(env!("CARGO_BIN_EXE_maintnerd"))
        .arg("-sync-and-quit")
        .arg(format!("-config={}", sources.display()))
        .arg(format!("-data-dir={}", dir.path().join("log").display()))
        .stdout(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    let mut upstream = Upstream::start(&maintnerd, &remote, &dir.path().join("log"), &[]);
    let deadline = Instant::now() + LIMIT;
    let mut client = loop {
        // Its certificate is of its own.
        let tls = program::tls_client_config(None, true).unwrap();
        match maintner_api::connect(&format!("localhost:{}", upstream.port), tls).await {
            Ok(client) => break client,
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
        upstream.assert_runs();
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let request = GetRefRequest {
        r#ref: "refs/heads/master".to_owned(),
        gerrit_server: "go.googlesource.com".to_owned(),
        gerrit_project: "go".to_owned(),
    };
    let answer = client.get_ref(request).await.unwrap().into_inner();
    assert_eq!(
        answer.value,
        remote.git(&["rev-parse", "refs/heads/master"], "")
    );
    let answer = client
        .list_go_releases(ListGoReleasesRequest {})
        .await
        .unwrap();
    let tags: Vec<_> = answer
        .into_inner()
        .releases
        .into_iter()
        .map(|release| release.tag_name)
        .collect();
    assert_eq!(tags, ["go1.21", "go1.20"]);
}

/// It asks a source by itself each five minutes.
const BEFORE_IT_ASKS: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstreams_maintnerd_is_woken_by_our_pubsubhelper() {
    let Some(maintnerd) = harness::upstream_or_skip("maintnerd") else {
        return;
    };
    let events = Events::start().await;
    let mut remote = go();
    remote.changes([1]);
    let dir = tempdir().unwrap();
    let log = dir.path().join("log");
    std::fs::create_dir(&log).unwrap();
    let pubsub = [format!("-pubsub={}", events.url)];
    let mut upstream = Upstream::start(&maintnerd, &remote, &log, &pubsub);
    let has = |number| {
        // What it writes at the moment is cut off.
        let Ok(corpus) = Corpus::open(&log) else {
            return false;
        };
        let view = corpus.view();
        let project = view.gerrit().project("go.googlesource.com", "go");
        project.is_some_and(|project| project.cl(number).is_some())
    };
    let pause = Duration::from_millis(200);
    let began = Instant::now();
    while !has(1) {
        upstream.assert_runs();
        assert!(began.elapsed() < LIMIT);
        tokio::time::sleep(pause).await;
    }
    remote.changes([2]);
    let began = Instant::now();
    while !has(2) {
        upstream.assert_runs();
        assert!(began.elapsed() < BEFORE_IT_ASKS, "no event came to it");
        // Again and again, as it may not have waited for events yet.
        events.gerrit("https://go-review.googlesource.com/c/go/+/2", "go");
        tokio::time::sleep(pause).await;
    }
}
