use std::path::PathBuf;

use crate::load::Part;
use crate::snapshot::SnapshotError;
use crate::snapshot::file::NewFile;
use crate::snapshot::open::{Opened, open};
use crate::state::Writer;
use crate::store::Texts;

/// Less of a log is read faster than anybody notices.
const MIN_NEW: u64 = 4 << 20;
/// The part of the log that may be new before a snapshot is made again: reading it takes a part of the time as small.
const NEW_PART: u64 = 16;

/// Bytes of texts that may be in memory before they are written, and the part of those written that they may be besides, so that these
/// need not be mapped again too often.
const SPILL: usize = 64 << 20;
const SPILL_PART: usize = 4;

/// The snapshot that a corpus keeps of itself.
#[derive(Debug)]
pub(crate) struct Kept {
    path: PathBuf,
    /// Whether it was looked at.
    looked: bool,
    /// Bytes of log that it has.
    covers: u64,
    error: Option<SnapshotError>,
    /// The one that is being made.
    new: Option<NewFile>,
    /// That could not be, and is not tried again for the same log.
    keeps_in_memory: bool,
}

impl Kept {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self {
            path,
            looked: false,
            covers: 0,
            error: None,
            new: None,
            keeps_in_memory: false,
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
        let new = self
            .new
            .take()
            .map_or_else(|| NewFile::create(&self.path), Ok);
        match new.and_then(|new| new.finish(writer, log)) {
            Ok(()) => self.open(log, threads),
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }

    /// While a large log is read for the first time, writes texts to the snapshot that will be made of it, so that they take no memory.
    pub(crate) fn spill(&mut self, texts: &mut Texts) {
        let is_much = texts.in_memory() >= SPILL.max(texts.in_file() / SPILL_PART);
        if !is_much || self.covers > 0 || self.keeps_in_memory {
            return;
        }
        let file = self
            .new
            .take()
            .map_or_else(|| NewFile::create(&self.path), Ok);
        let spilled = file.and_then(|mut file| {
            file.spill(texts)?;
            Ok(file)
        });
        match spilled {
            Ok(file) => self.new = Some(file),
            // The rest stays in memory, and what was written is mapped as long as it is needed.
            Err(error) => {
                self.error = Some(error);
                self.keeps_in_memory = true;
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
