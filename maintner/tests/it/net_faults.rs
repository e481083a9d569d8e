//! Servers that lie, stall or rewrite history, and caches that were damaged or are shared.

use std::fs;
use std::io::Write as _;
#[cfg(target_os = "linux")]
use std::process::Command;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use maintner::net::{FetchError, Follower, NetConfig};
use maintner::reclog::encode_into;
use maintner::{Config, Corpus, LoadError};
use serde_json::json;
use tempfile::tempdir;

use crate::fake_server::{FakeServer, Reply, entry, sum};
use crate::net_vectors::issues;
use crate::support::mutation;

/// A segment of issues.
pub(crate) fn segment(numbers: std::ops::Range<i32>) -> Vec<u8> {
    let mut log = Vec::new();
    for number in numbers {
        encode_into(&mut log, 0, &mutation(number));
    }
    log
}

fn fetch_error(result: Result<(), LoadError>) -> FetchError {
    match result.unwrap_err() {
        LoadError::Fetch { source } => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sizes_and_sums_that_lie_give_errors_and_never_another_corpus() {
    let (first, second) = (segment(0..10), segment(10..20));
    let lies = [
        (
            "more bytes than there are",
            json!({"size": second.len() + 1}),
        ),
        (
            "fewer bytes than there are",
            json!({"size": second.len() - 1}),
        ),
        ("another sum", json!({"sha224": sum(b"x")})),
        ("nothing but a sum", json!({"size": 1, "sha224": sum(b"x")})),
    ];
    for (lie, fields) in lies {
        let server = FakeServer::new();
        server.set(&[&first, &second]);
        for (key, value) in fields.as_object().unwrap() {
            server.script.lock().unwrap().index[1][key] = value.clone();
        }
        let cache = tempdir().unwrap();
        let mut corpus = server.corpus(cache.path());
        let error = fetch_error(corpus.update());
        let is_typed = matches!(
            error,
            FetchError::Corrupt { .. } | FetchError::Unreachable { .. }
        );
        assert!(is_typed, "{lie}: {error}");
        // What was right before it is there, and the rest once the server tells the truth.
        assert_eq!(issues(&corpus).len(), 10, "{lie}");
        server.set(&[&first, &second]);
        corpus.update().unwrap();
        assert_eq!(issues(&corpus).len(), 20, "{lie}");
    }
}

#[test]
fn a_prefix_of_records_that_the_server_has_more_of_is_what_is_read() {
    // The segment grew between the list and the request.
    let server = FakeServer::new();
    let whole = segment(0..20);
    let listed = segment(0..10);
    server.set(&[&listed]);
    server
        .script
        .lock()
        .unwrap()
        .blobs
        .insert("/logs/0".into(), whole.clone());
    let cache = tempdir().unwrap();
    let mut corpus = server.corpus(cache.path());
    corpus.update().unwrap();
    assert_eq!(issues(&corpus).len(), 10);
    server.set(&[&whole]);
    corpus.update().unwrap();
    assert_eq!(issues(&corpus).len(), 20);
}

#[test]
fn a_server_that_stalls_is_given_up() {
    let log = segment(0..5);
    for (path, reply) in [
        ("/logs", Reply::Stall),
        ("/logs", Reply::StallInBody),
        ("/logs/0", Reply::Stall),
        ("/logs/0", Reply::StallInBody),
    ] {
        if (path, &reply) == ("/logs", &Reply::StallInBody) {
            continue; // takes a minute, as the body of a list may
        }
        let server = FakeServer::new();
        server.set(&[&log]);
        server.reply(path, vec![reply.clone(); 2]);
        let cache = tempdir().unwrap();
        let config = server
            .config(cache.path())
            .tries(2)
            .idle_timeout(Duration::from_millis(50));
        let mut corpus = Corpus::follow(Follower::open(config).unwrap(), Config::default());
        let error = fetch_error(corpus.update());
        assert!(
            matches!(error, FetchError::Unreachable { .. }),
            "{path} {reply:?}: {error}"
        );
        drop(corpus);
        server.corpus(cache.path()).update().unwrap();
    }
}

#[test]
fn answers_that_are_none_are_errors() {
    let log = segment(0..5);
    for (path, reply) in [
        ("/logs", Reply::Raw(b"what?\r\n\r\n".to_vec())),
        ("/logs", Reply::Status(404)),
        ("/logs", Reply::Status(304)),
        ("/logs", Reply::Body(b"{}".to_vec())),
        ("/logs/0", Reply::Raw(b"HTTP/1.1 999999 \r\n\r\n".to_vec())),
        ("/logs/0", Reply::Status(403)),
        (
            "/logs/0",
            Reply::Raw(
                b"HTTP/1.1 302 Found\r\nLocation: /logs/0\r\nContent-Length: 0\r\n\r\n".to_vec(),
            ),
        ),
        (
            "/logs/0",
            Reply::Raw(
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx".to_vec(),
            ),
        ),
    ] {
        let server = FakeServer::new();
        server.set(&[&log]);
        server.reply(path, vec![reply.clone(); 100]);
        let cache = tempdir().unwrap();
        let mut corpus = server.corpus(cache.path());
        let error = fetch_error(corpus.update());
        let is_typed = matches!(
            error,
            FetchError::Unreachable { .. } | FetchError::Status { .. } | FetchError::Index { .. }
        );
        assert!(is_typed, "{path} {reply:?}: {error}");
        assert!(issues(&corpus).is_empty());
    }
}

#[test]
fn a_list_that_expands_without_end_is_not_read() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b' '; 33 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        bomb.len()
    );
    let server = FakeServer::new();
    server.reply("/logs", [Reply::Raw([head.as_bytes(), &bomb].concat())]);
    let cache = tempdir().unwrap();
    let error = fetch_error(server.corpus(cache.path()).update());
    assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");
}

