//! A leader whose log a bucket has too.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use maintner::leader::{BucketLog, BucketLogConfig, BucketLogError, Leader, LeaderConfig};
use maintner::net::{Follower, NetConfig};
use maintner::reclog::{Files, Sync, segments};
use maintner::serve::Bucket;
use maintner::{Config, Corpus, View, pb};
use sha2::{Digest as _, Sha224};
use tempfile::tempdir;
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::served::Served;

/// A few issues fill a segment.
const SMALL: u64 = 200;

fn issue(number: i32, body: usize) -> Vec<pb::Mutation> {
    vec![pb::Mutation {
        github_issue: Some(pb::GithubIssueMutation {
            owner: "o".to_owned(),
            repo: "r".to_owned(),
            number: number + 1, // 0 is none
            title: format!("issue {number}"),
            body: "x".repeat(body),
            ..Default::default()
        }),
        ..Default::default()
    }]
}

fn numbers(view: &View) -> Vec<i32> {
    let repo = view.github().repo("o", "r");
    repo.map_or_else(Vec::new, |repo| {
        repo.issues().map(|issue| issue.number() - 1).collect()
    })
}

async fn open(bucket: &Bucket, dir: &Path) -> Result<BucketLog, BucketLogError> {
    BucketLog::open(bucket.clone(), dir, BucketLogConfig::default()).await
}

async fn lead(dir: &Path, max_bytes: u64) -> Leader {
    let config = LeaderConfig::default()
        .files(Files::Numbered { max_bytes })
        .sync(Sync::Never);
    Leader::open(dir, config).await.unwrap()
}

/// Appends issues, each by itself.
async fn append(dir: &Path, issues: std::ops::Range<i32>) {
    let leader = lead(dir, SMALL).await;
    for number in issues {
        leader.append(issue(number, 0)).await.unwrap();
    }
    leader.close().await;
}

/// The objects of segments.
async fn objects(bucket: &Bucket) -> BTreeSet<String> {
    let listed = bucket.list(1000).await.unwrap().into_iter();
    let names = listed.map(|object| object.name);
    names.filter(|name| name != "leader").collect()
}

fn files(dir: &Path) -> Vec<Vec<u8>> {
    let segments = segments(dir).unwrap().into_iter();
    segments
        .map(|segment| fs::read(segment.path).unwrap())
        .collect()
}

fn name(number: usize, content: &[u8]) -> String {
    use std::fmt::Write as _;
    let sum = Sha224::digest(content);
    let hex = sum.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    format!("{number:04}.{hex}.mutlog")
}

async fn put(bucket: &Bucket, number: usize, content: &[u8]) -> String {
    let name = name(number, content);
    let mut source = content;
    bucket.put(&name, &mut source, 1 << 30).await.unwrap();
    name
}

#[tokio::test]
async fn the_bucket_has_what_the_folder_has_and_makes_another_folder() {
    let (bucket, first, second) = (Bucket::in_memory(), tempdir().unwrap(), tempdir().unwrap());
    let mut log = open(&bucket, first.path()).await.unwrap();
    assert_eq!(log.flush().await.unwrap().objects, 0);
    for step in 0..10 {
        append(first.path(), step * 5..step * 5 + 5).await;
        let flushed = log.flush().await.unwrap();
        assert!(flushed.objects > 0, "{flushed:?}");
        let contents = files(first.path());
        let expected = (contents.iter().enumerate())
            .map(|(number, content)| name(number, content))
            .collect();
        assert_eq!(objects(&bucket).await, expected);
        let bytes = contents.iter().map(Vec::len).sum::<usize>() as u64;
        let status = log.status().borrow().clone();
        assert_eq!((status.bytes, log.bytes()), (bytes, bytes));
        assert_eq!(status.segments, contents.len());
        assert!(status.stored.is_some());
        assert_eq!(log.flush().await.unwrap().objects, 0);
    }
    drop(log);
    assert!(files(first.path()).len() > 5);

    let log = open(&bucket, second.path()).await.unwrap();
    assert_eq!(files(second.path()), files(first.path()));
    append(second.path(), 50..51).await;
    assert_eq!(
        numbers(&Corpus::open(second.path()).unwrap().view()),
        (0..51).collect::<Vec<_>>()
    );
    drop(log);
    // A folder that was left behind is brought up.
    let mut log = open(&bucket, second.path()).await.unwrap();
    log.flush().await.unwrap();
    drop(log);
    drop(open(&bucket, first.path()).await.unwrap());
    assert_eq!(files(second.path()), files(first.path()));
}

