use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use maintner::reclog::{Examined, Record, examine, segments};
use maintner::{DecodeError, MutationRef};

use crate::args::FilesArgs;
use crate::log::begin;
use crate::output::Format;
use crate::value::Value;

impl FilesArgs {
    /// The files, and in place of a folder those of the log in it, in order.
    pub(super) fn paths(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for path in &self.files {
            if !path.is_dir() {
                paths.push(path.clone());
                continue;
            }
            let segments = segments(path).with_context(|| path.display().to_string())?;
            if segments.is_empty() {
                bail!("{} has no file of a log: maintner-*.mutlog", path.display());
            }
            paths.extend(segments.into_iter().map(|segment| segment.path));
        }
        Ok(paths)
    }
}

/// Says what is in each file.
pub(super) fn inspect(format: Format, files: &FilesArgs) -> anyhow::Result<ExitCode> {
    let mut out = begin(
        format,
        &[
            "file", "bytes", "records", "issues", "labels", "gits", "gerrits", "commits", "refs",
            "largest", "unknown", "damage",
        ],
    )?;
    for path in files.paths()? {
        let mut counts = Counts::default();
        let examined = examine(&path, |record| counts.add(record))?;
        out.row(&[
            Value::text(path.display().to_string()),
            number(examined.len),
            number(examined.records),
            number(counts.issues),
            number(counts.labels),
            number(counts.gits),
            number(counts.gerrits),
            number(counts.commits),
            number(counts.refs),
            number(counts.largest),
            number(counts.unknown),
            number(damaged(&examined)),
        ])?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// What the mutations of a file are.
#[derive(Default)]
struct Counts {
    issues: u64,
    labels: u64,
    gits: u64,
    gerrits: u64,
    commits: u64,
    refs: u64,
    largest: u64,
    unknown: u64,
}

impl Counts {
    fn add(&mut self, record: Record<'_>) {
        self.largest = self.largest.max(record.payload.len() as u64);
        let Ok(mutation) = MutationRef::decode(record.payload) else {
            self.unknown += 1;
            return;
        };
        self.issues += u64::from(mutation.github_issue.is_some());
        self.labels += u64::from(mutation.github.is_some());
        if let Some(git) = &mutation.git {
            self.gits += 1;
            self.commits += u64::from(git.commit.is_some());
        }
        if let Some(gerrit) = &mutation.gerrit {
            self.gerrits += 1;
            self.commits += gerrit.commits.len() as u64;
            self.refs += gerrit.refs.len() as u64;
        }
        let is_known = mutation.github_issue.is_some()
            || mutation.github.is_some()
            || mutation.git.is_some()
            || mutation.gerrit.is_some();
        self.unknown += u64::from(!is_known);
    }
}

/// Checks every record and every mutation.
pub(super) fn verify(format: Format, files: &FilesArgs) -> anyhow::Result<ExitCode> {
    let mut out = begin(format, &["file", "records", "problem"])?;
    let mut good = true;
    for path in files.paths()? {
        let mut undecodable: Vec<(u64, DecodeError)> = Vec::new();
        let mut more = 0_u64;
        let examined = examine(&path, |record| {
            if let Err(error) = MutationRef::decode(record.payload) {
                match undecodable.len() {
                    0..MAX_PROBLEMS => undecodable.push((record.offset, error)),
                    _ => more += 1,
                }
            }
        })?;
        let mut problems: Vec<String> = undecodable
            .iter()
            .map(|(offset, error)| format!("the record at byte {offset} is no mutation: {error}"))
            .collect();
        if more > 0 {
            problems.push(format!("{more} more records are no mutations"));
        }
        for damage in examined.damage.iter().take(MAX_PROBLEMS) {
            let len = damage.bytes.end - damage.bytes.start;
            problems.push(format!("{}; {len} bytes are no record", damage.error));
        }
        if let Some(more @ 1..) = examined.damage.len().checked_sub(MAX_PROBLEMS) {
            problems.push(format!("{more} more places are no records"));
        }
        good &= problems.is_empty();
        if problems.is_empty() {
            problems.push(String::new());
        }
        for problem in problems {
            let file = Value::text(path.display().to_string());
            out.row(&[file, number(examined.records), Value::text(problem)])?;
        }
    }
    out.flush()?;
    Ok(match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Of each kind that are told of a file.
const MAX_PROBLEMS: usize = 10;

fn damaged(examined: &Examined) -> u64 {
    let bytes = examined.damage.iter().map(|damage| &damage.bytes);
    bytes.map(|bytes| bytes.end - bytes.start).sum()
}

pub(super) fn number(number: u64) -> Value<'static> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}
