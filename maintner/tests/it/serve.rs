//! Serving a log: routes as upstream's server answers them, growth, faults, and our follower.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use flate2::read::GzDecoder;
use maintner::net::{Follower, NetConfig};
use maintner::reclog::{Writer, WriterConfig};
use maintner::serve::{LogServer, ServeConfig, ServeError};
use maintner::{Config, Corpus};
use serde_json::Value;
use tempfile::tempdir;
use tokio::runtime::Runtime;

use crate::net_faults::segment;
use crate::net_vectors::issues;
use crate::served::Served;
use crate::support::{day, mutation};

/// Sends a request and gives head and body of the answer.
pub(crate) fn ask(served: &Served, request: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(served.address).unwrap();
    let head = format!("{request}\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|at| at == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    (String::from_utf8(answer).unwrap().to_lowercase(), body)
}

fn append(dir: &Path, after: u64, numbers: std::ops::Range<i32>) {
    let mut log = Writer::open(dir, WriterConfig::default()).unwrap();
    log.append_at(day(after), numbers.map(mutation)).unwrap();
}

fn corpus(served: &Served, cache: &Path) -> Corpus {
    let config = NetConfig::new(served.url(), cache).pause(Duration::from_millis(1));
    Corpus::follow(Follower::open(config).unwrap(), Config::default())
}

#[test]
fn the_list_is_that_of_upstreams_server() {
    let dir = tempdir().unwrap();
    append(dir.path(), 0, 0..3);
    append(dir.path(), 1, 3..5);
    let served = Served::new(dir.path());
    let (first, second) = (segment(0..3), segment(3..5));
    let (head, body) = ask(&served, "GET /logs HTTP/1.1");
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(
        head.contains("\r\ncontent-type: application/json\r\n"),
        "{head}"
    );
    let sum = first.len() + second.len();
    assert!(
        head.contains(&format!("\r\nx-sum-segment-size: {sum}\r\n")),
        "{head}"
    );
    let expected = format!(
        "[\n\t{{\n\t\t\"number\": 0,\n\t\t\"size\": {},\n\t\t\"sha224\": \"{}\",\n\t\t\"url\": \"/logs/0\"\n\t}},\n\t{{\n\t\t\"number\": 1,\n\t\t\"size\": {},\n\t\t\"sha224\": \"{}\",\n\t\t\"url\": \"/logs/1\"\n\t}}\n]",
        first.len(),
        crate::fake_server::sum(&first),
        second.len(),
        crate::fake_server::sum(&second)
    );
    assert_eq!(String::from_utf8(body).unwrap(), expected);

    let (head, body) = ask(&served, "HEAD /logs HTTP/1.1");
    assert!(
        body.is_empty() && head.contains(&format!("\r\ncontent-length: {}\r\n", expected.len()))
    );
    let (head, body) = ask(&served, "GET /logs?startseg=1 HTTP/1.1");
    assert!(
        head.contains(&format!("\r\nx-sum-segment-size: {}\r\n", second.len())),
        "{head}"
    );
    let list: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (list.as_array().unwrap().len(), &list[0]["number"]),
        (1, &1.into())
    );
    for all in ["startseg=2", "startseg=x", "waitsizenot=", "waitsizenot=0"] {
        assert_eq!(
            ask(&served, &format!("GET /logs?{all} HTTP/1.1")).1,
            expected.as_bytes()
        );
    }
    for (request, text) in [
        ("POST /logs", "bad method\n"),
        ("GET /logs?startseg=-1", "bad startseg\n"),
        ("GET /logs?waitsizenot=-1", "bad waitsizenot\n"),
        ("GET /logs?waitsizenot=x", "bad waitsizenot\n"),
        ("GET /logs/2", "bad segment number\n"),
        ("GET /logs/-1", "bad path\n"),
        ("GET /logs/x", "bad path\n"),
        ("GET /logs/", "bad path\n"),
        ("GET /logs/../../etc/passwd", "bad path\n"),
    ] {
        let (head, body) = ask(&served, &format!("{request} HTTP/1.1"));
        assert!(head.starts_with("http/1.1 400 "), "{request}: {head}");
        assert!(
            head.contains("\r\ncontent-type: text/plain; charset=utf-8\r\n"),
            "{head}"
        );
        assert_eq!(String::from_utf8(body).unwrap(), text, "{request}");
    }
    for path in ["/", "/logsx", "/etc/passwd"] {
        assert!(
            ask(&served, &format!("GET {path} HTTP/1.1"))
                .0
                .starts_with("http/1.1 404 ")
        );
    }
}

