//! Threads that write files, while the caller reads the archive.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};

use cap_std::fs::Dir;

use super::error::{ExtractError, ExtractErrorKind};
use super::folder::Folder;
use super::fs_error::FsError;
use super::place;
use super::policy::{Existing, Modes};
use super::timestamp::Timestamp;

/// Content up to which a file is collected with others; what is larger goes out in pieces of this size.
pub(crate) const PIECE: usize = 256 << 10;
/// Files in a batch: enough that handing it over costs nothing beside making them.
const BATCH_FILES: usize = 64;
/// Jobs that wait, for each thread.
const QUEUE: usize = 4;

/// A file to make.
#[derive(Debug)]
pub(crate) struct NewFile {
    /// Number of its entry.
    pub(crate) entry: u64,
    /// Offset of its header.
    pub(crate) offset: u64,
    pub(crate) parent: Arc<Dir>,
    /// From the folder.
    pub(crate) path: PathBuf,
    /// Name in the archive, where it is not the path.
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) mode: u32,
    pub(crate) mtime: Timestamp,
}

/// How files are made.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) base: Folder,
    pub(crate) existing: Existing,
    pub(crate) modes: Modes,
}

/// What the threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    rules: Rules,
    state: Mutex<State>,
    /// Something happened that a waiting thread wants to know.
    changed: Condvar,
    /// Number of the first entry that failed; entries behind it need not be written.
    first_failed: AtomicU64,
    /// Files whose time could not be set.
    times_not_set: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    running: usize,
    closed: bool,
    error: Option<ExtractError>,
    /// To be used again; no more than there are jobs at a time.
    spare: Vec<Batch>,
    spare_buffers: Vec<Vec<u8>>,
}

#[derive(Debug)]
enum Job {
    Batch(Batch),
    Piece(Piece),
}

/// Small files with their contents.
#[derive(Debug, Default)]
struct Batch {
    files: Vec<(NewFile, Range<usize>)>,
    bytes: Vec<u8>,
}

/// A part of a large file.
#[derive(Debug)]
struct Piece {
    file: Arc<LargeFile>,
    offset: u64,
    bytes: Vec<u8>,
}

/// A file that is written in pieces, by whoever has time. The last one to finish sets its time.
#[derive(Debug)]
pub(crate) struct LargeFile {
    new: NewFile,
    file: File,
    /// Pieces that are not written yet, and one as long as not all are made.
    open: AtomicU64,
}

/// A job is being done; dropped when it is, or when it panicked.
struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.changed.notify_all();
    }
}

