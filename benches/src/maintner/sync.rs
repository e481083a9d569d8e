//! Following a project with many changes from nothing, and looking at it again when nothing is new.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use harness::GitRemote;
use maintner::leader::{Leader, LeaderConfig, Round, Schedule, Supervisor};
use maintner::sync::GerritSource;
use maintner::{Corpus, View};

use crate::maintner::results::Results;

const HOST: &str = "go.googlesource.com";
const PROJECT: &str = "go";
/// How long upstream's leader may take for one start.
const LIMIT: Duration = Duration::from_secs(900);

/// A project of so many changes, by git from this machine's disk, by both leaders; each starts with an empty log. Its refs are in one file,
/// as a server's are: reading a file for each takes longer than all that is measured.
pub(super) fn measure(changes: u32, rounds: u32, results: &mut Results) -> anyhow::Result<()> {
    let go = harness::upstream("maintnerd")?;
    let mut remote = GitRemote::new();
    remote.changes(1..=changes);
    remote.git(&["pack-refs", "--all"], "");
    let dir = tempfile::tempdir().context("cannot make a folder for a log")?;
    // Upstream's daemon knows addresses of https alone, and wants to be known to Google's cloud, of which it then asks nothing.
    let (git_config, credentials) = (dir.path().join("gitconfig"), dir.path().join("credentials"));
    let instead = format!(
        "[url \"{}\"]\n\tinsteadOf = https://{HOST}/{PROJECT}\n",
        remote.url()
    );
    fs::write(&git_config, instead)?;
    let nobody = r#"{"type": "authorized_user", "client_id": "x", "client_secret": "y", "refresh_token": "z"}"#;
    fs::write(&credentials, nobody)?;
    for round in 0..rounds {
        eprintln!(
            "  following {changes} changes, round {} of {rounds}",
            round + 1
        );
        let log = dir.path().join(format!("ours-{round}"));
        let clock = Instant::now();
        let first = follow(&log, &remote)?;
        results.add("sync/ours/seconds", clock.elapsed().as_secs_f64())?;
        results.add("sync/ours/requests", first.requests as f64)?;
        let clock = Instant::now();
        let again = follow(&log, &remote)?;
        ensure!(again.mutations == 0, "a second round found {again:?}");
        results.add("sync/ours/again_seconds", clock.elapsed().as_secs_f64())?;
        results.add("sync/ours/again_requests", again.requests as f64)?;

        let theirs = dir.path().join(format!("theirs-{round}"));
        let mut followed = 0;
        for kind in ["", "again_"] {
            let mut command = go.command();
            command
                .args(["-sync-and-quit", "-watch-gerrit"])
                .arg(format!("{HOST}/{PROJECT}"))
                .arg("-data-dir")
                .arg(&theirs)
                .env("GIT_CONFIG_GLOBAL", &git_config)
                .env("GOOGLE_APPLICATION_CREDENTIALS", &credentials);
            fs::create_dir_all(&theirs)?;
            let said = dir.path().join("said");
            let (seconds, is_over) = run(&mut command, &said)?;
            results.add(&format!("sync/go/{kind}seconds"), seconds)?;
            // One `git fetch`, one `git ls-remote`, and a fetch of each batch.
            let said = fs::read_to_string(&said)?;
            let batches = said.lines().filter(|line| line.contains("fetching "));
            let requests = 2 + batches.count();
            results.add(&format!("sync/go/{kind}requests"), requests as f64)?;
            followed = all_changes(&Corpus::open(&theirs)?.view());
            if !is_over {
                break;
            }
        }
        results.add("sync/go/changes", followed as f64)?;
        if followed == changes as usize {
            let (ours, theirs) = (Corpus::open(&log)?, Corpus::open(&theirs)?);
            ensure!(
                open_changes(&ours.view()) == open_changes(&theirs.view()),
                "the logs differ"
            );
        }
    }
    results.add("sync/changes", f64::from(changes))
}

/// Runs a program to its end, or for as long as it may, and tells how long that was and whether it ended.
fn run(command: &mut Command, said: &Path) -> anyhow::Result<(f64, bool)> {
    let clock = Instant::now();
    let mut child = command
        .stderr(File::create(said)?)
        .spawn()
        .context("cannot run upstream's maintnerd")?;
    loop {
        if let Some(status) = child.try_wait()? {
            let seconds = clock.elapsed().as_secs_f64();
            let why = || fs::read_to_string(said).unwrap_or_default();
            ensure!(status.success(), "upstream's maintnerd failed: {}", why());
            return Ok((seconds, true));
        }
        if clock.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            return Ok((clock.elapsed().as_secs_f64(), false));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// One round, from the start of a leader to its end.
fn follow(log: &Path, remote: &GitRemote) -> anyhow::Result<Round> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let leader = Leader::open(log, LeaderConfig::default()).await?;
        let mut supervisor = Supervisor::new(leader.clone());
        let git = log.join("git");
        let source = GerritSource::named(&remote.url(), &format!("{HOST}/{PROJECT}"), git)?;
        supervisor.add(source, Schedule::every(Duration::from_secs(300)));
        let rounds = supervisor.run_once().await?;
        leader.close().await;
        rounds.into_iter().next().context("there was no round")
    })
}

fn all_changes(view: &View) -> usize {
    let project = view.gerrit().project(HOST, PROJECT);
    project.map_or(0, |project| project.all_cls().count())
}

fn open_changes(view: &View) -> Vec<(i32, String)> {
    let project = view.gerrit().project(HOST, PROJECT);
    project.map_or_else(Vec::new, |project| {
        project
            .open_cls()
            .map(|cl| (cl.number(), cl.subject().into_owned()))
            .collect()
    })
}
