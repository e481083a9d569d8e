use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use livelog::{Buffer, Spill};

use crate::model::AttemptId;

/// The log of an attempt that runs: followed by any number of readers, and kept in a file as it comes, from which the
/// next run of the coordinator goes on if this one is killed.
///
/// In memory are 256 KiB of it, and some kilobytes of an index of when what was written. A clone is the same log.
#[derive(Clone, Debug)]
pub struct LiveLog {
    buffer: Buffer,
    journal: Arc<Mutex<Journal>>,
    path: Arc<Path>,
}

#[derive(Debug)]
struct Journal {
    file: Option<File>,
    /// The first failure to write. The log is not complete then, and says so at its end.
    failed: Option<io::Error>,
}

/// How much of a step's output is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimit(pub u64);

impl Default for OutputLimit {
    /// 256 MiB: more than anybody reads, and less than a runaway loop fills a disk with.
    fn default() -> Self {
        Self(256 << 20)
    }
}

impl LiveLog {
    /// Starts the log of an attempt, in `dir`, which must be there.
    ///
    /// # Errors
    ///
    /// When its file cannot be made; one that is there already is emptied.
    pub fn create(dir: &Path, attempt: AttemptId) -> io::Result<Self> {
        let path = path(dir, attempt);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        Ok(Self::new(buffer(dir)?, file, path))
    }

    /// Goes on with the log of an attempt of an earlier run, of whose file the first `keep` bytes count. Reads them.
    ///
    /// # Errors
    ///
    /// When the file is not there, is shorter, or cannot be read or written.
    pub fn reopen(dir: &Path, attempt: AttemptId, keep: u64) -> io::Result<Self> {
        use std::io::Read as _; // not in the file, where logs are read by tokio's trait
        let path = path(dir, attempt);
        let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
        file.set_len(keep.min(file.metadata()?.len()))?;
        let buffer = buffer(dir)?;
        let mut chunk = vec![0; 64 << 10];
        let mut left = keep;
        while left > 0 {
            let most = chunk
                .len()
                .min(usize::try_from(left).unwrap_or(chunk.len()));
            match file.read(&mut chunk[..most])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => {
                    buffer.append(&chunk[..read]);
                    left -= read as u64;
                }
            }
        }
        Ok(Self::new(buffer, file, path))
    }

    fn new(buffer: Buffer, file: File, path: PathBuf) -> Self {
        Self {
            buffer,
            journal: Arc::new(Mutex::new(Journal {
                file: Some(file),
                failed: None,
            })),
            path: path.into(),
        }
    }

    /// Adds to it. Waits for the file system, on tokio's threads for that; a dropped call adds all of it or nothing.
    pub async fn write(&self, bytes: impl Into<Bytes>) {
        let (log, bytes) = (self.clone(), bytes.into());
        // It only fails if it panics, or if the runtime ends and nobody will read the log.
        let _ = tokio::task::spawn_blocking(move || log.append(&bytes)).await;
    }

    fn append(&self, bytes: &[u8]) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut journal.file
            && let Err(error) = file.write_all(bytes)
        {
            journal.file = None;
            tracing::error!(path = %self.path.display(), %error, "cannot keep a log");
            journal.failed = Some(error);
        }
        // Still locked: the order in the file is the order here.
        self.buffer.append(bytes);
    }

    /// How many bytes there are: the offset of what comes next.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.buffer.end()
    }

    /// Follows it from an offset on.
    #[must_use]
    pub fn reader_at(&self, offset: u64) -> livelog::Reader {
        self.buffer.reader_at(offset)
    }

    /// When what was written: marks in order of offsets, at most 4,096.
    #[must_use]
    pub fn times(&self) -> Vec<livelog::TimeMark> {
        self.buffer.times()
    }

    /// Ends it: readers see its end.
    pub fn close(&self) {
        self.buffer.close();
    }

    /// The file it is kept in. It is complete once the log is closed, unless the disk failed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that were written and are not in the file, as writing it failed.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let kept = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        self.buffer.end().saturating_sub(kept)
    }
}

fn buffer(dir: &Path) -> io::Result<Buffer> {
    let config = livelog::Config::default()
        .unlimited()
        .spill(Spill::in_dir(dir))
        .time_index(Duration::from_millis(200));
    Buffer::with_config(config).map_err(io::Error::other)
}

/// Where the log of an attempt is kept while it runs.
pub(crate) fn path(dir: &Path, attempt: AttemptId) -> PathBuf {
    dir.join(format!("{attempt}.log"))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::model::BuildId;

    #[tokio::test]
    async fn what_came_is_in_the_file_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let log = LiveLog::create(dir.path(), BuildId(7).attempt(2)).unwrap();
        log.write("one\n").await;
        assert_eq!(
            fs::read(path(dir.path(), BuildId(7).attempt(2))).unwrap(),
            b"one\n"
        );
        log.write("two\n").await;
        log.close();
        let mut text = String::new();
        log.reader_at(4).read_to_string(&mut text).await.unwrap();
        assert_eq!((text.as_str(), log.end(), log.dropped()), ("two\n", 8, 0));
    }

    #[tokio::test]
    async fn a_log_goes_on_in_another_run() {
        let dir = tempfile::tempdir().unwrap();
        let attempt = BuildId(7).attempt(2);
        let log = LiveLog::create(dir.path(), attempt).unwrap();
        let long = "0123456789".repeat(50_000);
        log.write(long.clone()).await;
        drop(log);
        let log = LiveLog::reopen(dir.path(), attempt, 400_003).unwrap();
        assert_eq!(log.end(), 400_003);
        log.write("on").await;
        log.close();
        let mut text = String::new();
        log.reader_at(0).read_to_string(&mut text).await.unwrap();
        let expected = format!("{}on", &long[..400_003]);
        assert!(text == expected);
        assert!(fs::read_to_string(log.path()).unwrap() == expected);
        assert_eq!(log.dropped(), 0);
        assert!(
            LiveLog::reopen(dir.path(), attempt, 1 << 20).is_err(),
            "shorter"
        );
    }
}
