//! How much an archive may have, and archives that are cut or damaged.

use std::fs;
use std::io::{self, Read};

use buildlet_proto::archive::{
    Encoding, ExtractError, ExtractErrorKind, HardLinks, Limit, Policy, extract,
};

use super::raw::{Place, Raw, gzip, policies, record};
use super::tree::nodes;

#[track_caller]
fn limit_of(error: &ExtractError) -> Limit {
    assert_eq!(error.status(), 413, "{error}");
    match error.kind() {
        ExtractErrorKind::Limit { what, .. } => *what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn entries_are_counted() {
    let mut raw = Raw::new();
    for at in 0..1001 {
        raw = match at % 3 {
            0 => raw.file(&format!("f{at}"), ""),
            1 => raw.dir(&format!("d{at}")),
            _ => raw.symlink(&format!("l{at}"), "x"),
        };
    }
    let tar = raw.end();
    for policy in [Policy::upstream(), Policy::strict()] {
        let place = Place::new();
        let error = place
            .extract(&tar, &policy.clone().max_entries(1000))
            .unwrap_err();
        assert_eq!(limit_of(&error), Limit::Entries);
        let place = Place::new();
        place.extract(&tar, &policy.max_entries(1001)).unwrap();
    }
}

/// The same bytes for ever.
struct Endless(Vec<u8>, usize);

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let piece = &self.0[self.1..];
        let len = piece.len().min(buf.len());
        buf[..len].copy_from_slice(&piece[..len]);
        self.1 = (self.1 + len) % self.0.len();
        Ok(len)
    }
}

#[test]
fn headers_for_nobody_come_to_an_end() {
    let comment = Raw::new()
        .entry(b'g', "pax_global_header", "", &record("comment", b"x"))
        .0;
    for (context, policy) in policies() {
        let place = Place::new();
        let policy = policy.max_entries(1000).max_bytes(1 << 20);
        let source = Endless(comment.clone(), 0);
        let error = extract(source, Encoding::Tar, &place.folder(), &policy).unwrap_err();
        assert_eq!(limit_of(&error), Limit::Stream, "{context}");
    }
}

#[test]
fn what_follows_the_end_of_an_archive_comes_to_an_end() {
    for (context, policy) in policies() {
        let place = Place::new();
        let policy = policy.max_entries(1000).max_bytes(1 << 20);
        let source = Raw::new().end();
        let source = source.chain(Endless(vec![1; 4096], 0));
        let error = extract(source, Encoding::Tar, &place.folder(), &policy).unwrap_err();
        assert_eq!(limit_of(&error), Limit::Stream, "{context}");
    }
}

/// Lets a slice be a source with another behind it.
trait ChainBytes {
    fn chain(self, next: Endless) -> io::Chain<io::Cursor<Vec<u8>>, Endless>;
}

impl ChainBytes for Vec<u8> {
    fn chain(self, next: Endless) -> io::Chain<io::Cursor<Vec<u8>>, Endless> {
        io::Cursor::new(self).chain(next)
    }
}

#[test]
fn bytes_are_counted_before_they_are_written() {
    let tar = Raw::new()
        .file("a", &"x".repeat(600))
        .file("b", &"x".repeat(600))
        .end();
    for (context, policy) in policies() {
        let place = Place::new();
        let error = place
            .extract(&tar, &policy.clone().max_bytes(1000))
            .unwrap_err();
        assert_eq!(limit_of(&error), Limit::Bytes, "{context}");
        assert_eq!(place.names(), ["a"]);
        let place = Place::new();
        let error = place
            .extract(&tar, &policy.clone().max_file_bytes(599))
            .unwrap_err();
        assert_eq!(limit_of(&error), Limit::FileBytes, "{context}");
        assert!(place.names().is_empty());
        let place = Place::new();
        let exact = policy.max_bytes(1200).max_file_bytes(600);
        assert_eq!(place.extract(&tar, &exact).unwrap().bytes, 1200);
    }
}

#[test]
fn copies_of_hard_links_count() {
    let mut raw = Raw::new().file("a", &"x".repeat(1000));
    for at in 0..10 {
        raw = raw.hard_link(&format!("h{at}"), "a");
    }
    let tar = raw.end();
    let policy = Policy::strict().hard_links(HardLinks::Copy);
    let error = Place::new()
        .extract(&tar, &policy.clone().max_bytes(5000))
        .unwrap_err();
    assert_eq!(limit_of(&error), Limit::Bytes);
    let place = Place::new();
    assert_eq!(place.extract(&tar, &policy).unwrap().bytes, 11_000);
    assert_eq!(place.content("h9").len(), 1000);
}

#[test]
fn a_gzip_bomb_is_stopped_at_the_limit() {
    // A hundred megabytes in a hundred kilobytes.
    let mut files = buildlet_proto::archive::FileList::new();
    files.file("zeros", 0o644, 0, 100 << 20, vec![0; 100 << 20]);
    let mut bomb = Vec::new();
    files.write(&mut bomb, Encoding::Gzip).unwrap();
    assert!(bomb.len() < 200_000);
    for (context, policy) in policies() {
        let place = Place::new();
        let policy = policy.max_bytes(1 << 20);
        let error = extract(&bomb[..], Encoding::Gzip, &place.folder(), &policy).unwrap_err();
        assert_eq!(limit_of(&error), Limit::Bytes, "{context}");
        assert!(place.names().is_empty());
    }
    // Behind the end, where no entry says a size.
    let mut tar = Raw::new().file("f", "x").end();
    tar.resize(100 << 20, 0);
    let bomb = gzip(&tar);
    let place = Place::new();
    let policy = Policy::strict().max_bytes(1 << 20).max_entries(100);
    let error = extract(&bomb[..], Encoding::Gzip, &place.folder(), &policy).unwrap_err();
    assert_eq!(limit_of(&error), Limit::Stream);
}

