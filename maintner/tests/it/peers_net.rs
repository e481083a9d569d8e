//! Go's network source follows our server, we use its cache, and our follower follows Go's server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use harness::Program;
use maintner::net::{Follower, NetConfig};
use maintner::reclog::{Writer, WriterConfig};
use maintner::serve::{FileBlobs, ServeConfig};
use maintner::{Config, Corpus};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::fake_server::FakeServer;
use crate::net_faults::segment;
use crate::net_vectors::issues;
use crate::served::Served;
use crate::support::{day, issue, mutation};

/// A Go program that prints a line of JSON after each step.
struct Peer {
    child: Child,
    lines: Receiver<String>,
}

/// How long any step may take.
const STEP_LIMIT: Duration = Duration::from_secs(180);

impl Peer {
    fn start(go: &Program, args: &[&str]) -> Self {
        let mut child = go
            .command()
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // Ends with the child.
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    fn next(&mut self) -> Value {
        let line = self.lines.recv_timeout(STEP_LIMIT);
        let line = line.expect("the peer has ended, or hangs");
        serde_json::from_str(&line).unwrap()
    }

    /// Until the corpus has so many issues.
    fn until(&mut self, issues: usize) {
        loop {
            let step = self.next();
            assert_ne!(step["split"], json!(true), "{step}");
            if step["issues"] == json!(issues) {
                return;
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn append(dir: &Path, after: u64, numbers: std::ops::Range<i32>) {
    let mut log = Writer::open(dir, WriterConfig::default()).unwrap();
    log.append_at(day(after), numbers.map(mutation)).unwrap();
}

#[test]
fn go_follows_our_server_over_growth_rotation_and_restart_and_we_use_its_cache() {
    let Some(go) = harness::peer_or_skip("gomaintner") else {
        return;
    };
    let (dir, cache) = (tempdir().unwrap(), tempdir().unwrap());
    append(dir.path(), 0, 1..11);
    let mut served = Served::new(dir.path());
    let mut peer = Peer::start(
        &go,
        &["follow", &served.url(), cache.path().to_str().unwrap()],
    );
    peer.until(10);
    append(dir.path(), 0, 11..21);
    peer.until(20);
    append(dir.path(), 1, 21..31);
    peer.until(30);
    let address = served.address;
    drop(served);
    append(dir.path(), 1, 31..41);
    served = Served::at(dir.path(), address, ServeConfig::default());
    peer.until(40);
    append(dir.path(), 2, 41..51);
    peer.until(50);
    drop(peer);
    drop(served);

    // All that Go cached is used, as nothing can be fetched.
    let server = FakeServer::new();
    server.set(&[&segment(1..21), &segment(21..41), &segment(41..51)]);
    server.script.lock().unwrap().blobs.clear();
    let mut corpus = server.corpus(cache.path());
    corpus.update().unwrap();
    assert_eq!(issues(&corpus).len(), 50);
    assert_eq!(server.requests(), ["/logs"]);
}

#[test]
fn our_follower_follows_gos_server_over_growth_and_rotation() {
    let Some(go) = harness::peer_or_skip("gomaintner") else {
        return;
    };
    let cache = tempdir().unwrap();
    let mut peer = Peer::start(&go, &["serve"]);
    let address = peer.next();
    let url = format!("http://{}/logs", address["address"].as_str().unwrap());
    let config = NetConfig::new(url, cache.path()).pause(Duration::from_millis(10));
    let mut corpus = Corpus::follow(Follower::open(config).unwrap(), Config::default());
    let mut stdin = peer.child.stdin.take().unwrap();
    let mut expected = 0;
    // The second batch has more than a segment may.
    for (issues_more, bytes_each) in [(10, 10), (18, 1 << 20), (5, 10), (5, 10)] {
        writeln!(stdin, "{issues_more} {bytes_each}").unwrap();
        assert_eq!(peer.next()["ok"], json!(true));
        expected += issues_more;
        while issues(&corpus).len() < expected {
            assert!(corpus.update_within(Duration::from_secs(60)).unwrap());
        }
        assert_eq!(issues(&corpus).len(), expected);
    }
    let frozen = std::fs::read_dir(cache.path()).unwrap();
    let frozen = frozen.filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        name.len() == 68
    });
    assert!(frozen.count() >= 1, "it rotated");
}

#[test]
fn the_bucket_of_gos_leader_is_served_and_loaded() {
    let Some(go) = harness::peer_or_skip("gomaintner") else {
        return;
    };
    let (bucket, cache) = (tempdir().unwrap(), tempdir().unwrap());
    let mut peer = Peer::start(&go, &["serve", bucket.path().to_str().unwrap()]);
    peer.next();
    let mut stdin = peer.child.stdin.take().unwrap();
    // The leader stores a segment once it is full: 15 of these fit into one.
    writeln!(stdin, "32 {}", 1 << 20).unwrap();
    assert_eq!(peer.next()["ok"], json!(true));
    drop(peer);
    let stored = std::fs::read_dir(bucket.path()).unwrap().count();
    assert_eq!(stored, 2);
    let served = Served::blobs(FileBlobs::new(bucket.path()));
    let config = NetConfig::new(served.url(), cache.path());
    let mut corpus = Corpus::follow(Follower::open(config).unwrap(), Config::default());
    corpus.update().unwrap();
    assert_eq!(issues(&corpus).len(), 30);
}

/// What one program stored, for the other: objects are files.
#[cfg(all(feature = "leader", feature = "s3"))]
#[test]
fn go_goes_on_from_the_bucket_of_our_leader_and_we_from_gos() {
    use maintner::leader::{BucketLog, BucketLogConfig, Leader, LeaderConfig};
    use maintner::reclog::Files;
    use maintner::serve::Bucket;
    use tokio::io::AsyncReadExt as _;

    let Some(go) = harness::peer_or_skip("gomaintner") else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = |bucket: &Bucket, dir: &Path, appended: Vec<maintner::pb::Mutation>| {
        runtime.block_on(async {
            let log = BucketLog::open(bucket.clone(), dir, BucketLogConfig::default()).await;
            let max_bytes = Files::SEGMENT;
            let config = LeaderConfig::default().files(Files::Numbered { max_bytes });
            let leader = Leader::open(dir, config).await.unwrap();
            leader.append(appended).await.unwrap();
            let running = tokio::spawn(log.unwrap().run(leader.clone()));
            leader.close().await;
            running.await.unwrap().unwrap();
        });
    };
    let (ours, objects) = (tempdir().unwrap(), tempdir().unwrap());
    let bucket = Bucket::in_memory();
    store(&bucket, ours.path(), (1000..1010).map(issue).collect());
    runtime.block_on(async {
        for object in bucket.list(10).await.unwrap() {
            let mut content = Vec::new();
            let mut stored = bucket.get(&object.name, 0..u64::MAX).await.unwrap();
            stored.read_to_end(&mut content).await.unwrap();
            std::fs::write(objects.path().join(object.name), content).unwrap();
        }
    });

    // Go's leader has ours, and appends to the same segment, and the next.
    let mut peer = Peer::start(&go, &["serve", objects.path().to_str().unwrap()]);
    let address = peer.next()["address"].as_str().unwrap().to_owned();
    let cache = tempdir().unwrap();
    let config = NetConfig::new(format!("http://{address}/logs"), cache.path());
    let mut corpus = Corpus::follow(Follower::open(config).unwrap(), Config::default());
    corpus.update().unwrap();
    assert_eq!(issues(&corpus).len(), 10);
    let mut stdin = peer.child.stdin.take().unwrap();
    writeln!(stdin, "20 {}", 1 << 20).unwrap();
    assert_eq!(peer.next()["ok"], json!(true));
    drop(peer);

    // We have all that it stored, and append.
    let bucket = Bucket::in_memory();
    runtime.block_on(async {
        for file in std::fs::read_dir(objects.path()).unwrap() {
            let file = file.unwrap();
            let content = std::fs::read(file.path()).unwrap();
            let name = file.file_name().into_string().unwrap();
            bucket.put(&name, &mut &*content, 1 << 30).await.unwrap();
        }
    });
    for place in [tempdir().unwrap(), ours] {
        store(&bucket, place.path(), vec![issue(2000)]);
        let found = issues(&Corpus::open(place.path()).unwrap()).len();
        // Those of the first segment, as Go stores the next later.
        assert_eq!(found, 10 + 15 + 1);
    }
}
