//! Appending to a log on the disk.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use maintner::reclog::{Reader, Sync, Writer, WriterConfig, segments};

use crate::maintner::load::run;
use crate::maintner::results::Results;

/// Records of a batch.
pub(super) const BATCHES: [usize; 3] = [100, 1000, 10_000];

/// The mutations of a log's first file to a log of its own, in `dir`, in batches of several sizes; and by upstream's logger, which writes one
/// at a time and does not sync.
pub(super) fn measure(
    log: &Path,
    dir: &Path,
    rounds: u32,
    results: &mut Results,
) -> anyhow::Result<()> {
    let go = harness::peer("gomaintner")?;
    let first = segments(log)?.into_iter().next();
    let first = first.context("the log has no file")?;
    let mut payloads = Vec::new();
    let mut reader = Reader::new(File::open(first.path)?, 0);
    while let Some(record) = reader.next_record()? {
        payloads.push(record.payload.to_vec());
    }
    let records = payloads.len() as f64;
    for round in 0..rounds {
        eprintln!("  appending, round {} of {rounds}", round + 1);
        for batch in BATCHES {
            let seconds = append(dir, &payloads, batch, Sync::EachBatch)?;
            results.add(&format!("append/ours/{batch}"), records / seconds)?;
        }
        let seconds = append(dir, &payloads, 1, Sync::Never)?;
        results.add("append/ours/unsynced", records / seconds)?;
        let to = folder(dir)?;
        let mut theirs = go.command();
        theirs.arg("append").arg(log).arg(to.path());
        let theirs = run(theirs)?;
        let seconds = theirs["seconds"].as_f64();
        let records = theirs["records"].as_f64();
        let (seconds, records) = seconds
            .zip(records)
            .context("a program left something out")?;
        results.add("append/go/unsynced", records / seconds)?;
    }
    Ok(())
}

fn append(dir: &Path, payloads: &[Vec<u8>], batch: usize, sync: Sync) -> anyhow::Result<f64> {
    let to = folder(dir)?;
    let mut writer = Writer::open(to.path(), WriterConfig::default().sync(sync))?;
    let start = Instant::now();
    for batch in payloads.chunks(batch) {
        writer.append(batch)?;
    }
    Ok(start.elapsed().as_secs_f64())
}

fn folder(dir: &Path) -> anyhow::Result<tempfile::TempDir> {
    fs::create_dir_all(dir)?;
    tempfile::tempdir_in(dir).context("cannot make a folder for a log")
}