#[test]
fn a_segment_that_expands_without_end_is_read_as_far_as_it_was_listed() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b' '; 64 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        bomb.len()
    );
    let answer = [head.as_bytes(), &bomb].concat();
    let server = FakeServer::new();
    server.set(&[&segment(0..5)]);
    server.reply("/logs/0", vec![Reply::Raw(answer); 3]);
    let cache = tempdir().unwrap();
    let error = fetch_error(server.corpus(cache.path()).update());
    assert!(matches!(error, FetchError::Corrupt { .. }), "{error}");
    let kept = fs::read_dir(cache.path()).unwrap();
    let kept: u64 = kept
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(kept <= segment(0..5).len() as u64);
}

#[test]
fn a_history_that_is_rewritten_is_noticed_and_the_corpus_stays() {
    let whole = [segment(0..5), segment(5..10)];
    let rewritten = [
        (
            "a segment that was complete",
            vec![segment(1..6), segment(5..10), segment(10..11)],
        ),
        ("the one that grows", vec![segment(0..5), segment(6..13)]),
        ("shorter", vec![segment(0..5), segment(5..9)]),
        ("fewer", vec![segment(0..5)]),
        ("nothing", vec![]),
    ];
    for (what, other) in rewritten {
        let server = FakeServer::new();
        server.set(&[&whole[0], &whole[1]]);
        let cache = tempdir().unwrap();
        let mut corpus = server.corpus(cache.path());
        corpus.update().unwrap();
        server.set(&other.iter().map(Vec::as_slice).collect::<Vec<_>>());
        for _ in 0..2 {
            let error = corpus.update().expect_err(what);
            assert!(error.is_split(), "{what}: {error}");
            assert_eq!(issues(&corpus).len(), 10);
        }
        // A new follower has the new history, from the same cache.
        let mut anew = server.corpus(cache.path());
        anew.update().unwrap();
        let bytes: usize = other.iter().map(Vec::len).sum();
        assert_eq!(anew.view().stats().log_bytes, bytes as u64, "{what}");
    }
}

#[test]
fn how_far_a_fetch_has_come_is_told() {
    let segments = [segment(0..6000), segment(6000..6010), segment(6010..6015)];
    let refs: Vec<_> = segments.iter().map(Vec::as_slice).collect();
    assert!(segments[0].len() > 200 << 10);
    let server = FakeServer::new();
    server.set(&refs[..2]);
    let cache = tempdir().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let follow = || {
        let told = Arc::clone(&told);
        let config = (server.config(cache.path()))
            .progress(move |done| told.lock().unwrap().push((done.bytes, done.total)));
        Follower::open(config).unwrap()
    };
    let ends_at = |total: usize, steps: usize| {
        let told = std::mem::take(&mut *told.lock().unwrap());
        let total = total as u64;
        assert!(told.len() >= steps, "{told:?}");
        assert!(told.is_sorted() && told.iter().all(|done| done.1 == total));
        assert_eq!(told.last(), Some(&(total, total)));
    };
    let mut log = follow();
    log.fetch(Duration::ZERO).unwrap();
    let first = segments[0].len() + segments[1].len();
    ends_at(first, 4);
    log.fetch(Duration::ZERO).unwrap();
    assert!(
        told.lock().unwrap().is_empty(),
        "there was nothing to be had"
    );
    // Only what is beyond that counts.
    server.set(&[refs[0], &segment(6000..6012), refs[2]]);
    log.fetch(Duration::ZERO).unwrap();
    let longer = segment(6000..6012).len();
    ends_at(longer - segments[1].len() + segments[2].len(), 2);
    // What the cache has counts at once.
    follow().fetch(Duration::ZERO).unwrap();
    ends_at(segments[0].len() + longer + segments[2].len(), 3);
}

