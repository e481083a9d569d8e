use std::fmt::{self, Debug, Formatter};
#[cfg(feature = "net")]
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::digest::digest;
use crate::feed::{Reader, Shared, Subscription};
use crate::load::{Part, load};
use crate::load_error::LoadError;
use crate::mutation::DecodeError;
#[cfg(feature = "net")]
use crate::net::{Follower, SegmentFile};
use crate::reclog::{Block, segments};
use crate::snapshot::{Kept, SnapshotError};
use crate::state::Writer;
use crate::view::View;

/// All that a log says, kept up to date.
///
/// Whoever has it brings it up to date; others have [`view`](Self::view)s, which do not change, or a [`Reader`] to take them from.
///
/// ```
/// # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/disk/12-gerrit-cl-life");
/// let corpus = maintner::Corpus::open(dir)?;
/// let view = corpus.view();
/// for cl in view.gerrit().projects().flat_map(|project| project.cls()) {
///     println!("{} {} {}", cl.number(), cl.version(), cl.subject());
/// }
/// # Ok::<(), maintner::LoadError>(())
/// ```
pub struct Corpus {
    writer: Writer,
    shared: Arc<Shared>,
    config: Config,
    log: Log,
    /// How far each segment was read, in order; their names are their file's, or for those of a server their numbers.
    read: Vec<(String, u64)>,
    snapshot: Option<Kept>,
}

/// Where the mutations come from.
#[derive(Debug)]
enum Log {
    /// From whoever applies them.
    None,
    Dir(PathBuf),
    #[cfg(feature = "net")]
    Net(Box<Follower>),
}