#[test]
fn segments_come_whole_in_ranges_and_compressed() {
    let dir = tempdir().unwrap();
    append(dir.path(), 0, 0..20_000); // more than a piece of an answer
    let log = segment(0..20_000);
    assert!(log.len() > 512 << 10);
    let served = Served::new(dir.path());
    let (head, body) = ask(&served, "GET /logs/0 HTTP/1.1");
    assert!(
        head.contains("\r\naccept-ranges: bytes\r\n")
            && head.contains("\r\ncontent-type: application/octet-stream\r\n")
    );
    assert!(
        head.contains(&format!("\r\ncontent-length: {}\r\n", log.len())),
        "{head}"
    );
    assert!(body == log);
    let (head, body) = ask(
        &served,
        "GET /logs/0 HTTP/1.1\r\nRange: bytes=300000-600000\r\nAccept-Encoding: gzip",
    );
    assert!(
        head.starts_with("http/1.1 206 ") && !head.contains("gzip"),
        "{head}"
    );
    assert!(
        head.contains(&format!(
            "\r\ncontent-range: bytes 300000-600000/{}\r\n",
            log.len()
        )),
        "{head}"
    );
    assert!(body == log[300_000..=600_000]);
    let (head, _) = ask(
        &served,
        &format!("GET /logs/0 HTTP/1.1\r\nRange: bytes={}-", log.len()),
    );
    assert!(
        head.starts_with("http/1.1 416 ")
            && head.contains(&format!("\r\ncontent-range: bytes */{}\r\n", log.len())),
        "{head}"
    );
    let (head, body) = ask(&served, "GET /logs/0 HTTP/1.0\r\nAccept-Encoding: gzip");
    assert!(head.contains("\r\ncontent-encoding: gzip\r\n"), "{head}");
    assert!(body.len() < log.len() / 2);
    let mut expanded = Vec::new();
    GzDecoder::new(&body[..])
        .read_to_end(&mut expanded)
        .unwrap();
    assert!(expanded == log);
    let (head, body) = ask(&served, "HEAD /logs/0 HTTP/1.1");
    assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", log.len())) && body.is_empty());
}

#[test]
fn our_follower_follows_our_server_over_growth_rotation_and_restart() {
    let dir = tempdir().unwrap();
    let cache = tempdir().unwrap();
    let mut served = Served::new(dir.path());
    let mut corpus = corpus(&served, cache.path());
    corpus.update().unwrap();
    assert!(issues(&corpus).is_empty());
    let mut numbers = 0;
    for round in 0..12 {
        append(dir.path(), round / 4, numbers..numbers + 5);
        numbers += 5;
        if round % 3 == 2 {
            let address = served.address;
            drop(served);
            served = Served::at(dir.path(), address, ServeConfig::default());
        }
        assert!(corpus.update_within(Duration::from_secs(60)).unwrap());
        assert_eq!(issues(&corpus).len(), numbers as usize, "round {round}");
    }
    assert_eq!(served.log.size(), corpus.view().stats().log_bytes);
}

