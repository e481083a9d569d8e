use std::path::PathBuf;

use crate::load::Part;
use crate::snapshot::open::{Opened, open};
use crate::snapshot::{SnapshotError, file};
use crate::state::Writer;

/// Less of a log is read faster than anybody notices.
const MIN_NEW: u64 = 4 << 20;
/// The part of the log that may be new before a snapshot is made again: reading it takes a part of the time as small.
const NEW_PART: u64 = 16;

/// The snapshot that a corpus keeps of itself.
#[derive(Debug)]
pub(crate) struct Kept {
    path: PathBuf,
    /// Whether it was looked at.
    looked: bool,
    /// Bytes of log that it has.
    covers: u64,
    error: Option<SnapshotError>,
}

impl Kept {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self {
            path,
            looked: false,
            covers: 0,
            error: None,
        }
    }

    pub(crate) fn covers(&self) -> u64 {
        self.covers
    }

    pub(crate) fn error(&self) -> Option<&SnapshotError> {
        self.error.as_ref()
    }

    /// What a corpus begins with, the first time; `log` are all segments that there are.
    pub(crate) fn start(
        &mut self,
        log: impl FnOnce() -> Vec<(String, Part)>,
        threads: usize,
    ) -> Option<Opened> {
        if std::mem::replace(&mut self.looked, true) {
            return None;
        }
        self.open(&log(), threads)
    }

    pub(crate) fn is_due(&self, log_bytes: u64) -> bool {
        let new = log_bytes.saturating_sub(self.covers);
        new >= MIN_NEW.max(log_bytes / NEW_PART)
    }

    /// Makes one of all that was read, which `log` are the segments of, and opens it.
    pub(crate) fn save(
        &mut self,
        writer: &Writer,
        log: &[(String, Part)],
        threads: usize,
    ) -> Option<Opened> {
        // The next is due when there is more again, also after an error.
        self.covers = writer.core.log_bytes;
        match file::save(&self.path, writer, log) {
            Ok(()) => self.open(log, threads),
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }

    pub(crate) fn take_error(&mut self) -> Option<SnapshotError> {
        self.error.take()
    }

    fn open(&mut self, log: &[(String, Part)], threads: usize) -> Option<Opened> {
        match open(&self.path, log, threads) {
            Ok(opened) => {
                self.error = None;
                let opened = opened?;
                self.covers = opened.0.core.log_bytes;
                Some(opened)
            }
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }
}
