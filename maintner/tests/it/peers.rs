//! Go's maintner reads our logs, we read its, and both derive the same.

use std::fs;
use std::path::{Path, PathBuf};

use harness::Program;
use maintner::reclog::{Records, Sync, Writer, WriterConfig, segments};
use maintner::{Corpus, MutationRef};
use prost::Message as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::compare::{assert_same, public};
use crate::facts::facts;
use crate::support::{day, vectors};

/// Logs that upstream loads.
fn good_vectors() -> Vec<PathBuf> {
    let mut dirs = vectors("disk");
    dirs.retain(|dir| Corpus::open(dir).is_ok());
    dirs
}

/// What Go makes of each log.
fn go_facts<P: AsRef<Path>>(go: &Program, dirs: &[P]) -> Vec<Value> {
    let mut args = vec!["facts"];
    args.extend(dirs.iter().map(|dir| dir.as_ref().to_str().unwrap()));
    let output = go.filter(&args, b"").unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let facts: Vec<Value> = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(facts.len(), dirs.len());
    facts
}

/// A copy of each log, record by record, with mutations that we encoded.
fn rewritten(dirs: &[PathBuf]) -> Vec<TempDir> {
    let rewrite = |dir: &PathBuf| {
        let to = tempfile::tempdir().unwrap();
        let config = WriterConfig::default().sync(Sync::Never);
        let mut log = Writer::open(to.path(), config).unwrap();
        for (n, segment) in segments(dir).unwrap().iter().enumerate() {
            let bytes = fs::read(&segment.path).unwrap();
            let payloads = Records::new(&bytes, 0).map(|record| {
                let mutation = MutationRef::decode(record.unwrap().payload).unwrap();
                mutation.to_owned().encode_to_vec()
            });
            log.append_at(day(n as u64), payloads).unwrap();
        }
        to
    };
    dirs.iter().map(rewrite).collect()
}

#[test]
fn go_derives_from_each_log_what_we_derive() {
    let Some(go) = harness::peer_or_skip("gomaintner") else {
        return;
    };
    let mut dirs = good_vectors();
    // In these we are meant to differ; `corpus_vectors` says how.
    let corrected = ["07-", "14-", "15-", "16-", "18-", "21-", "24-"];
    dirs.retain(|dir| {
        let name = dir.file_name().unwrap().to_str().unwrap();
        !corrected.iter().any(|case| name.starts_with(case))
    });
    for (dir, theirs) in dirs.iter().zip(go_facts(&go, &dirs)) {
        let ours = public(facts(&Corpus::open(dir).unwrap().view()), &theirs);
        assert_same(dir.to_str().unwrap(), &ours, &theirs);
    }
}

#[test]
fn go_reads_a_log_that_we_wrote() {
    let Some(go) = harness::peer_or_skip("gomaintner") else {
        return;
    };
    let dirs = good_vectors();
    let copies = rewritten(&dirs);
    let (of_originals, of_copies) = (go_facts(&go, &dirs), go_facts(&go, &copies));
    for (dir, (copy, original)) in dirs.iter().zip(of_copies.iter().zip(&of_originals)) {
        assert!(copy.get("error").is_none(), "{}", dir.display());
        assert_same(dir.to_str().unwrap(), copy, original);
    }
}

#[test]
fn we_read_a_log_that_go_wrote() {
    let Some(go) = harness::peer_or_skip("gomaintner") else {
        return;
    };
    for dir in good_vectors() {
        let copy = tempfile::tempdir().unwrap();
        let output = go
            .filter(
                &["copy", dir.to_str().unwrap(), copy.path().to_str().unwrap()],
                b"",
            )
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let (ours, theirs) = (
            Corpus::open(&dir).unwrap().view(),
            Corpus::open(copy.path()).unwrap().view(),
        );
        assert_same(dir.to_str().unwrap(), &facts(&theirs), &facts(&ours));
    }
}

#[test]
fn go_refuses_what_we_refuse() {
    let Some(go) = harness::peer_or_skip("gomaintner") else {
        return;
    };
    let mut dirs = vectors("disk");
    dirs.retain(|dir| Corpus::open(dir).is_err());
    assert!(dirs.len() >= 18);
    for (dir, theirs) in dirs.iter().zip(go_facts(&go, &dirs)) {
        assert_eq!(theirs["error"], json!(true), "{}", dir.display());
    }
}

/// The frame, for one who appends to the same file by Go's `reclog`: each goes on where the other ended.
#[test]
fn go_and_we_append_to_one_log_in_turns() {
    let Some(go) = harness::peer_or_skip("gomaintner") else {
        return;
    };
    let from = vectors("disk")
        .into_iter()
        .find(|dir| dir.ends_with("12-gerrit-cl-life"))
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let log = fs::read(segments(&from).unwrap()[0].path.clone()).unwrap();
    let payloads: Vec<_> = Records::new(&log, 0)
        .map(|record| record.unwrap().payload)
        .collect();
    for _ in 0..2 {
        drop(
            Writer::open(dir.path(), WriterConfig::default())
                .unwrap()
                .append(&payloads)
                .unwrap(),
        );
        let output = go
            .filter(
                &["copy", from.to_str().unwrap(), dir.path().to_str().unwrap()],
                b"",
            )
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    // Unless midnight came, all is in one file.
    let records: usize = segments(dir.path())
        .unwrap()
        .iter()
        .map(|segment| {
            Records::new(&fs::read(&segment.path).unwrap(), 0)
                .map(Result::unwrap)
                .count()
        })
        .sum();
    assert_eq!(records, 4 * payloads.len());
    let (ours, theirs) = (
        Corpus::open(dir.path()).unwrap(),
        &go_facts(&go, &[dir.path()])[0],
    );
    let mut ours = public(facts(&ours.view()), theirs);
    ours["gerrit"]["projects"][0]["num_label_changes"] =
        theirs["gerrit"]["projects"][0]["num_label_changes"].clone();
    assert_same("in turns", &ours, theirs);
}
