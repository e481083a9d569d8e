//! Flags, quitting, and what is asked of the program without a follower.

use harness::GitRemote;
use maintner_api::pb::{GetRefRequest, HasAncestorRequest};
use tempfile::tempdir;

use crate::support::{LIMIT, Running, program, wait_for, write_private};

fn sources(remote: &GitRemote) -> String {
    format!(
        "[gerrit]\ninterval_seconds = 1\n[[gerrit.project]]\nname = 'go.googlesource.com/go'\nurl = '{}'\n",
        remote.url()
    )
}

#[test]
fn one_round_and_quit_leaves_a_log_that_another_start_loads() {
    let mut remote = GitRemote::new();
    remote.changes([1, 2]);
    let dir = tempdir().unwrap();
    std::fs::write(dir.path().join("s.toml"), sources(&remote)).unwrap();
    let run = |flags: &[&str]| {
        let mut command = program();
        command
            .current_dir(dir.path())
            .arg("-config=s.toml")
            .arg("-data-dir=data");
        command.args(flags).output().unwrap()
    };
    let output = run(&["-sync-and-quit"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("from 1 sources"), "{said}");
    let corpus = maintner::Corpus::open(dir.path().join("data")).unwrap();
    let view = corpus.view();
    assert_eq!(
        view.gerrit()
            .project("go.googlesource.com", "go")
            .unwrap()
            .open_cls()
            .count(),
        2
    );
    let hours = std::fs::read_to_string(dir.path().join("data/hours")).unwrap();
    let counted: u64 = (hours.lines())
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert!(
        said.starts_with(&format!("{counted} mutations"))
            || said.contains(&format!("\n{counted} mutations")),
        "{said}"
    );
    let output = run(&["--init-and-quit=true"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("loaded in "));
    drop(remote);
    let output = run(&["-sync-and-quit"]);
    assert!(!output.status.success(), "the project is gone");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("cannot be followed"), "{said}");
}

#[test]
fn the_chart_has_what_was_counted_before_a_restart() {
    let mut remote = GitRemote::new();
    remote.changes([1, 2]);
    // Nothing is new after the restart.
    let mut running = Running::start(&sources(&remote), &[]);
    let cache = tempdir().unwrap();
    let mut corpus = running.follow(cache.path());
    wait_for(&mut corpus, |view| {
        let project = view.gerrit().project("go.googlesource.com", "go");
        project.is_some_and(|project| project.open_cls().count() == 2)
    });
    running.restart();
    let deadline = std::time::Instant::now() + LIMIT;
    let page = loop {
        let (_, page) = running.get("/");
        if page.contains("<svg") {
            break page;
        }
        assert!(std::time::Instant::now() < deadline, "{page}");
    };
    assert!(
        page.contains("<dt>since the start</dt><dd>0</dd>"),
        "{page}"
    );
    assert!(page.contains("<rect"), "{page}");
}

#[test]
fn mistakes_are_told_before_anything_is_done() {
    for (args, part) in [
        (&["--config=nowhere.toml"][..], "nowhere.toml"),
        (&["--watch-gerrit=x"], "HOST/PROJECT"),
        (&["--watch-github=x"], "OWNER/REPO"),
        (&["--watch-gerrit=h/x,h/x"], "twice"),
        (&[], "--listen-http"),
        (
            &["--config=devgo", "--watch-github=o/r"],
            "exclude each other",
        ),
        (&["--config=devgo", "--generate-mutations=false"], "devgo"),
        (&["--listen-http=nonsense"], "nonsense"),
    ] {
        let dir = tempdir().unwrap();
        let output = program()
            .arg("-data-dir")
            .arg(dir.path())
            .args(args)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{args:?}");
        assert!(said.contains(part), "{args:?}: {said}");
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            0,
            "{args:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_is_answered_over_tls_and_in_the_clear_on_the_port_of_the_pages() {
    let mut remote = GitRemote::new();
    remote.commit("refs/heads/master", "second", Some("refs/heads/master^0"));
    let commit = remote.git(&["rev-parse", "refs/heads/master"], "");
    let ancestor = remote.git(&["rev-parse", "refs/heads/master^"], "");
    let running = Running::start(&sources(&remote), &[]);
    let certificate = running.data().join("cert.pem");
    let port = running.https.rsplit(':').next().unwrap().to_owned();
    for address in [
        format!("localhost:{port}"),
        format!("http://{}", running.http),
    ] {
        let tls = program::tls_client_config(Some(&certificate), false).unwrap();
        let mut client = maintner_api::connect(&address, tls).await.unwrap();
        let deadline = std::time::Instant::now() + LIMIT;
        let value = loop {
            let request = GetRefRequest {
                r#ref: "refs/heads/master".to_owned(),
                gerrit_server: "go.googlesource.com".to_owned(),
                gerrit_project: "go".to_owned(),
            };
            // Until it is loaded and followed.
            let answer = client.get_ref(request).await;
            let value = answer.map(|answer| answer.into_inner().value);
            match value {
                // Commits come before refs.
                Ok(value) if !value.is_empty() => break value,
                value => assert!(std::time::Instant::now() < deadline, "{value:?}"),
            }
        };
        assert_eq!(value, commit);
        let (commit, ancestor) = (commit.clone(), ancestor.clone());
        let answer = client
            .has_ancestor(HasAncestorRequest { commit, ancestor })
            .await;
        assert!(answer.unwrap().into_inner().has_ancestor);
        let status = client
            .list_go_releases(maintner_api::pb::ListGoReleasesRequest {})
            .await;
        assert_eq!(status.unwrap_err().code(), tonic::Code::Unknown);
    }
    let asked = tokio::task::spawn_blocking(move || {
        assert_eq!(running.get("/healthz"), (200, "ok".to_owned()));
        assert_eq!(running.get("/nothing").0, 404);
        let (status, log) = running.terminate();
        assert!(status.success(), "{log}");
    });
    asked.await.unwrap();
}

#[test]
fn a_copy_of_a_log_is_gone_on_with_and_made_anew_by_each_start() {
    let mut remote = GitRemote::new();
    remote.changes([1, 2]);
    let production = Running::start(&sources(&remote), &[]);
    let cache = tempdir().unwrap();
    let mut corpus = production.follow(cache.path());
    wait_for(&mut corpus, |view| {
        let project = view.gerrit().project("go.googlesource.com", "go");
        project.is_some_and(|project| project.open_cls().count() == 2)
    });
    let home = tempdir().unwrap();
    let token = home.path().join(".github-issue-token");
    write_private(&token, "user:token\n");
    let devgo = |dir: &std::path::Path| {
        let mut command = program();
        command
            .env("HOME", home.path())
            .env("XDG_CACHE_HOME", home.path())
            .args(["--config=devgo", "--init-and-quit"])
            .arg(format!("--devgo-log=http://{}/logs", production.http))
            .arg("--data-dir")
            .arg(dir);
        command.output().unwrap()
    };
    let fork = tempdir().unwrap();
    let own = fork.path().join("maintner-2020-01-01.mutlog");
    std::fs::write(&own, "").unwrap();
    let refused = devgo(fork.path());
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("no copy") && own.exists(), "{said}");
    std::fs::remove_file(&own).unwrap();

    for _ in 0..2 {
        let output = devgo(fork.path());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(!own.exists(), "what was appended in private goes");
        let copy = maintner::Corpus::open(fork.path()).unwrap();
        // It may have grown meanwhile.
        assert!(copy.view().stats().log_bytes >= corpus.view().stats().log_bytes);
        let go = copy.view();
        let project = go.gerrit().project("go.googlesource.com", "go").unwrap();
        assert_eq!(project.open_cls().count(), 2);
        drop(copy);
        std::fs::write(&own, "").unwrap();
    }
}
