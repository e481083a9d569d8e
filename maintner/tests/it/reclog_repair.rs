//! Damage that is more than a torn end.

use std::fs;
use std::path::{Path, PathBuf};

use maintner::reclog::{
    Examined, OpenError, Records, Repaired, Writer, WriterConfig, encode_into, examine, repair,
};
use maintner::{Corpus, pb};
use prost::Message as _;
use tempfile::{TempDir, tempdir};

const FILE: &str = "maintner-2020-01-02.mutlog";

fn payload(number: i32) -> Vec<u8> {
    pb::Mutation {
        github_issue: Some(pb::GithubIssueMutation {
            owner: "golang".into(),
            repo: "go".into(),
            number,
            title: format!("issue {number}"),
            ..Default::default()
        }),
        ..Default::default()
    }
    .encode_to_vec()
}

/// A log of records 1, 2 ..., and where they begin.
fn log(records: i32) -> (Vec<u8>, Vec<usize>) {
    let (mut log, mut starts) = (Vec::new(), Vec::new());
    for number in 1..=records {
        starts.push(log.len());
        encode_into(&mut log, 0, &payload(number));
    }
    (log, starts)
}

fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let path = dir.path().join(FILE);
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn examined(path: &Path) -> (Examined, Vec<Vec<u8>>) {
    let mut payloads = Vec::new();
    let examined = examine(path, |record| payloads.push(record.payload.to_vec())).unwrap();
    (examined, payloads)
}

/// Repairs, and sees to it that every byte is somewhere and every record that was found is in the log.
fn repaired(path: &Path, before: &[u8]) -> (Repaired, Vec<Vec<u8>>) {
    let (found, payloads) = examined(path);
    let repaired = repair(path).unwrap();
    assert_eq!(repaired.examined, found);
    let after = fs::read(path).unwrap();
    let kept: Vec<_> = Records::new(&after, 0)
        .map(|record| record.unwrap().payload.to_vec())
        .collect();
    assert_eq!(kept, payloads);
    for (damage, moved) in found.damage.iter().zip(&repaired.moved_to) {
        let bytes = damage.bytes.start as usize..damage.bytes.end as usize;
        assert_eq!(fs::read(moved).unwrap(), before[bytes]);
    }
    assert_eq!(repaired.moved_to.len(), found.damage.len());
    match &repaired.kept {
        Some(kept) => assert_eq!(fs::read(kept).unwrap(), before),
        None => assert!(before.starts_with(&after)),
    }
    Corpus::open(path.parent().unwrap()).unwrap();
    (repaired, payloads)
}

#[test]
fn a_log_cut_anywhere_keeps_its_whole_records() {
    let (whole, starts) = log(4);
    for cut in 0..=whole.len() {
        let (_dir, path) = file(&whole[..cut]);
        let (repaired, payloads) = repaired(&path, &whole[..cut]);
        let ends = starts[1..].iter().copied().chain([whole.len()]);
        let records = ends.filter(|end| *end <= cut).count();
        assert_eq!(payloads.len(), records, "{cut}");
        assert!(repaired.kept.is_none(), "a torn end changes no offset");
        let clean = cut == 0 || starts.contains(&cut) || cut == whole.len();
        assert_eq!(repaired.examined.damage.is_empty(), clean, "{cut}");
        assert_eq!(repaired.examined.is_torn(), !clean, "{cut}");
    }
}

#[test]
fn records_behind_damage_are_found() {
    let (whole, starts) = log(5);
    let second = starts[1]..starts[2];
    let mut zeroed = whole.clone();
    zeroed[second.clone()].fill(0);
    let (dir, path) = file(&zeroed);
    let (repaired, payloads) = repaired(&path, &zeroed);
    assert_eq!(payloads, [1, 3, 4, 5].map(payload));
    assert!(!repaired.examined.is_torn());
    assert_eq!(repaired.examined.damage.len(), 1);
    let bytes = &repaired.examined.damage[0].bytes;
    assert_eq!(
        (bytes.start, bytes.end),
        (second.start as u64, second.end as u64)
    );
    // Only the log itself is one for those who list it.
    assert_eq!(maintner::reclog::segments(dir.path()).unwrap().len(), 1);
    assert!(repair(&path).unwrap().examined.damage.is_empty());
}

#[test]
fn any_damaged_byte_costs_one_record_at_most() {
    let (whole, starts) = log(4);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x15;
        let (_dir, path) = file(&damaged);
        let (found, payloads) = examined(&path);
        let hit = starts.iter().rposition(|start| *start <= at).unwrap();
        // A payload has no checksum: what is damaged in it is not seen here.
        assert!(payloads.len() >= 3, "byte {at}");
        for (number, payload) in (1..=4).map(payload).enumerate() {
            assert!(number == hit || payloads.contains(&payload), "byte {at}");
        }
        let damaged: u64 = found
            .damage
            .iter()
            .map(|d| d.bytes.end - d.bytes.start)
            .sum();
        assert!(damaged <= (whole.len() / 3) as u64, "byte {at}");
    }
}

#[test]
fn several_damages_and_a_torn_end_are_all_moved_aside() {
    let (whole, starts) = log(7);
    let mut damaged = whole[..whole.len() - 3].to_vec();
    damaged[starts[0]] = b'X';
    damaged[starts[3]..starts[5]].fill(0xff);
    let (_dir, path) = file(&damaged);
    let (repaired, payloads) = repaired(&path, &damaged);
    assert_eq!(payloads, [2, 3, 6].map(payload));
    assert_eq!(repaired.moved_to.len(), 3);
}

#[test]
fn text_that_looks_like_a_record_is_none() {
    let (mut bytes, starts) = log(2);
    // Behind the damaged second record: a header that states another offset, one whose record is cut off, one that is no mutation.
    bytes[starts[1]] = b'X';
    bytes.extend_from_slice(b"REC@7+1=x");
    let fake = format!("REC@{:x}+ffff=x", bytes.len());
    bytes.extend_from_slice(fake.as_bytes());
    let fake = format!("REC@{:x}+2=\x07\x07", bytes.len());
    bytes.extend_from_slice(fake.as_bytes());
    let (_dir, path) = file(&bytes);
    let (found, payloads) = examined(&path);
    assert_eq!(payloads, [payload(1)]);
    assert!(found.is_torn());
}

#[test]
fn a_log_that_has_a_writer_is_left_alone() {
    let (whole, _) = log(2);
    let (dir, path) = file(&whole);
    let writer = Writer::open(dir.path(), WriterConfig::default()).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(repair(&path), Err(OpenError::Locked { .. })));
    assert_eq!(fs::read(&path).unwrap(), whole[..whole.len() - 1]);
    drop(writer);
    assert!(repair(&path).unwrap().examined.is_torn());
}