impl Shared {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            state: Mutex::default(),
            changed: Condvar::new(),
            first_failed: AtomicU64::new(u64::MAX),
            times_not_set: AtomicU64::new(0),
        }
    }

    pub(crate) fn times_not_set(&self) -> u64 {
        self.times_not_set.load(Ordering::Relaxed)
    }

    /// Sets the time. Failing at it is no reason to give up a file whose content is right: some file systems have none.
    fn finish(&self, file: &File, mtime: Timestamp) {
        if super::sys::set_file_time(file, mtime).is_err() {
            self.times_not_set.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One piece less to be written.
    fn release(&self, large: &LargeFile) {
        if large.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.finish(&large.file, large.new.mtime);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked ends the scope with its panic; until then the state is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until there will be no more jobs.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state = self.run(state, job);
            } else if state.closed {
                return;
            } else {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Does a job without the lock.
    fn run<'a>(&'a self, mut state: MutexGuard<'a, State>, job: Job) -> MutexGuard<'a, State> {
        state.running += 1;
        drop(state);
        let running = Running(self);
        let result = match job {
            Job::Batch(mut batch) => {
                let result = self.write_batch(&mut batch);
                self.lock().spare.push(batch);
                result
            }
            Job::Piece(mut piece) => {
                let result = self.write_piece(&piece);
                piece.bytes.clear();
                self.lock().spare_buffers.push(piece.bytes);
                result
            }
        };
        if let Err((entry, error)) = result {
            let mut state = self.lock();
            // Another thread may have failed at an earlier entry meanwhile.
            if entry < self.first_failed.fetch_min(entry, Ordering::Relaxed) {
                state.error = Some(error);
            }
        }
        drop(running);
        self.lock()
    }

    fn write_batch(&self, batch: &mut Batch) -> Result<(), (u64, ExtractError)> {
        let mut result = Ok(());
        for (new, range) in batch.files.drain(..) {
            if result.is_ok() && new.entry < self.first_failed.load(Ordering::Relaxed) {
                let written = self.write_file(&new, &batch.bytes[range]);
                result = written.map_err(|error| (new.entry, error));
            }
        }
        batch.bytes.clear();
        result
    }

    fn write_file(&self, new: &NewFile, bytes: &[u8]) -> Result<(), ExtractError> {
        let mut file = self.make(new)?;
        file.write_all(bytes)
            .map_err(|error| self.cannot_write(new, error))?;
        self.finish(&file, new.mtime);
        Ok(())
    }

    fn write_piece(&self, piece: &Piece) -> Result<(), (u64, ExtractError)> {
        let new = &piece.file.new;
        if new.entry < self.first_failed.load(Ordering::Relaxed) {
            place::write_all_at(&piece.file.file, &piece.bytes, piece.offset)
                .map_err(|error| (new.entry, self.cannot_write(new, error)))?;
        }
        self.release(&piece.file);
        Ok(())
    }

    fn make(&self, new: &NewFile) -> Result<File, ExtractError> {
        place::make_file(&self.rules, &new.parent, &new.path, new.mode).map_err(|error| {
            let error = FsError::new("open", self.rules.base.shown(&new.path), error);
            self.failed(new, ExtractErrorKind::Fs(error))
        })
    }

    fn cannot_write(&self, new: &NewFile, error: io::Error) -> ExtractError {
        let error = FsError::new("write", self.rules.base.shown(&new.path), error);
        self.failed(new, ExtractErrorKind::Write(error))
    }

    fn failed(&self, new: &NewFile, kind: ExtractErrorKind) -> ExtractError {
        let name = new.name.as_deref();
        let name = name.unwrap_or_else(|| super::sys::bytes(new.path.as_os_str()));
        ExtractError::new(kind, Some(name), new.offset)
    }
}

/// The threads, and what is collected for them. Threads start when there is more than a batch to write.
pub(crate) struct Writers<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    shared: &'env Shared,
    batch: Batch,
    threads: usize,
    started: usize,
}

impl<'scope, 'env> Writers<'scope, 'env> {
    pub(crate) fn new(
        scope: &'scope Scope<'scope, 'env>,
        shared: &'env Shared,
        threads: usize,
    ) -> Self {
        Self {
            scope,
            shared,
            batch: Batch::default(),
            threads,
            started: 0,
        }
    }

    /// Adds a file that [`content`](Self::content) is collected for.
    pub(crate) fn add(&mut self, new: NewFile) {
        if self.batch.files.len() >= BATCH_FILES || self.batch.bytes.len() >= PIECE {
            self.send_batch();
        }
        let end = self.batch.bytes.len();
        self.batch.files.push((new, end..end));
    }

    /// Adds to the content of the file that was added last.
    pub(crate) fn content(&mut self, bytes: &[u8]) {
        self.batch.bytes.extend_from_slice(bytes);
        let end = self.batch.bytes.len();
        if let Some((_, range)) = self.batch.files.last_mut() {
            range.end = end;
        }
    }

    /// An empty buffer for a [`piece`](Self::piece).
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        let spare = self.shared.lock().spare_buffers.pop();
        spare.unwrap_or_else(|| Vec::with_capacity(PIECE))
    }

    /// Makes a file whose content comes in pieces.
    pub(crate) fn begin_large(&mut self, new: NewFile) -> Result<Arc<LargeFile>, ExtractError> {
        let file = self.shared.make(&new)?;
        Ok(Arc::new(LargeFile {
            new,
            file,
            open: AtomicU64::new(1),
        }))
    }

    pub(crate) fn piece(&mut self, file: &Arc<LargeFile>, offset: u64, bytes: Vec<u8>) {
        file.open.fetch_add(1, Ordering::Relaxed);
        self.send(Job::Piece(Piece {
            file: file.clone(),
            offset,
            bytes,
        }));
    }

    /// All pieces were given.
    pub(crate) fn end_large(&mut self, file: &LargeFile) {
        self.shared.release(file);
    }

    /// Whether something could not be written, so that going on is of no use.
    pub(crate) fn failed(&self) -> bool {
        self.shared.first_failed.load(Ordering::Relaxed) != u64::MAX
    }

    /// Waits until all that was given is written.
    ///
    /// # Errors
    ///
    /// That of the first entry, in the order of the archive, that could not be written. It is told once.
    pub(crate) fn settle(&mut self) -> Result<(), ExtractError> {
        let batch = std::mem::take(&mut self.batch);
        let mut state = self.shared.lock();
        if !batch.files.is_empty() {
            state.jobs.push_back(Job::Batch(batch));
        }
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state = self.shared.run(state, job);
            } else if state.running > 0 {
                state = self
                    .shared
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            } else {
                return state.error.take().map_or(Ok(()), Err);
            }
        }
    }

    fn send_batch(&mut self) {
        let spare = self.shared.lock().spare.pop().unwrap_or_default();
        let batch = std::mem::replace(&mut self.batch, spare);
        self.send(Job::Batch(batch));
    }

    fn send(&mut self, job: Job) {
        if self.started < self.threads {
            let shared = self.shared;
            let name = "untar".to_owned();
            let thread = Builder::new().name(name);
            match thread.spawn_scoped(self.scope, move || shared.work()) {
                Ok(_) => self.started += 1,
                // With fewer threads it takes longer.
                Err(_) => self.threads = self.started,
            }
        }
        let mut state = self.shared.lock();
        state.jobs.push_back(job);
        // The others are behind: help them, rather than wait.
        while state.jobs.len() > QUEUE * self.started {
            let Some(job) = state.jobs.pop_front() else {
                break;
            };
            state = self.shared.run(state, job);
        }
        drop(state);
        self.shared.changed.notify_one();
    }
}

impl Drop for Writers<'_, '_> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

/// The last name of a path that has one.
pub(crate) fn last_name(path: &Path) -> &std::ffi::OsStr {
    path.file_name().unwrap_or(path.as_os_str())
}
