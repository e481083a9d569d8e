//! What the tests share.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use maintner::pb;
use maintner::reclog::{Record, Records};
use prost::Message as _;

/// The folder of a vector.
pub(crate) fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// The folders of the vectors of a kind, by name.
pub(crate) fn vectors(kind: &str) -> Vec<PathBuf> {
    let mut dirs: Vec<_> = std::fs::read_dir(vector(kind))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    dirs.sort();
    assert!(!dirs.is_empty());
    dirs
}

/// Noon of 2020-01-02, after so many days.
pub(crate) fn day(after: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_577_966_400 + after * 86_400)
}

/// The records of a log that has no fault.
pub(crate) fn records(log: &[u8]) -> Vec<Record<'_>> {
    Records::new(log, 0).collect::<Result<_, _>>().unwrap()
}

/// An issue with a title.
pub(crate) fn mutation(number: i32) -> Vec<u8> {
    issue(number).encode_to_vec()
}

pub(crate) fn issue(number: i32) -> pb::Mutation {
    let issue = pb::GithubIssueMutation {
        owner: "golang".into(),
        repo: "go".into(),
        number: number + 1, // there is no issue 0
        title: format!("{number}"),
        ..Default::default()
    };
    pb::Mutation {
        github_issue: Some(issue),
        ..Default::default()
    }
}
