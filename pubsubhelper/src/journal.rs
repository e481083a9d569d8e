use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::event::Event;
use crate::hub::Shared;
use crate::time::Time;

/// No event of ours has more: its texts are short.
const MAX_LINE: u64 = 256 << 10;

/// Why the file of a stream could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum OpenHubError {
    /// Another process has it, or another hub of this one.
    #[error("{} is open elsewhere", path.display())]
    InUse { path: PathBuf },
    /// It cannot be read or written.
    #[error("cannot keep events in {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// The file: an event a line.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// In the file; some of them are kept no more.
    lines: usize,
    written: Option<Time>,
    /// It may end in a piece of a line.
    broken: bool,
    /// Held as long as the journal.
    _lock: Lock,
}

impl Journal {
    /// Reads the newest events, at most `limit`, and makes the file anew with them.
    pub(crate) fn open(
        path: PathBuf,
        limit: usize,
    ) -> Result<(Self, VecDeque<Arc<Event>>), OpenHubError> {
        let failed = |source| OpenHubError::Io {
            path: path.clone(),
            source,
        };
        let file = open_lock(&path).map_err(failed)?;
        if !try_lock(&file).map_err(failed)? {
            return Err(OpenHubError::InUse { path });
        }
        let lock = Lock { file };
        let events = read_events(&path, limit).map_err(failed)?;
        let file = write_anew(&path, events.iter()).map_err(failed)?;
        let journal = Self {
            file,
            lines: events.len(),
            written: events.back().and_then(|event| event.time),
            broken: false,
            _lock: lock,
            path,
        };
        Ok((journal, events))
    }

    /// Brings the file up to the stream.
    fn catch_up(&mut self, shared: &Shared) -> io::Result<()> {
        let new = shared.events_after(self.written);
        let Some(newest) = new.last() else {
            return Ok(());
        };
        if self.broken || self.lines + new.len() > 2 * shared.max_events() {
            let all = shared.events_after(None);
            self.file = write_anew(&self.path, all.iter())?;
            self.lines = all.len();
            self.written = all.last().and_then(|event| event.time);
            self.broken = false;
            return Ok(());
        }
        let lines: String = new.iter().map(|event| event.to_line()).collect();
        self.broken = true;
        self.file.write_all(lines.as_bytes())?;
        self.file.sync_data()?;
        self.broken = false;
        self.lines += new.len();
        self.written = newest.time;
        Ok(())
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn open_lock(path: &Path) -> io::Result<File> {
    (OpenOptions::new().write(true).create(true).truncate(false)).open(beside(path, ".lock"))
}

/// Keeps the journal from other processes until it is dropped.
struct Lock {
    #[cfg_attr(not(unix), expect(dead_code, reason = "is held"))]
    file: File,
}

#[cfg(unix)]
impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that is just being forked elsewhere has the file too, until it runs its program.
        // What fails here, closing does in its time.
        let _ = rustix::fs::flock(&self.file, rustix::fs::FlockOperation::Unlock);
    }
}

#[cfg(unix)]
fn try_lock(file: &File) -> io::Result<bool> {
    use rustix::fs::{FlockOperation, flock};
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Elsewhere nothing keeps two processes apart.
#[cfg(not(unix))]
fn try_lock(_: &File) -> io::Result<bool> {
    Ok(true)
}

fn read_events(path: &Path, limit: usize) -> io::Result<VecDeque<Arc<Event>>> {
    let mut events = VecDeque::new();
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(events),
        Err(error) => return Err(error),
    };
    let mut newest = None;
    let mut left_out = 0_usize;
    let mut line = Vec::new();
    loop {
        line.clear();
        if file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        match Event::from_json(&line) {
            Ok(event) if line.ends_with(b"\n") && event.time > newest => {
                newest = event.time;
                if events.len() == limit {
                    events.pop_front();
                }
                events.push_back(Arc::new(event));
            }
            _ => left_out += 1,
        }
    }
    if left_out > 0 {
        tracing::warn!(
            "{}: {left_out} lines are no events that follow the others; they are left out",
            path.display()
        );
    }
    Ok(events)
}

/// Makes the file anew; after a crash there is the old one or the new one. Returns it, open for more.
fn write_anew<'a>(path: &Path, events: impl Iterator<Item = &'a Arc<Event>>) -> io::Result<File> {
    let new = beside(path, ".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // Events of private repositories are nobody else's.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut writer = BufWriter::new(options.open(&new)?);
    for event in events {
        writer.write_all(event.to_line().as_bytes())?;
    }
    let file = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    Ok(file)
}

/// The thread that writes.
pub(crate) struct JournalWriter {
    /// One place: what is not taken yet will see everything. `None` once it is to end.
    wake: Option<SyncSender<()>>,
    progress: watch::Receiver<Progress>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Progress {
    written: Option<Time>,
    /// Up to here the last try has failed.
    failed: Option<Time>,
}

impl JournalWriter {
    pub(crate) fn start(journal: Journal, shared: Arc<Shared>) -> Result<Self, OpenHubError> {
        let (wake, woken) = sync_channel(1);
        let (progress, seen) = watch::channel(Progress {
            written: journal.written,
            failed: None,
        });
        let path = journal.path.clone();
        let thread = thread::Builder::new()
            .name("events-journal".to_owned())
            .spawn(move || write(journal, &shared, &woken, &progress))
            .map_err(|source| OpenHubError::Io { path, source })?;
        Ok(Self {
            wake: Some(wake),
            progress: seen,
            thread: Some(thread),
        })
    }

    pub(crate) fn wake(&self) {
        if let Some(wake) = &self.wake {
            // Full is as good.
            let _ = wake.try_send(());
        }
    }

    pub(crate) async fn written(&self, time: Time, limit: Duration) -> bool {
        let mut progress = self.progress.clone();
        let known =
            progress.wait_for(|progress| progress.written.max(progress.failed) >= Some(time));
        match timeout(limit, known).await {
            Ok(Ok(progress)) => progress.written >= Some(time),
            _ => false,
        }
    }
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // It has said in the log what went wrong.
            let _ = thread.join();
        }
    }
}

fn write(
    mut journal: Journal,
    shared: &Shared,
    woken: &Receiver<()>,
    progress: &watch::Sender<Progress>,
) {
    let mut said = String::new();
    loop {
        let ended = woken.recv().is_err();
        let tried = shared
            .events_after(journal.written)
            .last()
            .and_then(|event| event.time);
        let result = journal.catch_up(shared);
        let failed = if result.is_err() { tried } else { None };
        progress.send_replace(Progress {
            written: journal.written,
            failed,
        });
        let error = result
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        if error != said {
            if !error.is_empty() {
                tracing::error!("cannot write events to {}: {error}", journal.path.display());
            }
            said = error;
        }
        if ended {
            return;
        }
    }
}
