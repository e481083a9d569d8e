//! Truncation vectors, made by running upstream's package at golang.org/x/build v0.0.0-20260918145456-c0ee0fbd16a3:
//! the writes, and the length and SHA-1 of what `Bytes` then returned.

use std::io::Write as _;

use livelog::{Buffer, Config, ConfigError, Cut, MAX_BUFFER_SIZE, TRUNCATION_MARKER};
use sha1::{Digest as _, Sha1};

const M: usize = 2_097_152;
const U: usize = 2_097_129;

fn check(writes: &[&[u8]], len: usize, sha1: &str, end: &str) {
    let log = Buffer::new();
    for write in writes {
        assert_eq!((&log).write(write).unwrap(), write.len());
    }
    let all = log.to_vec().unwrap();
    assert_eq!(all.len(), len);
    assert_eq!(log.len(), len as u64);
    assert_eq!(log.is_truncated(), len == M);
    let hex: String = Sha1::digest(&all)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, sha1);
    assert!(all.ends_with(end.as_bytes()));
    let written: usize = writes.iter().map(|write| write.len()).sum();
    let kept = if len == M { U } else { len };
    assert_eq!(log.dropped(), (written - kept) as u64);
}

#[test]
fn constants_are_upstreams() {
    assert_eq!(MAX_BUFFER_SIZE, M);
    assert_eq!(MAX_BUFFER_SIZE - TRUNCATION_MARKER.len(), U);
    let marker = b"\x0a\x0a\x2e\x2e\x2e\x20\x6c\x6f\x67\x20\x74\x72\x75\x6e\x63\x61\x74\x65\x64\x20\x2e\x2e\x2e";
    assert_eq!(TRUNCATION_MARKER.as_bytes(), marker);
}

#[test]
fn a_log_that_just_fits_has_no_marker() {
    let a = vec![b'a'; U];
    let sha1 = "83fc2a17c953a26868ca98265b389dc4403571a6";
    check(&[&a], U, sha1, "aaaa");
    check(&[&a, b""], U, sha1, "aaaa");
}

#[test]
fn a_log_that_does_not_fit_ends_with_the_marker() {
    let a = vec![b'a'; 2 * M];
    let end = format!("a{TRUNCATION_MARKER}");
    let sha1 = "201f5b0798ba989566e4c14996d1eee957727bab";
    check(&[&a[..U], b"x"], M, sha1, &end);
    check(&[&a[..U], b"x", b"yyyy"], M, sha1, &end);
    check(&[&a], M, sha1, &end);
    check(&[&a, &a], M, sha1, &end);
}

#[test]
fn the_write_that_does_not_fit_is_kept_in_part() {
    let a = vec![b'a'; U - 2];
    let end = format!("12{TRUNCATION_MARKER}");
    check(
        &[&a, b"123"],
        M,
        "55886f42c08bdf0163877846ecb484c7b8c7a22e",
        &end,
    );
}

#[test]
fn a_limit_needs_room_for_the_marker() {
    let error = Buffer::with_limit(22).unwrap_err();
    assert_eq!(
        error,
        ConfigError::LimitTooSmall {
            limit: 22,
            smallest: 23
        }
    );
    assert_eq!(
        error.to_string(),
        "a limit of 22 bytes has no room for the marker of 23"
    );
    let log = Buffer::with_limit(25).unwrap();
    log.append(b"ab");
    assert!(!log.is_truncated());
    log.append(b"c");
    assert_eq!(
        log.to_string_lossy().unwrap(),
        "ab\n\n... log truncated ..."
    );
}

#[test]
fn a_cut_on_a_border_leaves_whole_characters_or_lines() {
    for (cut, expected) in [
        (Cut::Byte, &b"one\ntwo \xe2\x82"[..]),
        (Cut::Char, b"one\ntwo "),
        (Cut::Line, b"one\n"),
    ] {
        let config = Config::default().limit(10 + 23).cut(cut);
        let log = Buffer::with_config(config).unwrap();
        log.append("one\ntwo €\nthree".as_bytes());
        let all = log.to_vec().unwrap();
        assert_eq!(
            all.strip_suffix(TRUNCATION_MARKER.as_bytes()).unwrap(),
            expected
        );
        assert_eq!(log.dropped() as usize, 17 - expected.len());
    }
}
