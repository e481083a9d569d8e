//! Serving a log that is kept as blobs, as Go's leader keeps it in a bucket.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use maintner::net::{Follower, NetConfig};
use maintner::serve::{
    BlobStream, FileBlobs, LogBlob, LogBlobs, LogServer, ServeConfig, ServeError,
};
use maintner::{Config, Corpus, LoadError};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::runtime::Runtime;

use crate::fake_server::sum;
use crate::net_faults::segment;
use crate::net_vectors::issues;
use crate::serve::ask;
use crate::served::Served;
use crate::support::vector;

/// Blobs in memory, whose storage fails when it is told to.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    blobs: BTreeMap<String, (Arc<[u8]>, u64)>,
    stored: u64,
    /// What every call fails with.
    error: Option<io::ErrorKind>,
    /// Only this many bytes of a blob come.
    cut_at: Option<u64>,
    /// No call ends.
    is_silent: bool,
    reads: usize,
}

impl Kept {
    fn with(segments: &[&[u8]]) -> Self {
        let kept = Self::default();
        for (number, segment) in segments.iter().enumerate() {
            kept.store(number, segment);
        }
        kept
    }

    /// As Go's leader: what the segment was before goes.
    fn store(&self, number: usize, segment: &[u8]) {
        let mut state = self.0.lock().unwrap();
        let first = format!("{number:04}.");
        state.blobs.retain(|name, _| !name.starts_with(&first));
        state.stored += 1;
        let stored = state.stored;
        state
            .blobs
            .insert(name(number, segment), (segment.into(), stored));
    }

    fn edit(&self, edit: impl FnOnce(&mut State)) {
        edit(&mut self.0.lock().unwrap());
    }