/// In a process of its own, whose files have a limit that stands for the disk.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_nothing_wrong_in_the_cache() {
    const CACHE: &str = "MAINTNER_TEST_FULL_CACHE";
    const SERVER: &str = "MAINTNER_TEST_SERVER";
    if let Some(cache) = std::env::var_os(CACHE) {
        let config = NetConfig::new(std::env::var(SERVER).unwrap(), cache).tries(1);
        let mut log = Follower::open(config).unwrap();
        let error = log.fetch(Duration::ZERO).unwrap_err();
        assert!(matches!(error, FetchError::Cache { .. }), "{error}");
        return;
    }
    let cache = tempdir().unwrap();
    let server = FakeServer::new();
    let follow_within_limit = || {
        let test = "net_faults::a_full_disk_leaves_nothing_wrong_in_the_cache";
        let limited =
            format!("trap '' XFSZ; ulimit -f 16 && exec \"$0\" --exact {test} --nocapture");
        let output = Command::new("bash")
            .args(["-c", &limited])
            .arg(std::env::current_exe().unwrap())
            .env(CACHE, cache.path())
            .env(SERVER, server.url())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    };
    // Both a file that is made anew and one that is appended to.
    let (short, long, longer) = (segment(0..100), segment(0..1000), segment(0..1500));
    assert!(short.len() < 16 << 10 && long.len() > 16 << 10);
    server.set(&[&long]);
    follow_within_limit();
    server.set(&[&short]);
    server.corpus(cache.path()).update().unwrap();
    server.set(&[&longer]);
    follow_within_limit();
    let mut corpus = server.corpus(cache.path());
    corpus.update().unwrap();
    assert_eq!(issues(&corpus).len(), 1500);
}

#[test]
fn limits_hold_before_anything_is_fetched() {
    let (first, second) = (segment(0..10), segment(10..20));
    let server = FakeServer::new();
    server.set(&[&first, &second]);
    let cache = tempdir().unwrap();
    let len = first.len() as u64;
    let config = || server.config(cache.path());
    for config in [config().max_segment(len - 1), config().max_log(len + 1)] {
        let error = Follower::open(config)
            .unwrap()
            .fetch(Duration::ZERO)
            .unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");
    }
    assert_eq!(server.requests(), ["/logs", "/logs"]);
}

#[test]
fn an_address_that_is_none_is_refused() {
    let cache = tempdir().unwrap();
    for server in ["", "maintner", "file:///etc", "http://", "/logs"] {
        let error = Follower::open(NetConfig::new(server, cache.path())).unwrap_err();
        assert!(
            matches!(error, FetchError::Server { .. }),
            "{server}: {error}"
        );
    }
}

#[test]
fn segments_may_be_elsewhere() {
    let log = segment(0..5);
    let server = FakeServer::new();
    server.set(&[&log]);
    server.script.lock().unwrap().index = vec![entry(0, &log, "/moved")];
    let found = b"HTTP/1.1 302 Found\r\nLocation: /logs/0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    server.reply("/moved", [Reply::Raw(found.to_vec())]);
    let cache = tempdir().unwrap();
    let mut corpus = server.corpus(cache.path());
    corpus.update().unwrap();
    assert_eq!(issues(&corpus).len(), 5);
}

#[test]
fn every_flipped_bit_of_the_cache_is_found_and_mended() {
    let (first, second) = (segment(0..1), segment(1..2));
    let server = FakeServer::new();
    server.set(&[&first, &second]);
    let cache = tempdir().unwrap();
    server.corpus(cache.path()).update().unwrap();
    let frozen = cache.path().join(format!("0000.{}.mutlog", sum(&first)));
    let growing = cache.path().join("0001.growing.mutlog");
    for (path, good) in [(&frozen, &first), (&growing, &second)] {
        for byte in 0..good.len() {
            let mut bad = good.clone();
            bad[byte] ^= 1 << (byte % 8);
            fs::write(path, &bad).unwrap();
            let mut corpus = server.corpus(cache.path());
            corpus.update().unwrap();
            assert_eq!(issues(&corpus).len(), 2, "{} byte {byte}", path.display());
            assert_eq!(fs::read(path).unwrap(), *good);
        }
        for len in [0, 1, good.len() - 1, good.len() + 1] {
            let mut bad = good.clone();
            bad.resize(len, b'x');
            fs::write(path, &bad).unwrap();
            let mut corpus = server.corpus(cache.path());
            corpus.update().unwrap();
            assert_eq!(
                issues(&corpus).len(),
                2,
                "{} with {len} bytes",
                path.display()
            );
            assert_eq!(fs::read(path).unwrap(), *good);
        }
    }
}