#[test]
fn followers_of_the_bucket_see_what_was_appended() {
    let (bucket, dir, cache) = (Bucket::in_memory(), tempdir().unwrap(), tempdir().unwrap());
    Runtime::new().unwrap().block_on(async {
        let mut log = open(&bucket, dir.path()).await.unwrap();
        append(dir.path(), 0..20).await;
        log.flush().await.unwrap();
    });
    let served = Served::blobs(bucket);
    let config = NetConfig::new(served.url(), cache.path());
    let mut corpus = Corpus::follow(Follower::open(config).unwrap(), Config::default());
    corpus.update().unwrap();
    assert_eq!(numbers(&corpus.view()), (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_a_crash_left_is_made_good_at_the_next_start() {
    let (bucket, dir) = (Bucket::in_memory(), tempdir().unwrap());
    let mut log = open(&bucket, dir.path()).await.unwrap();
    append(dir.path(), 0..20).await;
    log.flush().await.unwrap();
    // The longer object is there, and the one before too.
    let contents = files(dir.path());
    let last = contents.len() - 1;
    let leader = lead(dir.path(), 1 << 20).await;
    leader.append(issue(20, 0)).await.unwrap();
    leader.close().await;
    let longer = put(&bucket, last, &files(dir.path())[last]).await;
    drop(log);
    let mut log = open(&bucket, dir.path()).await.unwrap();
    assert!(
        !objects(&bucket)
            .await
            .contains(&name(last, &contents[last]))
    );
    assert!(objects(&bucket).await.contains(&longer));
    assert_eq!(log.flush().await.unwrap().objects, 0);
    drop(log);
    // A record is cut off, which nobody was told of; what stands before it is stored.
    append(dir.path(), 21..22).await;
    let path = maintner::reclog::segments(dir.path()).unwrap();
    let path = &path.last().unwrap().path;
    let mut torn = fs::read(path).unwrap();
    torn.extend_from_slice(b"REC@");
    fs::write(path, torn).unwrap();
    let mut log = open(&bucket, dir.path()).await.unwrap();
    log.flush().await.unwrap();
    append(dir.path(), 22..23).await;
    log.flush().await.unwrap();
    drop(log);
    // The folder is lost.
    let fresh = tempdir().unwrap();
    drop(open(&bucket, fresh.path()).await.unwrap());
    assert_eq!(
        numbers(&Corpus::open(fresh.path()).unwrap().view()),
        (0..23).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn who_was_taken_over_stores_nothing_more() {
    let (bucket, first, second) = (Bucket::in_memory(), tempdir().unwrap(), tempdir().unwrap());
    let mut old = open(&bucket, first.path()).await.unwrap();
    append(first.path(), 0..5).await;
    old.flush().await.unwrap();
    let mut new = open(&bucket, second.path()).await.unwrap();
    let before = objects(&bucket).await;
    append(first.path(), 5..6).await;
    let error = old.flush().await.unwrap_err();
    assert!(matches!(error, BucketLogError::Taken { .. }), "{error}");
    assert!(error.is_final());
    assert_eq!(objects(&bucket).await, before);
    append(second.path(), 6..7).await;
    new.flush().await.unwrap();
    drop((old, new));
    // What the old one had alone is another history now.
    let error = open(&bucket, first.path()).await.unwrap_err();
    assert!(matches!(error, BucketLogError::Diverged { .. }), "{error}");
    assert_eq!(
        numbers(&Corpus::open(first.path()).unwrap().view()),
        [0, 1, 2, 3, 4, 5]
    );
}

#[tokio::test]
async fn somebody_who_knows_of_no_leader_is_seen() {
    let (bucket, dir) = (Bucket::in_memory(), tempdir().unwrap());
    let mut log = open(&bucket, dir.path()).await.unwrap();
    append(dir.path(), 0..5).await;
    log.flush().await.unwrap();
    append(dir.path(), 5..6).await;
    let mut foreign = files(dir.path()).pop().unwrap();
    foreign.extend_from_slice(b"more");
    let number = files(dir.path()).len() - 1;
    let other = put(&bucket, number, &foreign).await;
    let error = log.flush().await.unwrap_err();
    assert!(
        matches!(&error, BucketLogError::Changed { object } if *object == other),
        "{error}"
    );
    assert!(objects(&bucket).await.contains(&other));
    bucket.remove(&other).await.unwrap();
    log.flush().await.unwrap();
    // One of ours goes.
    bucket
        .remove(&name(0, &files(dir.path())[0]))
        .await
        .unwrap();
    append(dir.path(), 6..7).await;
    let error = log.flush().await.unwrap_err();
    assert!(
        matches!(
            error,
            BucketLogError::Missing { number: 0, .. } | BucketLogError::Changed { .. }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn folders_and_buckets_that_do_not_belong_together_are_refused_and_left_as_they_are() {
    type Spoil = fn(&Path);
    let cases: [(&str, Spoil); 6] = [
        ("two histories", |dir| {
            let file = dir.join("maintner-000000.mutlog");
            let mut content = fs::read(&file).unwrap();
            *content.last_mut().unwrap() ^= 1;
            fs::write(file, content).unwrap();
        }),
        ("two histories", |dir| {
            let file = dir.join("maintner-000000.mutlog");
            let content = fs::read(&file).unwrap();
            fs::write(file, &content[..10]).unwrap();
        }),
        ("two histories", |dir| {
            let file = dir.join("maintner-000000.mutlog");
            let mut content = fs::read(&file).unwrap();
            content.extend_from_slice(b"more");
            fs::write(file, content).unwrap();
        }),
        ("no numbered segment", |dir| {
            fs::write(dir.join("maintner-2020-01-02.mutlog"), "").unwrap();
        }),
        ("segment 3 is missing", |dir| {
            fs::write(dir.join("maintner-000004.mutlog"), "").unwrap();
        }),
        ("cannot use", |dir| {
            fs::remove_file(dir.join("maintner-000001.mutlog")).unwrap();
            // Where the one that is fetched would arrive.
            fs::create_dir(dir.join("arriving-segment")).unwrap();
        }),
    ];
    for (part, spoil) in cases {
        let (bucket, dir) = (Bucket::in_memory(), tempdir().unwrap());
        let mut log = open(&bucket, dir.path()).await.unwrap();
        append(dir.path(), 0..15).await;
        assert_eq!(files(dir.path()).len(), 3);
        log.flush().await.unwrap();
        drop(log);
        spoil(dir.path());
        let (before, there) = (files(dir.path()), objects(&bucket).await);
        let error = open(&bucket, dir.path()).await.unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
        assert_eq!(files(dir.path()), before, "{part}");
        assert_eq!(objects(&bucket).await, there, "{part}");
    }
}

#[tokio::test]
async fn a_damaged_object_is_not_taken_and_a_folder_in_use_neither() {
    let (bucket, dir) = (Bucket::in_memory(), tempdir().unwrap());
    let named = name(0, b"REC@0+1=x");
    bucket
        .put(&named, &mut &b"REC@0+1=y"[..], 100)
        .await
        .unwrap();
    let error = open(&bucket, dir.path()).await.unwrap_err();
    assert!(
        matches!(&error, BucketLogError::Damaged { object } if *object == named),
        "{error}"
    );
    assert!(files(dir.path()).is_empty());
    bucket.remove(&named).await.unwrap();
    let log = open(&bucket, dir.path()).await.unwrap();
    let error = open(&bucket, dir.path()).await.unwrap_err();
    assert!(matches!(error, BucketLogError::Locked { .. }), "{error}");
    drop(log);
    open(&bucket, dir.path()).await.unwrap();
}

#[tokio::test]
async fn an_older_object_of_another_history_stays_where_it_is() {
    let (bucket, dir) = (Bucket::in_memory(), tempdir().unwrap());
    let mut log = open(&bucket, dir.path()).await.unwrap();
    let other = put(&bucket, 0, b"REC@0+1=x").await;
    append(dir.path(), 0..2).await;
    put(&bucket, 0, &files(dir.path())[0]).await;
    drop(log);
    log = open(&bucket, dir.path()).await.unwrap();
    assert_eq!(log.flush().await.unwrap().objects, 0);
    append(dir.path(), 2..3).await;
    log.flush().await.unwrap();
    let expected = [name(0, &files(dir.path())[0]), other];
    assert_eq!(objects(&bucket).await, expected.into());
}

#[tokio::test]
async fn what_is_appended_is_stored_when_a_segment_is_full_and_at_the_end() {
    let (bucket, dir) = (Bucket::in_memory(), tempdir().unwrap());
    let log = open(&bucket, dir.path()).await.unwrap();
    let mut status = log.status();
    let leader = lead(dir.path(), Files::SEGMENT).await;
    let running = tokio::spawn(log.run(leader.clone()));
    for number in 0..17 {
        leader.append(issue(number, 1 << 20)).await.unwrap();
    }
    // Long before ten minutes.
    let stored = status.wait_for(|status| status.stored.is_some()).await;
    assert!(stored.unwrap().bytes > 1 << 20);
    leader.append(issue(17, 0)).await.unwrap();
    let bytes = leader.stats().log_bytes;
    leader.close().await;
    running.await.unwrap().unwrap();
    assert_eq!(status.borrow().bytes, bytes);
    let mut last = bucket
        .get(&name(1, &files(dir.path())[1]), 0..u64::MAX)
        .await
        .unwrap();
    let mut content = Vec::new();
    last.read_to_end(&mut content).await.unwrap();
    assert_eq!(content, files(dir.path())[1]);
}

#[tokio::test]
async fn a_leader_with_nothing_to_store_sees_that_it_was_taken_over() {
    let (bucket, dir, other) = (Bucket::in_memory(), tempdir().unwrap(), tempdir().unwrap());
    let config = BucketLogConfig::default().look(Duration::from_millis(1));
    let log = BucketLog::open(bucket.clone(), dir.path(), config).await;
    let log = log.unwrap();
    let status = log.status();
    let running = tokio::spawn(log.run(lead(dir.path(), SMALL).await));
    let _other = open(&bucket, other.path()).await.unwrap();
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error, BucketLogError::Taken { .. }), "{error}");
    assert!(status.borrow().error.is_some());
}

#[tokio::test]
async fn a_leader_that_ends_does_not_wait_for_what_cannot_be_stored() {
    let (bucket, dir) = (Bucket::in_memory(), tempdir().unwrap());
    let log = open(&bucket, dir.path()).await.unwrap();
    append(dir.path(), 0..1).await;
    let leader = lead(dir.path(), SMALL).await;
    let segment = segments(dir.path()).unwrap().remove(0).path;
    fs::remove_file(&segment).unwrap();
    fs::create_dir(&segment).unwrap();
    leader.close().await;
    let error = timeout(Duration::from_secs(30), log.run(leader))
        .await
        .unwrap();
    let error = error.unwrap_err();
    assert!(matches!(error, BucketLogError::Io { .. }), "{error}");
}

#[tokio::test]
async fn a_leader_that_is_taken_over_ends_by_itself() {
    let (bucket, dir, other) = (Bucket::in_memory(), tempdir().unwrap(), tempdir().unwrap());
    let config = BucketLogConfig::default().interval(Duration::from_millis(1));
    let log = BucketLog::open(bucket.clone(), dir.path(), config).await;
    let leader = lead(dir.path(), SMALL).await;
    let _other = open(&bucket, other.path()).await.unwrap();
    let log = log.unwrap();
    let status = log.status();
    let running = tokio::spawn(log.run(leader.clone()));
    leader.append(issue(1, 0)).await.unwrap();
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error, BucketLogError::Taken { .. }), "{error}");
    let said = status.borrow().error.clone().unwrap();
    assert!(said.contains("somebody else"), "{said}");
}