    /// What a call begins with.
    async fn call(&self) -> io::Result<()> {
        let (error, is_silent) = {
            let state = self.0.lock().unwrap();
            (state.error, state.is_silent)
        };
        if is_silent {
            std::future::pending::<()>().await;
        }
        error.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

#[async_trait]
impl LogBlobs for Kept {
    async fn list(&self, limit: usize) -> io::Result<Vec<LogBlob>> {
        self.call().await?;
        let state = self.0.lock().unwrap();
        assert!(state.blobs.len() <= limit);
        let blob = |(name, (content, stored)): (&String, &(Arc<[u8]>, u64))| LogBlob {
            name: name.clone(),
            size: content.len() as u64,
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(*stored),
        };
        Ok(state.blobs.iter().map(blob).collect())
    }

    async fn read(&self, name: &str, range: Range<u64>) -> io::Result<BlobStream> {
        self.call().await?;
        let mut state = self.0.lock().unwrap();
        state.reads += 1;
        let (content, _) = state.blobs.get(name).ok_or(io::ErrorKind::NotFound)?;
        let end = range.end.min(state.cut_at.unwrap_or(u64::MAX)) as usize;
        let part = content[range.start as usize..end].to_vec();
        Ok(Box::pin(io::Cursor::new(part)))
    }
}

fn name(number: usize, segment: &[u8]) -> String {
    format!("{number:04}.{}.mutlog", sum(segment))
}

fn corpus(served: &Served, cache: &Path) -> Corpus {
    let config = NetConfig::new(served.url(), cache)
        .tries(2)
        .pause(Duration::from_millis(1));
    Corpus::follow(Follower::open(config).unwrap(), Config::default())
}

#[test]
fn what_goes_on_in_a_bucket_is_followed() {
    let kept = Kept::with(&[&segment(0..3)]);
    kept.edit(|state| {
        let readme: Arc<[u8]> = Arc::from(&b"x"[..]);
        state.blobs.insert("README".to_owned(), (readme.clone(), 9));
        state
            .blobs
            .insert("0002.short.mutlog".to_owned(), (readme, 9));
    });
    let served = Served::blobs(kept.clone());
    let cache = tempdir().unwrap();
    let mut corpus = corpus(&served, cache.path());
    corpus.update().unwrap();
    assert_eq!(issues(&corpus).len(), 3);
    // It grows, is rotated, and grows again; each time the blob before is gone.
    for (number, numbers) in [(0, 0..5), (0, 0..9), (1, 9..12), (1, 9..14), (2, 14..15)] {
        let expected = numbers.end as usize;
        kept.store(number, &segment(numbers));
        assert!(corpus.update_within(Duration::from_secs(60)).unwrap());
        assert_eq!(issues(&corpus).len(), expected);
    }
    assert_eq!(served.log.size(), corpus.view().stats().log_bytes);
}

#[test]
fn segments_of_blobs_come_whole_and_in_ranges() {
    let log = segment(0..20_000); // more than a piece of an answer
    let kept = Kept::with(&[&log]);
    let served = Served::blobs(kept.clone());
    let (head, body) = ask(&served, "GET /logs/0 HTTP/1.1\r\nAccept-Encoding: gzip");
    let length = format!("\r\ncontent-length: {}\r\n", log.len());
    assert!(
        head.starts_with("http/1.1 200 ") && head.contains(&length),
        "{head}"
    );
    assert!(body == log);
    let (head, body) = ask(&served, "GET /logs/0 HTTP/1.1\r\nRange: bytes=70000-200000");
    let range = format!("\r\ncontent-range: bytes 70000-200000/{}\r\n", log.len());
    assert!(
        head.starts_with("http/1.1 206 ") && head.contains(&range),
        "{head}"
    );
    assert!(body == log[70_000..=200_000]);
    let reads = kept.0.lock().unwrap().reads;
    let (head, body) = ask(&served, "HEAD /logs/0 HTTP/1.1");
    assert!(head.contains(&length) && body.is_empty(), "{head}");
    assert_eq!(kept.0.lock().unwrap().reads, reads, "nobody wanted it");
}

#[test]
fn a_blob_that_was_replaced_since_it_was_listed_is_found_again() {
    let kept = Kept::with(&[&segment(0..3)]);
    // Looks once, and not again by itself.
    let config = ServeConfig::default().poll(Duration::from_secs(3600));
    let runtime = Runtime::new().unwrap();
    let log = runtime
        .block_on(LogServer::open_blobs(kept.clone(), config))
        .unwrap();
    kept.store(0, &segment(0..5));
    let request = http::Request::get("/logs/0").body(()).unwrap();
    let answer = runtime.block_on(log.answer(request));
    assert_eq!(answer.status(), 200);
    assert_eq!(log.size(), segment(0..5).len() as u64);

    // But one that is gone stays away, and the reason is not told.
    kept.edit(|state| state.blobs.clear());
    let request = http::Request::get("/logs/0").body(()).unwrap();
    let answer = runtime.block_on(log.answer(request));
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (503, &"10".parse().unwrap())
    );
}

#[test]
fn a_bucket_that_fails_holds_nobody_up_and_what_it_had_is_listed_on() {
    let kept = Kept::with(&[&segment(0..3), &segment(3..6)]);
    let served = Served::blobs(kept.clone());
    let (_, list) = ask(&served, "GET /logs HTTP/1.1");
    kept.edit(|state| state.error = Some(io::ErrorKind::ConnectionReset));
    let error = served.refresh().unwrap_err();
    assert!(matches!(error, ServeError::Blobs { .. }), "{error}");
    assert_eq!(ask(&served, "GET /logs HTTP/1.1").1, list);
    let (head, _) = ask(&served, "GET /logs/1 HTTP/1.1");
    assert!(head.starts_with("http/1.1 503 "), "{head}");

    // One that ends within a segment is noticed by its length.
    kept.edit(|state| (state.error, state.cut_at) = (None, Some(10)));
    let cache = tempdir().unwrap();
    let mut corpus = corpus(&served, cache.path());
    let error = corpus.update().unwrap_err();
    assert!(matches!(error, LoadError::Fetch { .. }), "{error}");
    kept.edit(|state| state.cut_at = None);
    corpus.update().unwrap();
    assert_eq!(issues(&corpus).len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_silent_is_given_up() {
    let kept = Kept::with(&[&segment(0..3)]);
    let log = LogServer::open_blobs(kept.clone(), ServeConfig::default())
        .await
        .unwrap();
    kept.edit(|state| state.is_silent = true);
    let error = log.refresh().await.unwrap_err();
    assert!(matches!(error, ServeError::Blobs { .. }), "{error}");
    let request = http::Request::get("/logs/0").body(()).unwrap();
    assert_eq!(log.answer(request).await.status(), 503);
}

#[test]
fn a_history_that_was_rewritten_or_has_gaps_is_not_served() {
    let kept = Kept::with(&[&segment(0..3), &segment(3..6)]);
    let served = Served::blobs(kept.clone());
    let size = served.log.size();
    for (what, number, other) in [
        ("a segment that was complete", 0, segment(0..4)),
        ("another beginning", 1, segment(4..9)),
        ("as long, but another", 1, segment(4..7)),
        ("shorter", 1, segment(3..5)),
    ] {
        let before = std::mem::take(&mut kept.0.lock().unwrap().blobs);
        kept.edit(|state| state.blobs = before.clone());
        kept.store(number, &other);
        let error = served.refresh().expect_err(what);
        let ServeError::Changed { segment } = error else {
            panic!("{what}: {error}");
        };
        assert!(
            segment
                .to_str()
                .unwrap()
                .starts_with(&format!("{number:04}."))
        );
        kept.edit(|state| state.blobs = before);
        assert!(!served.refresh().unwrap());
    }
    kept.store(3, &segment(6..7));
    let error = served.refresh().unwrap_err();
    assert!(
        matches!(error, ServeError::Missing { number: 2 }),
        "{error}"
    );
    kept.edit(|state| state.blobs.clear());
    let error = served.refresh().unwrap_err();
    assert!(matches!(error, ServeError::Changed { .. }), "{error}");
    assert_eq!(served.log.size(), size);
}

#[test]
fn a_blob_that_is_not_what_its_name_says_is_refused_by_who_follows() {
    let kept = Kept::with(&[&segment(0..3)]);
    let mut other = segment(0..3);
    *other.last_mut().unwrap() ^= 1;
    kept.edit(|state| {
        let (content, _) = state.blobs.values_mut().next().unwrap();
        *content = other.into();
    });
    let served = Served::blobs(kept);
    let cache = tempdir().unwrap();
    let mut corpus = corpus(&served, cache.path());
    let error = corpus.update().unwrap_err();
    assert!(error.to_string().contains("log"), "{error}");
    assert!(issues(&corpus).is_empty());
}

/// The objects that Go's leader found when it began, and the list that it answered with.
#[test]
fn the_list_is_that_of_gos_leader_over_the_same_bucket() {
    let transcript = fs::read(vector("server/transcript.json")).unwrap();
    let transcript: Value = serde_json::from_slice(&transcript).unwrap();
    let vector = &transcript[0];
    let listed: Value = serde_json::from_str(vector["log"][0]["body"].as_str().unwrap()).unwrap();
    let kept = Kept::default();
    kept.edit(|state| {
        for object in vector["initial_objects"].as_array().unwrap() {
            let (name, size) = object.as_str().unwrap().rsplit_once(' ').unwrap();
            let name = name.rsplit('/').next().unwrap().to_owned();
            let content = vec![0; size.parse().unwrap()].into();
            state.stored += 1;
            state.blobs.insert(name, (content, state.stored));
        }
    });
    let served = Served::blobs(kept);
    let (head, body) = ask(&served, "GET /logs HTTP/1.1");
    assert!(head.contains("\r\nx-sum-segment-size: 146\r\n"), "{head}");
    let ours: Value = serde_json::from_slice(&body).unwrap();
    let facts = |list: &Value| -> Vec<Value> {
        let fact = |segment: &Value| json!([segment["number"], segment["size"], segment["sha224"]]);
        list.as_array().unwrap().iter().map(fact).collect()
    };
    assert_eq!(facts(&ours), facts(&listed));
}

#[test]
fn a_folder_with_a_copy_of_a_bucket_is_served() {
    let dir = tempdir().unwrap();
    let segments = [segment(0..3), segment(3..6)];
    for (number, segment) in segments.iter().enumerate() {
        fs::write(dir.path().join(name(number, segment)), segment).unwrap();
    }
    fs::create_dir(dir.path().join("logs")).unwrap();
    let served = Served::blobs(FileBlobs::new(dir.path()));
    let cache = tempdir().unwrap();
    let mut corpus = corpus(&served, cache.path());
    corpus.update().unwrap();
    assert_eq!(issues(&corpus).len(), 6);
    // The copy goes on.
    let longer = segment(3..8);
    fs::write(dir.path().join(name(1, &longer)), &longer).unwrap();
    fs::remove_file(dir.path().join(name(1, &segments[1]))).unwrap();
    assert!(corpus.update_within(Duration::from_secs(60)).unwrap());
    assert_eq!(issues(&corpus).len(), 8);

    let runtime = Runtime::new().unwrap();
    let nowhere = FileBlobs::new(dir.path().join("nowhere"));
    let opening = LogServer::open_blobs(nowhere, ServeConfig::default());
    let error = runtime.block_on(opening).unwrap_err();
    assert!(matches!(error, ServeError::Blobs { .. }), "{error}");
}
