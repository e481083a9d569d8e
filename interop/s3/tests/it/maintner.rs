//! The crate `maintner`: a log in a bucket is served from there, and followed.

use std::path::Path;
use std::time::Duration;

use buckets::Bucket;
use maintner::leader::{BucketLog, BucketLogConfig, BucketLogError, Leader, LeaderConfig};
use maintner::net::{Follower, NetConfig};
use maintner::reclog::{Files, encode_into};
use maintner::serve::{LogServer, ServeConfig};
use maintner::{Config, Corpus, pb};
use prost::Message as _;
use s3_peer::S3Server;
use sha2::{Digest as _, Sha224};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// A segment with an issue for each number.
fn segment(numbers: std::ops::Range<i32>) -> Vec<u8> {
    let mut log = Vec::new();
    for number in numbers {
        encode_into(&mut log, 0, &issue(number).encode_to_vec());
    }
    log
}

fn issue(number: i32) -> pb::Mutation {
    let issue = pb::GithubIssueMutation {
        owner: "golang".into(),
        repo: "go".into(),
        number: number + 1,
        body: "x".repeat(10_000),
        ..Default::default()
    };
    pb::Mutation {
        github_issue: Some(issue),
        ..Default::default()
    }
}

/// As Go's leader stores it, which removes what the segment was before.
async fn store(bucket: &Bucket, number: usize, segment: &[u8]) {
    let name = format!("{number:04}.{}.mutlog", sum(segment));
    bucket.put(&name, &mut &*segment, 1 << 30).await.unwrap();
    for object in bucket.list(100).await.unwrap() {
        if object.name.starts_with(&format!("{number:04}.")) && object.name != name {
            bucket.remove(&object.name).await.unwrap();
        }
    }
}

fn sum(bytes: &[u8]) -> String {
    let sum: [u8; 28] = Sha224::digest(bytes).into();
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many issues there are once there are more than before.
async fn follow(corpus: Corpus) -> (Corpus, usize) {
    let following = tokio::task::spawn_blocking(move || {
        let mut corpus = corpus;
        assert!(corpus.update_within(Duration::from_secs(60)).unwrap());
        let view = corpus.view();
        let repo = view.github().repo("golang", "go").unwrap();
        (repo.issues().count(), corpus)
    });
    let (issues, corpus) = following.await.unwrap();
    (corpus, issues)
}

fn corpus(url: &str, cache: &Path) -> Corpus {
    let config = NetConfig::new(url, cache).pause(Duration::from_millis(1));
    Corpus::follow(Follower::open(config).unwrap(), Config::default())
}

/// Serves what is in the bucket while it grows and is rotated, to somebody who follows all the time and somebody who comes late.
async fn serve_and_follow(bucket: Bucket) {
    store(&bucket, 0, &segment(0..30)).await;
    let config = ServeConfig::default().poll(Duration::from_millis(20));
    let log = LogServer::open_blobs(bucket.clone(), config).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/logs", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let serving = AbortOnDropHandle::new(tokio::spawn(log.clone().serve(listener, stop.clone())));

    let cache = tempfile::tempdir().unwrap();
    let (mut early, mut issues) = follow(corpus(&url, cache.path())).await;
    assert_eq!(issues, 30);
    for (number, numbers) in [(0, 0..60), (1, 60..61), (1, 60..90)] {
        let expected = usize::try_from(numbers.end).unwrap();
        store(&bucket, number, &segment(numbers)).await;
        (early, issues) = follow(early).await;
        assert_eq!(issues, expected);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let (late, issues) = follow(corpus(&url, elsewhere.path())).await;
    assert_eq!(issues, 90);
    assert_eq!(late.view().stats().log_bytes, log.size());
    stop.cancel();
    serving.await.unwrap();
    drop(early);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_a_bucket_of_s3_is_served_and_followed() {
    let server = S3Server::start(Some("secret")).await;
    let settings = server.s3_settings("secret");
    let bucket = Bucket::open("s3://kept/maintner", settings, server.tls());
    serve_and_follow(bucket.unwrap()).await;
    assert_eq!(server.objects().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_a_bucket_of_googles_is_served_and_followed() {
    let server = S3Server::start(None).await;
    let bucket = Bucket::open("gs://kept", server.gcs_settings(), server.tls());
    serve_and_follow(bucket.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_a_bucket_in_memory_is_served_and_followed() {
    serve_and_follow(Bucket::in_memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_keeps_its_log_in_a_bucket_of_s3_until_it_is_taken_over() {
    let server = S3Server::start(Some("secret")).await;
    let settings = server.s3_settings("secret");
    let bucket = Bucket::open("s3://kept/log", settings, server.tls()).unwrap();
    let lead = async |dir: &Path, issues: std::ops::Range<i32>| {
        let max_bytes = 100_000;
        let config = LeaderConfig::default().files(Files::Numbered { max_bytes });
        let leader = Leader::open(dir, config).await.unwrap();
        for number in issues {
            leader.append(vec![issue(number)]).await.unwrap();
        }
        leader.close().await;
    };
    let open =
        |dir: &Path| BucketLog::open(bucket.clone(), dir.to_owned(), BucketLogConfig::default());
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut old = open(first.path()).await.unwrap();
    for step in 0..4 {
        lead(first.path(), step * 5..step * 5 + 5).await;
        old.flush().await.unwrap();
    }
    // Segments of 9 issues, and who leads.
    assert_eq!(server.objects().len(), 3 + 1);
    let mut new = open(second.path()).await.unwrap();
    lead(second.path(), 20..21).await;
    new.flush().await.unwrap();
    lead(first.path(), 21..22).await;
    let error = old.flush().await.unwrap_err();
    assert!(matches!(error, BucketLogError::Taken { .. }), "{error}");
    let corpus = Corpus::open(second.path()).unwrap();
    let view = corpus.view();
    let repo = view.github().repo("golang", "go").unwrap();
    assert_eq!(repo.issues().count(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_refuses_is_no_log() {
    let server = S3Server::start(Some("secret")).await;
    let settings = server.s3_settings("wrong");
    let bucket = Bucket::open("s3://kept", settings, server.tls()).unwrap();
    let opening = LogServer::open_blobs(bucket, ServeConfig::default()).await;
    let error = opening.unwrap_err();
    let mut causes = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        causes = format!("{causes}: {error}");
        cause = error.source();
    }
    assert!(causes.contains("Signature"), "{causes}");
}