impl Corpus {
    /// An empty one, for mutations that are [applied](Self::apply) one by one.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Log::None, Config::default())
    }

    /// Reads the log in a folder: see [`reclog::segments`](segments) for which files that are.
    ///
    /// # Errors
    ///
    /// When the folder or a file cannot be read, and when something in them is no record or no mutation. To have what came before,
    /// take [`at`](Self::at) and [`update`](Self::update).
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, LoadError> {
        let mut corpus = Self::at(dir, Config::default());
        corpus.update()?;
        Ok(corpus)
    }

    /// An empty one, whose [`update`](Self::update) reads the log in a folder.
    #[must_use]
    pub fn at(dir: impl AsRef<Path>, config: Config) -> Self {
        Self::with(Log::Dir(dir.as_ref().to_owned()), config)
    }

    /// An empty one, whose [`update`](Self::update) reads the log that a server has.
    #[cfg(feature = "net")]
    #[must_use]
    pub fn follow(log: Follower, config: Config) -> Self {
        Self::with(Log::Net(Box::new(log)), config)
    }

    fn with(log: Log, mut config: Config) -> Self {
        let writer = Writer::default();
        let shared = Arc::new(Shared::new(View::new(writer.core.clone())));
        Self {
            writer,
            shared,
            snapshot: config.snapshot.take().map(Kept::at),
            config,
            log,
            read: Vec::new(),
        }
    }

    /// The corpus as it is now.
    #[must_use]
    pub fn view(&self) -> View {
        self.shared.view()
    }

    /// For other threads to take views.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader {
            shared: Arc::clone(&self.shared),
        }
    }

    /// What changes from now on, update by update.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.shared.subscribe()
    }

    /// Reads what the log has more than before, in the folder or at the server, and lets views see it, all at once. Without a log it does
    /// nothing.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), when the server cannot be asked, and when the log [is not](LoadError::is_split) what was read before and
    /// more. What came before the error is applied and seen; a call after an [incomplete](LoadError::is_incomplete) end goes on.
    pub fn update(&mut self) -> Result<(), LoadError> {
        self.update_within(Duration::ZERO).map(drop)
    }

    /// As [`update`](Self::update), but if there is nothing new, it waits for it, so long at most. Tells whether there was anything.
    ///
    /// It blocks the thread. A folder is looked at ten times a second; a server tells at once.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    pub fn update_within(&mut self, wait: Duration) -> Result<bool, LoadError> {
        let before = self.writer.core.log_bytes;
        let deadline = Instant::now().checked_add(wait);
        loop {
            let parts = match &mut self.log {
                Log::None => return Ok(false),
                Log::Dir(dir) => {
                    let dir = dir.clone();
                    self.start(|| {
                        let mut read = Vec::new();
                        // What is wrong with the folder is told below.
                        let parts = parts_of_dir(&dir, &mut read).unwrap_or_default();
                        named(&read, parts)
                    });
                    parts_of_dir(&dir, &mut self.read)?
                }
                #[cfg(feature = "net")]
                Log::Net(log) => {
                    let left = deadline.map_or(wait, |deadline| {
                        deadline.saturating_duration_since(Instant::now())
                    });
                    let fetched = log.fetch(left);
                    // What came before an error is there.
                    let mut read = Vec::new();
                    let parts = parts_of_net(log, &mut read);
                    self.start(|| named(&read, parts));
                    let parts = match &self.log {
                        Log::Net(log) => parts_of_net(log, &mut self.read),
                        _ => Vec::new(),
                    };
                    if let Err(source) = fetched {
                        if !source.is_split() {
                            self.read_parts(&parts)?;
                        }
                        return Err(source.into());
                    }
                    parts
                }
            };
            let result = self.read_parts(&parts);
            if result
                .as_ref()
                .map_or_else(LoadError::is_incomplete, |()| true)
            {
                self.keep_snapshot();
            }
            result?;
            if self.writer.core.log_bytes > before {
                return Ok(true);
            }
            let left = deadline.map_or(wait, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return Ok(false);
            }
            if matches!(self.log, Log::Dir(_)) {
                std::thread::sleep(left.min(DIR_POLL));
            }
        }
    }

    /// Whether the corpus has what a cache had, because its server was out of reach at first, and has been since; see
    /// [`NetConfig::offline`](crate::net::NetConfig::offline).
    #[cfg(feature = "net")]
    #[must_use]
    pub fn is_offline(&self) -> bool {
        matches!(&self.log, Log::Net(log) if log.is_offline())
    }

    /// Begins with the snapshot, if there is one and nothing was read yet.
    fn start(&mut self, log: impl FnOnce() -> Vec<(String, Part)>) {
        let threads = self.config.threads.get();
        let start = |kept: &mut Kept| kept.start(log, threads);
        if let Some((writer, read)) = self.snapshot.as_mut().and_then(start) {
            (self.writer, self.read) = (writer, read);
            self.publish();
        }
    }

    /// Makes a snapshot if enough is new.
    fn keep_snapshot(&mut self) {
        let log_bytes = self.writer.core.log_bytes;
        let due = |kept: &Kept| kept.is_due(log_bytes);
        if self.snapshot.as_ref().is_some_and(due) {
            self.make_snapshot();
        }
    }

    /// Makes a snapshot now, in the file that the [configuration](Config::snapshot) names.
    ///
    /// # Errors
    ///
    /// When no file is named, and when it cannot be written.
    pub fn save_snapshot(&mut self) -> Result<(), SnapshotError> {
        self.make_snapshot();
        match &mut self.snapshot {
            None => Err(SnapshotError::NotConfigured),
            Some(kept) => kept.take_error().map_or(Ok(()), Err),
        }
    }

    fn make_snapshot(&mut self) {
        let log = self.segments_read();
        let (threads, writer) = (self.config.threads.get(), &self.writer);
        let Some(kept) = &mut self.snapshot else {
            return;
        };
        // What was kept in memory until now is mapped from now on.
        if let Some((writer, _)) = kept.save(writer, &log, threads) {
            self.writer = writer;
            self.publish();
        }
    }

    /// The segments as far as they were read.
    fn segments_read(&self) -> Vec<(String, Part)> {
        let part = |(path, file), read: &u64| Part {
            path,
            file,
            from: 0,
            to: *read,
        };
        let read = self.read.iter();
        match &self.log {
            Log::None => Vec::new(),
            Log::Dir(dir) => read
                .map(|(name, read)| (name.clone(), part((dir.join(name), None), read)))
                .collect(),
            #[cfg(feature = "net")]
            Log::Net(log) => read
                .zip(log.segments())
                .map(|((name, read), segment)| (name.clone(), part(part_file(&segment.file), read)))
                .collect(),
        }
    }

    /// How many bytes of the log the snapshot has that is mapped; 0 if none is. The rest was read.
    #[must_use]
    pub fn snapshot_bytes(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, Kept::covers)
    }

    /// Why the last snapshot was not used, or not made; `None` if it was, if there was none, or none was asked for.
    #[must_use]
    pub fn snapshot_error(&self) -> Option<&SnapshotError> {
        self.snapshot.as_ref()?.error()
    }

    /// Reads parts, of which the first is of the segment that was the last.
    fn read_parts(&mut self, parts: &[Part]) -> Result<(), LoadError> {
        let first = self.read.len() - parts.len();
        let total = parts
            .iter()
            .map(|part| part.to.saturating_sub(part.from))
            .sum();
        if total == 0 {
            return Ok(());
        }
        let result = self.load(parts, first, total);
        if result.is_err() {
            // Segments behind the one with the error were not begun.
            let begun = self
                .read
                .iter()
                .rposition(|(_, read)| *read > 0)
                .map_or(0, |last| last + 1);
            self.read.truncate(begun);
        }
        self.publish();
        result
    }

    fn load(&mut self, parts: &[Part], first: usize, total: u64) -> Result<(), LoadError> {
        self.writer.note_changes(self.shared.has_subscribers());
        let hasher = self.writer.core.hasher.clone();
        let (writer, read, progress) =
            (&mut self.writer, &mut self.read, &mut self.config.progress);
        let kept = &mut self.snapshot;
        let mut done = Progress {
            bytes: 0,
            total,
            records: 0,
        };
        load(
            parts,
            total,
            self.config.threads.get(),
            &hasher,
            |part, batch| {
                if writer.core.texts.room() < batch.data.len() as u64 {
                    return Err(LoadError::Full);
                }
                writer.apply(&batch);
                if let Some(kept) = kept {
                    kept.spill(&mut writer.core.texts);
                }
                let read = &mut read[first + part].1;
                let bytes = batch.end - *read;
                *read = batch.end;
                writer.core.log_bytes += bytes;
                done.bytes += bytes;
                done.records += batch.counts.records;
                if let Some(progress) = progress {
                    progress(done);
                }
                match batch.error {
                    None => Ok(batch.data),
                    Some((offset, source)) => Err(LoadError::Mutation {
                        segment: parts[part].path.clone(),
                        offset,
                        source,
                    }),
                }
            },
        )
    }

    /// Applies mutations, each the payload of a record, and lets views see them, all at once.
    ///
    /// # Errors
    ///
    /// When one is no mutation, or there are too many texts. Those before it are applied.
    pub fn apply<P: AsRef<[u8]>>(
        &mut self,
        payloads: impl IntoIterator<Item = P>,
    ) -> Result<(), ApplyError> {
        self.writer.note_changes(self.shared.has_subscribers());
        let mut result = Ok(());
        for (index, payload) in payloads.into_iter().enumerate() {
            let data = payload.as_ref().to_vec();
            let room = self.writer.core.texts.room().min(u64::from(u32::MAX));
            if data.len() as u64 > room {
                result = Err(ApplyError::Full);
                break;
            }
            let payloads = std::iter::once(0..data.len() as u32).collect();
            let batch = digest(
                Block {
                    offset: 0,
                    data,
                    payloads,
                },
                &self.writer.core.hasher,
            );
            if let Some((_, source)) = batch.error {
                result = Err(ApplyError::Mutation { index, source });
                break;
            }
            self.writer.apply(&batch);
        }
        self.publish();
        result
    }

    fn publish(&mut self) {
        let changes = self.writer.finish();
        self.shared
            .publish(View::new(self.writer.core.clone()), changes);
    }
}

