//! Go's maintner takes the logs that are made up, and derives from them what we derive.

use maintner::Corpus;
use serde_json::Value;
use tempfile::tempdir;

use crate::compare::{assert_same, public};
use crate::facts::facts;
use crate::make::{make, repository};

#[test]
fn go_derives_from_a_made_up_log_what_we_derive() {
    let Some(go) = harness::peer_or_skip("gomaintner") else {
        return;
    };
    let dir = tempdir().unwrap();
    let (repo, log) = (dir.path().join("repo"), dir.path().join("log"));
    std::fs::create_dir(&repo).unwrap();
    repository(&repo);
    make(
        &log,
        &[
            "--git",
            repo.to_str().unwrap(),
            "--project",
            "go.googlesource.com/replayed",
        ],
    );
    let output = go.filter(&["facts", log.to_str().unwrap()], b"").unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(theirs["gerrit"]["projects"].as_array().unwrap().len() > 5);
    let mut ours = public(facts(&Corpus::open(&log).unwrap().view()), &theirs);
    // Counters of which only the growth means something.
    for facts in [&mut ours, &mut theirs] {
        for project in facts["gerrit"]["projects"].as_array_mut().unwrap() {
            project["num_label_changes"] = Value::Null;
        }
    }
    assert_same("made up", &ours, &theirs);
}
