//! Servers that answer anything at all.

use std::fs;
use std::path::Path;

use maintner::net::Follower;
use maintner::{Config, Corpus};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tempfile::tempdir;

use crate::fake_server::{FakeServer, Reply, sum};
use crate::net_faults::segment;
use crate::net_vectors::issues;

/// An answer with a head that makes sense, more or less.
fn framed() -> impl Strategy<Value = Reply> {
    let heads = [
        "Content-Length: 5",
        "Content-Length: 99999999999",
        "Content-Length: -1",
        "Transfer-Encoding: chunked",
        "Content-Encoding: gzip",
        "Content-Range: bytes 0-9/10",
        "Content-Range: bytes 18446744073709551615-0/*",
        "Content-Range: lines 1-2",
        "Location: /logs/0",
        "Location: file:///etc/passwd",
        "Retry-After: 99999",
    ];
    let status = select(vec![200, 206, 302, 304, 400, 416, 429, 500, 999]);
    let body = prop_oneof![
        vec(any::<u8>(), 0..40),
        Just(b"3\r\nabc\r\n0\r\n\r\n".to_vec()),
        Just(b"ffffffffffffffff\r\nabc".to_vec()),
        Just(b"[]".to_vec()),
        Just(segment(0..3)),
    ];
    (status, vec(select(heads.to_vec()), 0..3), body).prop_map(|(status, heads, body)| {
        let head = format!("HTTP/1.1 {status} X\r\n{}\r\n\r\n", heads.join("\r\n"));
        // Without any the line before the body is there twice.
        let head = head.replace("X\r\n\r\n\r\n", "X\r\n\r\n");
        Reply::Raw([head.into_bytes(), body].concat())
    })
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        3 => framed(),
        1 => vec(any::<u8>(), 0..60).prop_map(Reply::Raw),
        1 => vec(any::<u8>(), 0..60).prop_map(Reply::Body),
        1 => select(vec![Reply::Reset, Reply::Corrupt, Reply::Short, Reply::Full]),
    ]
}

/// Nothing is there but what the server has, whatever it said.
fn check_cache(cache: &Path, segments: &[Vec<u8>]) {
    for file in fs::read_dir(cache).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        // What is being written, and the lock.
        let Some((number, rest)) = name.split_once('.').filter(|_| name.ends_with(".mutlog"))
        else {
            continue;
        };
        let kept = fs::read(file.path()).unwrap();
        let real = &segments[number.parse::<usize>().unwrap()];
        assert!(real.starts_with(&kept), "{name}");
        if rest != "growing.mutlog" {
            assert_eq!(rest, format!("{}.mutlog", sum(&kept)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_a_server_answers_only_what_it_listed_is_kept_and_the_truth_heals(
        answers in vec(vec((0..3_usize, reply()), 0..6), 2..4),
    ) {
        let server = FakeServer::new();
        let cache = tempdir().unwrap();
        let follow = || {
            let log = Follower::open(server.config(cache.path()).tries(1)).unwrap();
            Corpus::follow(log, Config::default())
        };
        let mut corpus = follow();
        // The first segment grows, then there is a second, and so on.
        let mut segments = vec![segment(0..5)];
        for (round, answers) in answers.into_iter().enumerate() {
            let refs: Vec<_> = segments.iter().map(Vec::as_slice).collect();
            server.set(&refs);
            let tries = answers.len();
            for (path, reply) in answers {
                server.reply(["/logs", "/logs/0", "/logs/1"][path], [reply]);
            }
            for _ in 0..=tries {
                if corpus.update().is_err_and(|error| error.is_split()) {
                    corpus = follow();
                }
                check_cache(cache.path(), &segments);
            }
            // What was not asked for is asked for no more.
            server.script.lock().unwrap().replies.clear();
            if corpus.update().is_err_and(|error| error.is_split()) {
                corpus = follow();
                corpus.update().unwrap();
            }
            let bytes: usize = segments.iter().map(Vec::len).sum();
            prop_assert_eq!(corpus.view().stats().log_bytes, bytes as u64);
            match round {
                0 => segments[0] = segment(0..9),
                _ => segments.push(segment(9 * round as i32..9 * round as i32 + 9)),
            }
        }
        prop_assert!(issues(&corpus).len() >= 9);
    }
}
