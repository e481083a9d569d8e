use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use maintner::reclog::{Reader, Record};
use maintner::{Corpus, MutationRef};

use crate::args::FilesArgs;
use crate::log::begin;
use crate::log::files::number;
use crate::output::Format;
use crate::value::Value;

/// Payloads that are applied at once.
const BATCH: usize = 1000;
const BATCH_BYTES: usize = 4 << 20;

/// Reads all files three times, each time doing more with them, in one thread.
pub(super) fn run(format: Format, files: &FilesArgs) -> anyhow::Result<ExitCode> {
    let paths = files.paths()?;
    let mut out = begin(
        format,
        &[
            "what",
            "records",
            "bytes",
            "milliseconds",
            "mb_per_second",
            "records_per_second",
        ],
    )?;
    let mut measured = |what: &'static str, measured: Measured| {
        let per_second = |count: u64| {
            let nanos = measured.time.as_nanos().max(1);
            let rate = u128::from(count) * 1_000_000_000 / nanos;
            number(u64::try_from(rate).unwrap_or(u64::MAX))
        };
        out.row(&[
            Value::text(what),
            number(measured.records),
            number(measured.bytes),
            number(measured.time.as_millis() as u64),
            per_second(measured.bytes / 1_000_000),
            per_second(measured.records),
        ])?;
        out.flush()
    };
    measured("read frames", measure(&paths, |_| Ok(()))?)?;
    let decode = |record: Record<'_>| {
        MutationRef::decode(record.payload)
            .map(drop)
            .with_context(|| format!("the record at byte {}", record.offset))
    };
    measured("and decode", measure(&paths, decode)?)?;
    let mut corpus = Corpus::new();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let start = Instant::now();
    let mut applied = measure(&paths, |record| {
        batch.push(record.payload.to_vec());
        bytes += record.payload.len();
        if batch.len() == BATCH || bytes >= BATCH_BYTES {
            corpus.apply(&batch)?;
            batch.clear();
            bytes = 0;
        }
        Ok(())
    })?;
    corpus.apply(&batch)?;
    applied.time = start.elapsed();
    measured("and apply", applied)?;
    Ok(ExitCode::SUCCESS)
}

struct Measured {
    records: u64,
    bytes: u64,
    time: Duration,
}

fn measure(
    paths: &[PathBuf],
    mut visit: impl FnMut(Record<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Measured> {
    let (mut records, mut bytes) = (0, 0);
    let start = Instant::now();
    for path in paths {
        let name = || path.display().to_string();
        let mut reader = Reader::new(File::open(path).with_context(name)?, 0);
        while let Some(record) = reader.next_record().with_context(name)? {
            records += 1;
            visit(record).with_context(name)?;
        }
        bytes += reader.offset();
    }
    let time = start.elapsed();
    Ok(Measured {
        records,
        bytes,
        time,
    })
}
