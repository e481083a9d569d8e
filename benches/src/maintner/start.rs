//! Starting with a snapshot.

use std::fs;
use std::path::Path;
use std::process::{self, Command};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use maintner::{Config, Corpus};
use serde_json::{Value, json};

use crate::load::process::{peak, private};
use crate::maintner::load::run;
use crate::maintner::queries::open_cls;
use crate::maintner::results::Results;

/// What the process does that is measured: it begins with a snapshot, makes one if there is none, and prints what that cost, as an object.
pub(crate) fn start(log: &Path, snapshot: &Path) -> anyhow::Result<()> {
    let this = process::id();
    let began = Instant::now();
    let mut corpus = Corpus::at(log, Config::default().snapshot(snapshot));
    corpus.update()?;
    if corpus.snapshot_bytes() == 0 {
        // Of a small log none is made otherwise.
        corpus.save_snapshot()?;
    }
    let view = corpus.view();
    let first = open_cls(&view).next().context("there is no open change")?;
    let subject = first.subject().into_owned();
    let first = began.elapsed();
    let (private_first, peak) = (private(this)?, peak(this)?);
    let count = open_cls(&view).count();
    let object = json!({
        "seconds": first.as_secs_f64(), "private_kib": private_first >> 10, "peak_kib": peak >> 10, "of_snapshot": corpus.snapshot_bytes(),
        "all_seconds": began.elapsed().as_secs_f64(), "all_private_kib": private(this)? >> 10, "answer": [count, subject],
    });
    println!("{object}");
    Ok(())
}

/// A process that makes the snapshot in this file, then others that begin with it.
pub(super) fn measure(
    log: &Path,
    mib: u64,
    snapshot: &Path,
    rounds: u32,
    results: &mut Results,
) -> anyhow::Result<()> {
    if snapshot.exists() {
        fs::remove_file(snapshot)?;
    }
    let start = || -> anyhow::Result<Value> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("maintner-start").arg(log).arg(snapshot);
        run(command)
    };
    let mut add = |object: &Value, kind: &str, names: &[&str]| {
        for &name in names {
            let value = object[name].as_f64();
            let value = value.context("a program left something out")?;
            results.add(&format!("start/{mib}/{kind}/{name}"), value)?;
        }
        anyhow::Ok(())
    };
    eprintln!("  making a snapshot of {mib} MiB");
    let made = start()?;
    add(&made, "made", &["seconds", "private_kib", "peak_kib"])?;
    let len = fs::metadata(snapshot)
        .context("no snapshot was made")?
        .len();
    add(&json!({"file_kib": len >> 10}), "made", &["file_kib"])?;
    for round in 0..rounds {
        eprintln!("  starting with it, round {} of {rounds}", round + 1);
        let started = start()?;
        ensure!(
            started["of_snapshot"].as_u64() > Some(0),
            "the snapshot was not used"
        );
        ensure!(
            started["answer"] == made["answer"],
            "{} with the snapshot, and {} without",
            started["answer"],
            made["answer"]
        );
        let names = ["seconds", "private_kib", "all_seconds", "all_private_kib"];
        add(&started, "mapped", &names)?;
    }
    fs::remove_file(snapshot)?;
    Ok(())
}