#[test]
fn many_followers_share_a_cache_and_each_byte_is_fetched_once() {
    let segments: Vec<_> = (0..8).map(|n| segment(10 * n..10 * n + 10)).collect();
    let refs: Vec<_> = segments.iter().map(Vec::as_slice).collect();
    let server = FakeServer::new();
    server.set(&refs);
    let cache = tempdir().unwrap();
    let barrier = Barrier::new(6);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut corpus = server.corpus(cache.path());
                barrier.wait();
                corpus.update().unwrap();
                assert_eq!(issues(&corpus).len(), 80);
                barrier.wait();
            });
        }
    });
    let mut fetched = server.requests();
    fetched.retain(|request| request != "/logs");
    assert_eq!(fetched.len(), 8, "{fetched:?}");
}

#[test]
fn a_corpus_goes_on_reading_a_growing_segment_that_another_process_replaced() {
    let server = FakeServer::new();
    let cache = tempdir().unwrap();
    server.set(&[&segment(0..3)]);
    let mut corpus = server.corpus(cache.path());
    corpus.update().unwrap();
    // As Go does: a new file under the same name.
    let new = cache.path().join("tempseg1");
    fs::write(&new, segment(0..5)).unwrap();
    fs::rename(&new, cache.path().join("0000.growing.mutlog")).unwrap();
    server.set(&[&segment(0..7)]);
    corpus.update().unwrap();
    assert_eq!(issues(&corpus).len(), 7);
    server.requests();
    // And one that begins otherwise.
    fs::write(&new, segment(50..60)).unwrap();
    fs::rename(&new, cache.path().join("0000.growing.mutlog")).unwrap();
    server.set(&[&segment(0..9)]);
    corpus.update().unwrap();
    assert_eq!(issues(&corpus).len(), 9);
}

#[test]
fn without_a_server_the_cache_is_used_if_that_is_wanted_and_goes_on_with_it() {
    let (first, second) = (segment(0..3), segment(3..6));
    let server = FakeServer::new();
    server.set(&[&first, &second]);
    let cache = tempdir().unwrap();
    server.corpus(cache.path()).update().unwrap();
    // A crash of whoever wrote it.
    let growing = cache.path().join("0001.growing.mutlog");
    fs::write(&growing, [&second[..], b"REC@"].concat()).unwrap();

    server.reply("/logs", vec![Reply::Reset; 3]);
    let error = fetch_error(server.corpus(cache.path()).update());
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");

    server.reply("/logs", vec![Reply::Reset; 3]);
    let log = Follower::open(server.config(cache.path()).offline(true)).unwrap();
    let mut corpus = Corpus::follow(log, Config::default());
    corpus.update().unwrap();
    assert!(corpus.is_offline());
    assert_eq!(issues(&corpus).len(), 6);
    server.set(&[&first, &segment(3..7), &segment(7..9)]);
    // The list, and what is missing.
    corpus.update().unwrap();
    assert!(!corpus.is_offline());
    assert_eq!(issues(&corpus).len(), 9);
}

#[test]
fn what_waits_for_news_gets_it_at_once_and_else_ends_in_time() {
    let server = FakeServer::new();
    server.set(&[&segment(0..3)]);
    let cache = tempdir().unwrap();
    let mut corpus = server.corpus(cache.path());
    assert!(corpus.update_within(Duration::from_secs(60)).unwrap());
    // One that does not wait with its answer is not asked all the time.
    server.requests();
    assert!(!corpus.update_within(Duration::from_millis(20)).unwrap());
    let size = segment(0..3).len();
    assert!(
        server
            .requests()
            .iter()
            .all(|request| *request == format!("/logs?waitsizenot={size}"))
    );
    server.reply("/logs", [Reply::Stall]);
    assert!(!corpus.update_within(Duration::from_millis(20)).unwrap());
}

#[test]
fn a_record_that_is_no_mutation_is_an_error_at_its_place_each_time() {
    let mut log = segment(0..3);
    let at = log.len();
    encode_into(&mut log, 0, b"\xff\xff");
    let server = FakeServer::new();
    server.set(&[&log]);
    let cache = tempdir().unwrap();
    let mut corpus = server.corpus(cache.path());
    for _ in 0..2 {
        match corpus.update().unwrap_err() {
            LoadError::Mutation { offset, .. } => assert_eq!(offset, at as u64),
            other => panic!("{other:?}"),
        }
        assert_eq!(issues(&corpus).len(), 3);
    }
}