#[test]
fn who_waits_hears_of_what_was_appended_and_of_the_end() {
    let dir = tempdir().unwrap();
    append(dir.path(), 0, 0..3);
    let config = ServeConfig::default().wait(Duration::from_millis(50));
    let served = Served::at(dir.path(), "127.0.0.1:0".parse().unwrap(), config);
    let wait = format!("GET /logs?waitsizenot={} HTTP/1.1", segment(0..3).len());
    let (head, body) = ask(&served, &wait);
    assert!(
        head.starts_with("http/1.1 304 ") && body.is_empty(),
        "{head}"
    );
    drop(served);

    let served = Served::new(dir.path());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| ask(&served, &wait));
        append(dir.path(), 0, 3..4);
        let (head, body) = waiting.join().unwrap();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        let list: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(list[0]["size"], segment(0..4).len());
    });
    let mut stream = TcpStream::connect(served.address).unwrap();
    let size = segment(0..4).len();
    write!(
        stream,
        "GET /logs?waitsizenot={size} HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    .unwrap();
    drop(served); // does not take the 55 seconds
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 304 "),
        "{answer}"
    );
}

#[test]
fn no_more_wait_than_are_allowed() {
    let dir = tempdir().unwrap();
    append(dir.path(), 0, 0..3);
    let config = ServeConfig::default().max_waiting(0);
    let served = Served::at(dir.path(), "127.0.0.1:0".parse().unwrap(), config);
    let size = segment(0..3).len();
    let (head, _) = ask(&served, &format!("GET /logs?waitsizenot={size} HTTP/1.1"));
    assert!(
        head.starts_with("http/1.1 503 ") && head.contains("\r\nretry-after: 10\r\n"),
        "{head}"
    );
    assert!(
        ask(&served, "GET /logs?waitsizenot=1 HTTP/1.1")
            .0
            .starts_with("http/1.1 200 ")
    );
}

#[test]
fn only_whole_records_are_served_and_changes_of_what_was_served_are_errors() {
    let dir = tempdir().unwrap();
    let path = |n: u32| dir.path().join(format!("maintner-2020-01-0{n}.mutlog"));
    let log = segment(0..3);
    fs::write(path(2), &log[..log.len() - 1]).unwrap();
    fs::write(path(3), b"").unwrap();
    let runtime = Runtime::new().unwrap();
    let server = LogServer::open(dir.path(), ServeConfig::default()).unwrap();
    let refresh = || runtime.block_on(server.refresh());
    assert_eq!(server.size(), segment(0..2).len() as u64);
    fs::write(path(2), &log).unwrap();
    assert!(refresh().unwrap());
    assert!(!refresh().unwrap());
    assert_eq!(server.size(), log.len() as u64);

    fs::write(path(4), segment(3..5)).unwrap();
    assert!(refresh().unwrap());
    let served = server.size();
    let is_changed = |n: u32| match refresh().unwrap_err() {
        ServeError::Changed { segment } => segment == path(n),
        other => panic!("{other:?}"),
    };
    // A record that comes too late, one too early, one that is gone.
    let longer = segment(0..4);
    fs::write(path(2), &longer).unwrap();
    assert!(is_changed(2));
    fs::write(path(2), [&log[..], b"REC@"].concat()).unwrap();
    assert!(!refresh().unwrap(), "torn bytes are nobody's");
    fs::write(path(3), segment(0..1)).unwrap();
    assert!(is_changed(4));
    fs::remove_file(path(3)).unwrap();
    fs::write(path(4), b"").unwrap();
    assert!(is_changed(4));
    fs::remove_file(path(4)).unwrap();
    assert!(is_changed(4));
    assert_eq!(server.size(), served);

    let mut damaged = OpenOptions::new().append(true).open(path(2)).unwrap();
    damaged.write_all(b"x=").unwrap();
    let error = LogServer::open(dir.path(), ServeConfig::default()).unwrap_err();
    assert!(matches!(error, ServeError::Segment { .. }), "{error}");
    let error = LogServer::open(dir.path().join("x"), ServeConfig::default()).unwrap_err();
    assert!(matches!(error, ServeError::Dir { .. }), "{error}");
}
