//! A log that is in a bucket too.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Instant;

use harness::GitRemote;
use maintner::Corpus;
use s3_peer::S3Server;
use tempfile::{TempDir, tempdir};
use tokio::runtime::Runtime;

use crate::support::{LIMIT, Running, program, wait_for};

/// A server of S3's protocol, and what a program needs to talk to it.
pub(crate) struct Place {
    pub(crate) server: S3Server,
    folder: TempDir,
    _runtime: Runtime,
}

impl Place {
    pub(crate) fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(S3Server::start(Some("secret")));
        let folder = tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), server.certificate()).unwrap();
        Self {
            server,
            folder,
            _runtime: runtime,
        }
    }

    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let mut env = self.server.s3_settings("secret");
        let ca = self.folder.path().join("ca.pem").display().to_string();
        env.push(("SSL_CERT_FILE".to_owned(), ca));
        env
    }

    fn run(&self, dir: &Path, args: &[&str]) -> Output {
        let mut command = program();
        command.current_dir(dir).envs(self.env()).args(args);
        command.output().unwrap()
    }

    /// Objects that are segments.
    fn segments(&self) -> Vec<String> {
        let objects = self.server.objects().into_iter();
        objects.filter(|name| name.ends_with(".mutlog")).collect()
    }
}

fn sources(remote: &GitRemote) -> String {
    format!(
        "[gerrit]\ninterval_seconds = 1\n[[gerrit.project]]\nname = 'go.googlesource.com/go'\nurl = '{}'\n",
        remote.url()
    )
}

fn open_cls(corpus: &Corpus) -> usize {
    let view = corpus.view();
    let project = view.gerrit().project("go.googlesource.com", "go");
    project.map_or(0, |project| project.open_cls().count())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

const BUCKET: &str = "-bucket=s3://kept/log";

#[test]
fn what_is_followed_is_in_the_bucket_when_the_program_ends_and_makes_a_folder_elsewhere() {
    let place = Place::new();
    let mut remote = GitRemote::new();
    remote.changes([1, 2]);
    let running = Running::start_with(&sources(&remote), &[BUCKET], &place.env());
    let cache = tempdir().unwrap();
    let mut corpus = running.follow(cache.path());
    let two = |view: &maintner::View| {
        let project = view.gerrit().project("go.googlesource.com", "go");
        project.is_some_and(|project| project.open_cls().count() == 2)
    };
    wait_for(&mut corpus, two);
    let (_, page) = running.get("/");
    assert!(page.contains("are still to be stored"), "{page}");
    let (_, numbers) = running.get("/metrics");
    assert!(
        numbers.contains("\nmaintnerd_bucket_bytes 0\n"),
        "{numbers}"
    );
    assert_eq!(place.segments().len(), 0, "ten minutes have not passed");
    let (status, log) = running.terminate();
    assert!(status.success(), "{log}");
    assert_eq!(place.segments().len(), 1, "{log}");

    let elsewhere = tempdir().unwrap();
    fs::write(elsewhere.path().join("s.toml"), sources(&remote)).unwrap();
    let args = ["-config=s.toml", "-data-dir=data", BUCKET];
    let output = place.run(elsewhere.path(), &[&args[..], &["-init-and-quit"]].concat());
    assert!(output.status.success(), "{}", text(&output));
    let segments = elsewhere.path().join("data/segments");
    assert_eq!(open_cls(&Corpus::open(&segments).unwrap()), 2);
    remote.changes([3]);
    let output = place.run(elsewhere.path(), &[&args[..], &["-sync-and-quit"]].concat());
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(place.segments().len(), 1);
    assert_eq!(open_cls(&Corpus::open(&segments).unwrap()), 3);
    // The folder is that bucket's.
    let other = [
        "-init-and-quit",
        "-config=s.toml",
        "-data-dir=data",
        "-bucket=s3://kept/other",
    ];
    let output = place.run(elsewhere.path(), &other);
    assert!(!output.status.success());
    assert!(
        text(&output).contains("belongs to s3://kept/log"),
        "{}",
        text(&output)
    );
}

#[test]
fn who_is_taken_over_ends_and_says_why() {
    let place = Place::new();
    let mut remote = GitRemote::new();
    remote.changes([1]);
    let first = Running::start_with(&sources(&remote), &[BUCKET], &place.env());
    let deadline = Instant::now() + LIMIT;
    while !first.get("/metrics").1.contains("maintnerd_bucket_bytes") {
        assert!(Instant::now() < deadline, "the log is not loaded");
    }
    let cache = tempdir().unwrap();
    let mut corpus = first.follow(cache.path());
    wait_for(&mut corpus, |view| view.gerrit().projects().count() == 1);
    let elsewhere = tempdir().unwrap();
    let output = place.run(
        elsewhere.path(),
        &["-data-dir=data", BUCKET, "-init-and-quit"],
    );
    assert!(output.status.success(), "{}", text(&output));
    let (status, log) = first.terminate();
    assert!(!status.success(), "{log}");
    assert!(log.contains("somebody else writes to the bucket"), "{log}");
    assert_eq!(place.segments().len(), 0);
}

#[test]
fn a_log_by_days_goes_to_the_bucket_and_the_program_goes_on_there() {
    let place = Place::new();
    let mut remote = GitRemote::new();
    remote.changes([1, 2]);
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("s.toml"), sources(&remote)).unwrap();
    let with = |more: &[&str]| {
        let args = [&["-config=s.toml", "-data-dir=data"], more].concat();
        place.run(dir.path(), &args)
    };
    let output = with(&["-bucket=", "-migrate-disk-to-gcs"]);
    assert!(!output.status.success());
    assert!(
        text(&output).contains("needs --bucket"),
        "{}",
        text(&output)
    );
    assert!(with(&["-sync-and-quit"]).status.success());
    // With another key nothing comes there, but the folder is ready.
    let mut wrong = program();
    wrong.current_dir(dir.path()).envs(place.env());
    wrong.env("AWS_SECRET_ACCESS_KEY", "wrong");
    let output = wrong
        .args([
            "-config=s.toml",
            "-data-dir=data",
            BUCKET,
            "-migrate-disk-to-gcs",
        ])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains("Signature"), "{}", text(&output));
    let output = with(&[BUCKET, "-sync-and-quit"]);
    assert!(!output.status.success());
    assert!(
        text(&output).contains("migrate-disk-to-gcs again"),
        "{}",
        text(&output)
    );
    let output = with(&[BUCKET, "-migrate-disk-to-gcs"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("1 segments"), "{}", text(&output));
    assert_eq!(place.segments().len(), 1);
    let data = dir.path().join("data");
    let there = Corpus::open(data.join("segments")).unwrap();
    assert_eq!(
        there.view().stats().records,
        Corpus::open(&data).unwrap().view().stats().records
    );
    remote.changes([3]);
    let output = with(&[BUCKET, "-sync-and-quit"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(open_cls(&Corpus::open(data.join("segments")).unwrap()), 3);
    assert_eq!(
        open_cls(&Corpus::open(&data).unwrap()),
        2,
        "the disk log is as it was"
    );
    // Another time it would be too late.
    let output = with(&[BUCKET, "-migrate-disk-to-gcs"]);
    assert!(!output.status.success());
    assert!(
        text(&output).contains("is there already"),
        "{}",
        text(&output)
    );
}
