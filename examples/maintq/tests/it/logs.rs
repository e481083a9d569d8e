//! `maintq log`.

use std::fs;
use std::path::Path;

use maintner::reclog::segments;
use tempfile::{TempDir, tempdir};

use crate::support::{ended, maintq, rows, stdout, vector};

const LOG: &str = "disk/14-gerrit-state";

fn log(args: &[&str], path: &Path) -> std::process::Output {
    maintq().arg("log").args(args).arg(path).output().unwrap()
}

/// A copy of a log's only file without its last byte, or with its second half spoiled.
fn damaged(damage: impl FnOnce(&mut Vec<u8>)) -> (TempDir, std::path::PathBuf, Vec<u8>) {
    let dir = tempdir().unwrap();
    let mut bytes = fs::read(&segments(&vector(LOG)).unwrap()[0].path).unwrap();
    damage(&mut bytes);
    let path = dir.path().join("maintner-2020-01-02.mutlog");
    fs::write(&path, &bytes).unwrap();
    (dir, path, bytes)
}

#[test]
fn inspect_counts_what_is_there() {
    let rows = rows(&log(&["inspect", "--format", "json"], &vector(LOG)));
    let [row] = &rows[..] else { panic!("{rows:?}") };
    let corpus = maintner::Corpus::open(vector(LOG)).unwrap();
    let stats = corpus.view().stats();
    assert_eq!(row["records"], stats.records);
    assert_eq!(row["bytes"], stats.log_bytes);
    assert_eq!(row["damage"], 0);
    assert!(row["gerrits"].as_u64() > Some(0) && row["commits"].as_u64() > Some(0));
}

#[test]
fn verify_tells_good_from_bad() {
    let (code, out, err) = ended(&log(&["verify", "--format", "json"], &vector(LOG)));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("\"problem\":null"), "{out}");
    for (vector_name, says) in [
        ("disk/51-bad-truncated-record", "ends after"),
        ("disk/53-bad-offset", "says it is at byte"),
        ("disk/5D-bad-protobuf", "is no mutation"),
    ] {
        let (code, out, err) = ended(&log(&["verify"], &vector(vector_name)));
        assert_eq!((code, err.as_str()), (1, ""), "{vector_name}");
        assert!(out.contains(says), "{vector_name}: {out}");
    }
    let (code, _, err) = ended(&log(&["verify"], Path::new("no-such-file")));
    assert_eq!(code, 1);
    assert!(err.contains("no-such-file"), "{err}");
    let (code, _, err) = ended(&log(&["verify"], tempdir().unwrap().path()));
    assert_eq!(code, 1);
    assert!(err.contains("maintner-*.mutlog"), "{err}");
}

#[test]
fn repair_changes_nothing_before_it_is_told_to() {
    let (dir, path, bytes) = damaged(|bytes| bytes.truncate(bytes.len() - 1));
    let (code, out, err) = ended(&log(&["repair"], dir.path()));
    assert_eq!((code, err.as_str()), (1, ""));
    assert!(
        out.contains("--write repairs") && out.contains("to be moved aside"),
        "{out}"
    );
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    let repaired = stdout(&log(&["repair", "--write"], dir.path()));
    assert!(repaired.contains(".torn-"), "{repaired}");
    assert_eq!(log(&["verify"], dir.path()).status.code(), Some(0));
    assert!(stdout(&log(&["repair"], dir.path())).contains("nothing to repair"));
}

#[test]
fn repair_keeps_what_stands_behind_damage() {
    let whole = rows(&log(&["inspect", "--format", "json"], &vector(LOG)))[0]["records"].as_u64();
    let (dir, _, bytes) = damaged(|bytes| bytes[0] = b'X');
    let out = stdout(&log(&["repair", "--write"], dir.path()));
    assert!(out.contains("must read it from the beginning"), "{out}");
    let after = rows(&log(&["inspect", "--format", "json"], dir.path()))[0]["records"].as_u64();
    assert_eq!(after, whole.map(|records| records - 1));
    let kept = dir.path().join("maintner-2020-01-02.mutlog.damaged");
    assert_eq!(fs::read(kept).unwrap(), bytes);
}

#[test]
fn cat_prints_mutations_from_anywhere() {
    let path = &segments(&vector(LOG)).unwrap()[0].path;
    let all = rows(&log(&["cat"], path));
    assert!(all.len() > 5);
    assert!(
        all.iter()
            .any(|row| row["mutation"]["gerrit"]["project"] == "go.googlesource.com/go")
    );
    let from = all[3]["offset"].to_string();
    let some = rows(&log(&["cat", "--from", &from, "-n", "2"], path));
    assert_eq!(some, all[3..5]);
    let (code, _, err) = ended(&log(&["cat", "--from", "1"], path));
    assert_eq!(code, 1);
    assert!(err.contains("byte 1"), "{err}");
    let two = maintq()
        .args(["log", "cat", "--from", "5"])
        .args([path, path])
        .output()
        .unwrap();
    assert_eq!(ended(&two).0, 2);
}

#[test]
fn cat_shows_what_comes_before_damage() {
    let (dir, _, _) = damaged(|bytes| bytes.truncate(bytes.len() - 1));
    let (code, out, err) = ended(&log(&["cat"], dir.path()));
    assert_eq!(code, 1);
    assert!(out.lines().count() > 5);
    assert!(err.contains("ends after"), "{err}");
}

#[test]
fn bench_reads_decodes_and_applies() {
    let rows = rows(&log(&["bench", "--format", "json"], &vector(LOG)));
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["records"] == rows[0]["records"]));
    assert_eq!(rows[2]["what"], "and apply");
}