/// How often a folder is looked at when something is waited for.
const DIR_POLL: Duration = Duration::from_millis(100);

/// What is to be read of the log in a folder. Segments that are new are added to those read so far.
fn parts_of_dir(dir: &Path, read: &mut Vec<(String, u64)>) -> Result<Vec<Part>, LoadError> {
    let segments = segments(dir).map_err(|source| LoadError::Dir {
        dir: dir.to_owned(),
        source,
    })?;
    let known = read.len();
    for (i, (name, read)) in read.iter().enumerate() {
        let diverged = match segments.get(i) {
            Some(segment) if segment.name == *name && i + 1 < known => segment.len != *read,
            Some(segment) if segment.name == *name => segment.len < *read,
            _ => true,
        };
        if diverged {
            let segment = dir.join(name);
            return Err(LoadError::Diverged { segment });
        }
    }
    let first = known.saturating_sub(1);
    let mut parts = Vec::new();
    for (i, segment) in segments.into_iter().enumerate().skip(first) {
        if i >= known {
            read.push((segment.name, 0));
        }
        parts.push(Part {
            path: segment.path,
            file: None,
            from: read[i].1,
            to: segment.len,
        });
    }
    Ok(parts)
}

/// What is to be read of the log that a follower has brought.
#[cfg(feature = "net")]
fn parts_of_net(log: &Follower, read: &mut Vec<(String, u64)>) -> Vec<Part> {
    let first = read.len().saturating_sub(1);
    let mut parts = Vec::new();
    for (i, segment) in log.segments().iter().enumerate().skip(first) {
        if i >= read.len() {
            read.push((i.to_string(), 0));
        }
        let (path, file) = part_file(&segment.file);
        parts.push(Part {
            path,
            file,
            from: read[i].1,
            to: segment.size,
        });
    }
    parts
}

