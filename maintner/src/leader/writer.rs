use std::collections::VecDeque;
use std::error::Error;
use std::fmt::{self, Debug, Formatter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

use crate::leader::LeadError;
use crate::reclog::{AppendError, Files, Sync, Torn, Writer, WriterConfig};
use crate::{Config, Corpus, Progress, Reader, View, pb};

/// Calls of `append` that may wait.
const QUEUE: usize = 64;
/// How many payloads are written at once, in bytes, unless one call has more.
const BATCH_BYTES: usize = 8 << 20;
/// Hours whose mutations are counted.
const HOURS: usize = 48;
const SECONDS_AN_HOUR: u64 = 3600;

/// The only writer of a log, and the corpus that it makes. Clones are handles of the same one.
///
/// A thread writes; with the last handle it ends, after what was given to it. [`close`](Self::close) waits for that.
#[derive(Clone)]
pub struct Leader {
    inner: Arc<Inner>,
}

struct Inner {
    /// `None` once it is closed.
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    reader: Reader,
    dir: PathBuf,
    torn: Option<Torn>,
    snapshot_bytes: u64,
    status: watch::Receiver<Status>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Request {
    mutations: Vec<pb::Mutation>,
    done: oneshot::Sender<Result<(), LeadError>>,
}

/// What the thread tells.
#[derive(Debug, Clone, Default)]
struct Status {
    stats: LeaderStats,
    broken: Option<Arc<dyn Error + Send + std::marker::Sync>>,
    is_closed: bool,
}

/// What a leader has written since it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LeaderStats {
    /// Bytes of the whole log.
    pub log_bytes: u64,
    /// Mutations that were appended.
    pub appended: u64,
    /// The beginnings of hours and the mutations appended in each, oldest first; hours without any are left out, and so is what is more
    /// than two days old.
    pub hours: VecDeque<(SystemTime, u64)>,
}

impl Leader {
    /// Opens the log in a folder, which is made if there is none, and reads it: seconds to minutes if it is large and there is no snapshot.
    ///
    /// # Cancel safety
    ///
    /// When it is dropped, the log is read to its end nevertheless, and then let go.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made, another writer has the log, it is damaged, or cannot be read.
    pub async fn open(dir: impl AsRef<Path>, config: LeaderConfig) -> Result<Self, LeadError> {
        let dir = dir.as_ref().to_owned();
        let opening = spawn_blocking(move || Self::open_blocking(&dir, config));
        // It is cut short when the runtime ends, which nobody sees any more, and else it panicked.
        opening
            .await
            .unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
    }

    fn open_blocking(dir: &Path, config: LeaderConfig) -> Result<Self, LeadError> {
        make_dir(dir).map_err(|source| LeadError::Dir {
            dir: dir.to_owned(),
            source: Arc::new(source),
        })?;
        let log = Writer::open(
            dir,
            WriterConfig::default()
                .sync(config.sync)
                .files(config.files),
        );
        let log = log.map_err(|source| LeadError::Open {
            source: Arc::new(source),
        })?;
        let torn = log.torn().cloned();
        let mut corpus = Corpus::at(dir, config.corpus);
        corpus.update().map_err(|source| LeadError::Load {
            source: Arc::new(source),
        })?;
        let (requests, received) = mpsc::channel(QUEUE);
        let mut status = Status::default();
        status.stats.log_bytes = corpus.view().stats().log_bytes;
        let (status, watched) = watch::channel(status);
        let (reader, snapshot_bytes) = (corpus.reader(), corpus.snapshot_bytes());
        let mut writing = Writing {
            log,
            corpus,
            status,
        };
        let thread = thread::Builder::new()
            .name("maintner-leader".to_owned())
            .spawn(move || writing.run(received))
            .map_err(|source| LeadError::Broken {
                source: Arc::new(source),
            })?;
        Ok(Self {
            inner: Arc::new(Inner {
                requests: Mutex::new(Some(requests)),
                reader,
                dir: dir.to_owned(),
                torn,
                snapshot_bytes,
                status: watched,
                thread: Mutex::new(Some(thread)),
            }),
        })
    }

    /// The corpus as it is now: all that was appended by calls that have returned, and perhaps more.
    #[must_use]
    pub fn view(&self) -> View {
        self.inner.reader.view()
    }

    /// For other threads to take views, and subscriptions.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.inner.reader.clone()
    }

    /// The folder of the log.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// What a crash had cut off, and was set aside when the log was opened.
    #[must_use]
    pub fn torn(&self) -> Option<&Torn> {
        self.inner.torn.as_ref()
    }

    /// How many bytes of the log a snapshot had when it was opened; 0 without one.
    #[must_use]
    pub fn snapshot_bytes(&self) -> u64 {
        self.inner.snapshot_bytes
    }

    /// What was written.
    #[must_use]
    pub fn stats(&self) -> LeaderStats {
        self.inner.status.borrow().stats.clone()
    }

    /// Appends mutations to the log and applies them. When it returns they are on the disk and in [`view`](Self::view), all of them or, after
    /// an error that is not [final](LeadError::is_final), none.
    ///
    /// What several tasks append at the same time is written together. Up to 64 calls wait to be written, others for their turn.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped has appended all or nothing.
    ///
    /// # Errors
    ///
    /// [`LeadError`].
    pub async fn append(&self, mutations: Vec<pb::Mutation>) -> Result<(), LeadError> {
        if mutations.is_empty() {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        let sent = self.requests()?.send(Request { mutations, done }).await;
        sent.map_err(|_| LeadError::Closed)?;
        answer.await.unwrap_or(Err(LeadError::Closed))
    }

    /// As [`append`](Self::append), by a thread that may block.
    ///
    /// # Errors
    ///
    /// As `append`.
    ///
    /// # Panics
    ///
    /// On a thread that runs asynchronous tasks.
    pub fn append_blocking(&self, mutations: Vec<pb::Mutation>) -> Result<(), LeadError> {
        if mutations.is_empty() {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        let sent = self.requests()?.blocking_send(Request { mutations, done });
        sent.map_err(|_| LeadError::Closed)?;
        answer.blocking_recv().unwrap_or(Err(LeadError::Closed))
    }

    fn requests(&self) -> Result<mpsc::Sender<Request>, LeadError> {
        let requests = self.inner.requests.lock();
        let requests = requests.unwrap_or_else(PoisonError::into_inner);
        requests.clone().ok_or(LeadError::Closed)
    }

    /// Waits until the log is longer than so many bytes, and tells how long it is. `None` once nothing will be appended any more.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn longer_than(&self, bytes: u64) -> Option<u64> {
        let mut status = self.inner.status.clone();
        let is_over = |status: &Status| status.is_closed || status.broken.is_some();
        let longer = status.wait_for(|status| status.stats.log_bytes > bytes || is_over(status));
        let status = longer.await.ok()?;
        (status.stats.log_bytes > bytes).then_some(status.stats.log_bytes)
    }

    /// Waits until nothing can be appended any more, and says why: the end of a program, unless it was [closed](LeadError::Closed).
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time.
    pub async fn broken(&self) -> LeadError {
        let mut status = self.inner.status.clone();
        let ended = status.wait_for(|status| status.is_closed || status.broken.is_some());
        match ended.await.ok().and_then(|status| status.broken.clone()) {
            Some(source) => LeadError::Broken { source },
            None => LeadError::Closed,
        }
    }

    /// Writes what was given to it, and lets the log go. Views stay.
    ///
    /// # Cancel safety
    ///
    /// When it is dropped, the log is let go nevertheless, a little later.
    pub async fn close(&self) {
        let requests = self.inner.requests.lock();
        drop(requests.unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.inner.thread.lock();
        let thread = thread.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A thread that panicked has told so, and is over too.
            let _ = spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Debug for Leader {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader")
            .field("dir", &self.inner.dir)
            .finish_non_exhaustive()
    }
}

pub(super) fn make_dir(dir: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// What the thread has.
struct Writing {
    log: Writer,
    corpus: Corpus,
    status: watch::Sender<Status>,
}

impl Writing {
    fn run(&mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(request) = requests.blocking_recv() {
            let mut bytes = length(&request);
            let mut batch = vec![request];
            // What waits too costs one sync in all.
            while batch.len() < QUEUE && bytes < BATCH_BYTES {
                let Ok(request) = requests.try_recv() else {
                    break;
                };
                bytes += length(&request);
                batch.push(request);
            }
            let result = self.write(&batch);
            for request in batch {
                // Who does not wait any more does not need to know.
                let _ = request.done.send(result.clone());
            }
        }
        self.status.send_modify(|status| status.is_closed = true);
    }

    fn write(&mut self, batch: &[Request]) -> Result<(), LeadError> {
        if let Some(source) = self.status.borrow().broken.clone() {
            return Err(LeadError::Broken { source });
        }
        let mutations = || batch.iter().flat_map(|request| &request.mutations);
        match self
            .log
            .append(mutations().map(pb::Mutation::encode_to_vec))
        {
            Ok(_) => {}
            Err(source @ AppendError::Write { .. }) => {
                let source = Arc::new(source);
                return Err(LeadError::Append { source });
            }
            Err(source) => return Err(self.breaks(source)),
        }
        // From the log, so that the corpus is what a restart would make.
        if let Err(source) = self.corpus.update() {
            return Err(self.breaks(source));
        }
        let log_bytes = self.corpus.view().stats().log_bytes;
        let appended = mutations().count() as u64;
        self.status.send_modify(|status| {
            status.stats.log_bytes = log_bytes;
            status.stats.count(SystemTime::now(), appended);
        });
        Ok(())
    }

    fn breaks(&mut self, error: impl Error + Send + std::marker::Sync + 'static) -> LeadError {
        let source: Arc<dyn Error + Send + std::marker::Sync> = Arc::new(error);
        let broken = Some(Arc::clone(&source));
        self.status.send_modify(|status| status.broken = broken);
        LeadError::Broken { source }
    }
}

fn length(request: &Request) -> usize {
    request
        .mutations
        .iter()
        .map(pb::Mutation::encoded_len)
        .sum()
}

impl LeaderStats {
    fn count(&mut self, now: SystemTime, mutations: u64) {
        self.appended += mutations;
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let hour = UNIX_EPOCH + Duration::from_secs(since - since % SECONDS_AN_HOUR);
        match self.hours.back_mut() {
            // A clock that went back counts for the newest hour.
            Some((newest, count)) if *newest >= hour => *count += mutations,
            _ => self.hours.push_back((hour, mutations)),
        }
        let oldest = hour - Duration::from_secs(SECONDS_AN_HOUR * (HOURS as u64 - 1));
        while self.hours.front().is_some_and(|(hour, _)| *hour < oldest) {
            self.hours.pop_front();
        }
    }
}

/// How a [`Leader`] works.
#[derive(Debug, Default)]
pub struct LeaderConfig {
    corpus: Config,
    files: Files,
    sync: Sync,
}

impl LeaderConfig {
    /// Keeps a snapshot in this file: see [`Config::snapshot`].
    #[must_use]
    pub fn snapshot(mut self, file: impl Into<PathBuf>) -> Self {
        self.corpus = self.corpus.snapshot(file);
        self
    }

    /// Is told how far the first reading is: see [`Config::progress`].
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(Progress) + Send + 'static) -> Self {
        self.corpus = self.corpus.progress(progress);
        self
    }

    /// Which files the log has; by default, one a day.
    #[must_use]
    pub fn files(mut self, files: Files) -> Self {
        self.files = files;
        self
    }

    /// When mutations count as appended; by default, when they are on the disk.
    #[must_use]
    pub fn sync(mut self, sync: Sync) -> Self {
        self.sync = sync;
        self
    }
}
