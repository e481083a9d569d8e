//! Builds as people are shown them on a terminal.

use std::io::{self, IsTerminal as _, Write as _};

use build_coordinator::model::{Build, BuildDetail, Timestamp};

use crate::terminal::{ColoursOnly, duration, printable};

/// The digits of a commit that people are shown.
const DIGITS: usize = 10;

/// `tools@0123456789`
pub(crate) fn commit(repository: &str, revision: &str) -> String {
    let digits: String = revision.chars().take(DIGITS).collect();
    format!("{}@{}", printable(repository), printable(&digits))
}

/// `7 tools@0123456789 (main) on linux`
pub(crate) fn what(build: &Build) -> String {
    let branch = build
        .branch
        .as_deref()
        .map(|branch| format!(" ({})", printable(branch)));
    format!(
        "{} {}{} on {}",
        build.id,
        commit(&build.key.repository, build.key.revision.as_str()),
        branch.unwrap_or_default(),
        printable(&build.key.builder)
    )
}

/// How long it has been running, or did.
pub(crate) fn took(build: &Build) -> String {
    let Some(started) = build.started else {
        return String::new();
    };
    duration(build.ended.unwrap_or_else(Timestamp::now).since(started))
}

/// How it ended, and why: `failed (step test: exit status 1)`.
pub(crate) fn ending(detail: &BuildDetail) -> String {
    let Some(cause) = detail.build.cause() else {
        return "goes on".to_owned();
    };
    let last = detail
        .attempts
        .last()
        .and_then(|attempt| attempt.end.as_ref());
    let why = last.map_or(detail.build.message.as_str(), |end| &end.message);
    if why.is_empty() {
        cause.to_string()
    } else {
        format!("{cause} ({})", printable(why))
    }
}

/// Writes a log to standard output: with colours alone on a terminal, as it is elsewhere.
#[derive(Debug, Default)]
pub(crate) struct LogPrinter {
    filter: ColoursOnly,
}

impl LogPrinter {
    pub(crate) fn print(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if out.is_terminal() {
            out.write_all(&self.filter.filter(bytes))?;
        } else {
            out.write_all(bytes)?;
        }
        out.flush()
    }
}