fn small_archive() -> Vec<u8> {
    Raw::new()
        .dir("d/")
        .pax(&record("path", b"d/a name from a record"))
        .file("x", "content of x")
        .entry(b'L', "././@LongLink", "", b"another long name\0")
        .file("y", "")
        .end()
}

#[test]
fn archives_that_are_cut_anywhere_are_refused_and_harm_nobody() {
    let tar = small_archive();
    let tgz = gzip(&tar);
    for (context, policy) in [
        ("upstream", Policy::upstream()),
        ("strict", Policy::strict()),
    ] {
        let place = Place::new();
        // The same files again and again.
        let policy = policy.end_required(true).threads(1);
        let refused = |archive: &[u8], encoding| {
            let error = extract(archive, encoding, &place.folder(), &policy).expect_err(context);
            assert!(matches!(error.status(), 400 | 500), "{context}: {error}");
        };
        for len in 0..tar.len() - 1024 {
            refused(&tar[..len], Encoding::Tar);
        }
        for len in 0..tgz.len() {
            refused(&tgz[..len], Encoding::Gzip);
        }
        place.outside.assert_untouched();
    }
}

#[test]
fn a_bit_that_is_wrong_anywhere_in_gzip_is_noticed_if_it_means_anything() {
    let tar = small_archive();
    let tgz = gzip(&tar);
    let place = Place::new();
    place.extract(&tar, &Policy::strict()).unwrap();
    let right = place.nodes();
    // Time, extra flags and the operating system's number mean nothing.
    for at in (0..4).chain(10..tgz.len()) {
        let mut bad = tgz.clone();
        bad[at] ^= 1 << (at % 8);
        let place = Place::new();
        let policy = Policy::strict().threads(1);
        if extract(&bad[..], Encoding::Gzip, &place.folder(), &policy).is_ok() {
            // Nor do the bits that fill up the last byte of the data.
            assert_eq!(place.nodes(), right);
        }
        place.outside.assert_untouched();
    }
}

#[test]
fn a_checksum_that_does_not_hold_behind_the_last_file_is_noticed() {
    let mut tgz = gzip(&Raw::new().file("f", "x").end());
    let crc = tgz.len() - 8;
    tgz[crc] ^= 1;
    for (context, policy) in policies() {
        let place = Place::new();
        let error = extract(&tgz[..], Encoding::Gzip, &place.folder(), &policy).unwrap_err();
        assert_eq!(error.status(), 400, "{context}: {error}");
        assert!(
            error.to_string().ends_with("gzip: invalid checksum"),
            "{error}"
        );
    }
}

/// Fails after some bytes.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionReset,
                "the peer is gone",
            ));
        }
        self.0.read(buf)
    }
}

#[test]
fn an_error_of_the_source_is_handed_on() {
    let tar = Raw::new().file("a", "x").file("b", &"x".repeat(3000)).0;
    let tgz = gzip(&tar);
    for (source, encoding) in [
        (&tar[..2000], Encoding::Tar),
        (&tgz[..tgz.len() - 9], Encoding::Gzip),
    ] {
        let place = Place::new();
        let result = extract(
            Failing(source),
            encoding,
            &place.folder(),
            &Policy::strict(),
        );
        let error = result.unwrap_err();
        let io = error.io_error().expect("it has one");
        assert_eq!(io.kind(), io::ErrorKind::ConnectionReset, "{error}");
    }
}

#[test]
fn all_entries_before_the_one_that_failed_are_there() {
    let mut raw = Raw::new();
    for at in 0..1000 {
        raw = raw.file(&format!("d{}/f{at}", at % 7), &at.to_string());
    }
    let tar = raw.file("../evil", "x").file("after", "x").end();
    for (context, policy) in policies() {
        let place = Place::new();
        let error = place.extract(&tar, &policy.threads(4)).unwrap_err();
        assert_eq!(error.entry(), Some(&b"../evil"[..]), "{context}");
        let files = nodes(place.base())
            .into_iter()
            .filter(|node| node.size.is_some());
        assert_eq!(files.count(), 1000, "{context}");
    }
}

#[test]
fn the_first_error_is_told_whichever_thread_finds_it() {
    let mut raw = Raw::new();
    for at in 0..500 {
        raw = raw.file(&format!("f{at}"), "x");
    }
    // Two that fail when they are written: the first one counts.
    let tar = raw.file("first", "x").file("second", "x").end();
    for _ in 0..20 {
        let place = Place::new();
        fs::create_dir(place.base().join("first")).unwrap();
        fs::create_dir(place.base().join("second")).unwrap();
        let error = place
            .extract(&tar, &Policy::upstream().threads(4))
            .unwrap_err();
        assert_eq!(error.entry(), Some(&b"first"[..]));
        assert!(
            error.to_string().ends_with("/first: is a directory"),
            "{error}"
        );
    }
}
