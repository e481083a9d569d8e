//! Finding the records of a log, beside reading its files.

use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use maintner::reclog::{Reader, segments};

use crate::maintner::load::run;
use crate::maintner::logs::warm;
use crate::maintner::results::Results;

/// In turns, with one thread each, files that are in memory. Go's is a process of its own.
pub(super) fn measure(
    log: &Path,
    mib: u64,
    rounds: u32,
    results: &mut Results,
) -> anyhow::Result<()> {
    let go = harness::peer("gomaintner")?;
    let bytes = warm(log)? as f64;
    for round in 0..rounds {
        eprintln!(
            "  reading the records of {mib} MiB, round {} of {rounds}",
            round + 1
        );
        let start = Instant::now();
        ensure!(warm(log)? as f64 == bytes, "the log changes");
        let read = start.elapsed();
        let start = Instant::now();
        let records = scan(log)?;
        let scanned = start.elapsed();
        let mut theirs = go.command();
        theirs.arg("scan").arg(log);
        let theirs = run(theirs)?;
        ensure!(
            theirs["records"].as_u64() == Some(records),
            "{records} records, and {} in Go",
            theirs["records"]
        );
        let go = theirs["seconds"].as_f64();
        let mb = bytes / 1e6;
        for (what, seconds) in [
            ("read", read.as_secs_f64()),
            ("ours", scanned.as_secs_f64()),
            ("go", go.context("a program left something out")?),
        ] {
            results.add(&format!("scan/{mib}/{what}"), mb / seconds)?;
        }
    }
    Ok(())
}

fn scan(log: &Path) -> anyhow::Result<u64> {
    let mut records = 0;
    for segment in segments(log)? {
        let mut reader = Reader::new(File::open(segment.path)?, 0);
        while let Some(record) = reader.next_record()? {
            black_box(record.payload);
            records += 1;
        }
    }
    Ok(records)
}