#[cfg(feature = "net")]
fn part_file(file: &SegmentFile) -> (PathBuf, Option<Arc<File>>) {
    let open = match file {
        SegmentFile::Frozen(_) => None,
        SegmentFile::Growing(file, _) => Some(Arc::clone(file)),
    };
    (file.path().to_owned(), open)
}

/// Parts that begin with the first segment, with their segments' names.
fn named(read: &[(String, u64)], parts: Vec<Part>) -> Vec<(String, Part)> {
    let names = read.iter().map(|(name, _)| name.clone());
    names.zip(parts).collect()
}

impl Default for Corpus {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Corpus {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Debug for Corpus {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Corpus")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// How a log is read.
pub struct Config {
    threads: NonZeroUsize,
    progress: Option<Box<dyn FnMut(Progress) + Send>>,
    snapshot: Option<PathBuf>,
}

impl Config {
    /// How many threads read: by default as many as there are processors. One of them applies what the others decode; a few megabytes are read
    /// by one alone.
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// Keeps a snapshot in this file, so that the next start maps it, in a fraction of a second, and reads of the log only what came since.
    /// Its folder is made if there is none. The file takes about half of the log's size; several processes may share it.
    ///
    /// The first [`update`](Corpus::update) begins with the snapshot, if it is whole and of this log, which costs one pass over its bytes and
    /// no copy: memory is taken by what is looked at, and by what changes. Otherwise everything is read, and
    /// [`snapshot_error`](Corpus::snapshot_error) tells why. After an update by which a sixteenth of the log is newer than the snapshot, and
    /// 4 MiB at least, that update makes a new one, which for gigabytes takes seconds, and lets go of what was in memory. While a log is read
    /// for the first time its texts, which are most of it, go to the snapshot at once: of 2.25 GiB, 0.6 GB are in memory at most, and
    /// not 1.5.
    ///
    /// What a corpus begins with is not told as changes to who [subscribed](Corpus::subscribe).
    ///
    /// The file is never written to again when it has its name; whoever does so nevertheless, or cuts it while a process has it mapped, makes
    /// that process fail.
    #[must_use]
    pub fn snapshot(mut self, file: impl Into<PathBuf>) -> Self {
        self.snapshot = Some(file.into());
        self
    }

    /// Is called after each megabyte, more or less, by the thread that updates.
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(Progress) + Send + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }
}

impl Default for Config {
    /// Without a snapshot.
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            progress: None,
            snapshot: None,
        }
    }
}

impl Debug for Config {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("threads", &self.threads)
            .field("snapshot", &self.snapshot)
            .finish_non_exhaustive()
    }
}

/// How far an update has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes of log that were applied.
    pub bytes: u64,
    /// Bytes that there were to be read when the update began.
    pub total: u64,
    /// Mutations that were applied.
    pub records: u64,
}

/// Why a mutation was not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum ApplyError {
    /// A payload is no mutation.
    Mutation { index: usize, source: DecodeError },
    /// The texts are more than a corpus can hold.
    Full,
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mutation { index, .. } => write!(f, "payload {index} is no mutation"),
            Self::Full => f.write_str("the texts of the log are more than a corpus can hold"),
        }
    }
}

impl std::error::Error for ApplyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Mutation { source, .. } => Some(source),
            Self::Full => None,
        }
    }
}
