use std::fmt::{self, Debug, Formatter, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::serve::blobs::LogBlobs;
use crate::serve::bucket;
use crate::serve::config::ServeConfig;
use crate::serve::error::ServeError;
use crate::serve::folder::Folder;
use crate::sum::Sum;

/// How often a folder is looked at.
const FOLDER_POLL: Duration = Duration::from_millis(200);
/// How often blobs are: Go's leader stores what is new every ten minutes.
const BLOBS_POLL: Duration = Duration::from_secs(10);

/// A log that is served. Clones are the same one.
#[derive(Clone)]
pub struct LogServer {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) source: Source,
    pub(super) config: ServeConfig,
    pub(super) index: watch::Sender<Arc<Index>>,
    /// Who may wait for news.
    pub(super) seats: Semaphore,
    /// For segments that are compressed: one for each processor.
    pub(super) compressing: Arc<Semaphore>,
    /// Nobody needs to wait any more.
    pub(super) closing: CancellationToken,
}

/// Where the log is kept.
pub(super) enum Source {
    Folder(Folder),
    Blobs(Box<dyn LogBlobs>),
}

/// The segments as they are served.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) segments: Vec<Segment>,
    pub(super) total: u64,
    pub(super) json: Bytes,
}

#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) place: Place,
    pub(super) size: u64,
    pub(super) sum: Sum,
}

/// Where a segment's bytes are.
#[derive(Debug, Clone)]
pub(super) enum Place {
    File(PathBuf),
    Blob(String),
}

impl Place {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Blob(name) => name.as_ref(),
        }
    }
}

impl LogServer {
    /// A server of the log in a folder, which it reads once, to hash it.
    ///
    /// It blocks the thread for that long.
    ///
    /// # Errors
    ///
    /// As [`refresh`](Self::refresh).
    pub fn open(dir: impl AsRef<Path>, config: ServeConfig) -> Result<Self, ServeError> {
        let server = Self::new(Source::Folder(Folder::new(dir.as_ref())), config);
        server.shared.look_at_folder()?;
        Ok(server)
    }

    /// A server of a log that is kept as blobs, such as the bucket of Go's leader. They are listed, but not read before somebody asks for
    /// them: whether they are what their names say is seen by who follows, in the checksum.
    ///
    /// # Errors
    ///
    /// As [`refresh`](Self::refresh).
    pub async fn open_blobs(blobs: impl LogBlobs, config: ServeConfig) -> Result<Self, ServeError> {
        let server = Self::new(Source::Blobs(Box::new(blobs)), config);
        server.refresh().await?;
        Ok(server)
    }

    fn new(source: Source, config: ServeConfig) -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            shared: Arc::new(Shared {
                source,
                index: watch::Sender::new(Arc::new(Index::empty())),
                seats: Semaphore::new(config.max_waiting),
                config,
                compressing: Arc::new(Semaphore::new(processors)),
                closing: CancellationToken::new(),
            }),
        }
    }

    /// Looks at what was appended, serves it, wakes who waits for it, and tells whether there was anything.
    ///
    /// [`serve`](Self::serve) calls it now and then; a program that appends may do so at once. It takes a Tokio runtime, whose threads for
    /// what blocks read a folder's files.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped may have done all or nothing.
    ///
    /// # Errors
    ///
    /// [`ServeError`]. What was served before is served on.
    pub async fn refresh(&self) -> Result<bool, ServeError> {
        let shared = Arc::clone(&self.shared);
        match &self.shared.source {
            Source::Folder(_) => {
                let looking = spawn_blocking(move || shared.look_at_folder());
                // It is cut short when the runtime ends, which nobody sees any more, and else it panicked.
                looking
                    .await
                    .unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
            }
            Source::Blobs(blobs) => shared.look_at_blobs(&**blobs).await,
        }
    }

    /// Bytes that are served.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.shared.index.borrow().total
    }
}

impl Shared {
    fn look_at_folder(&self) -> Result<bool, ServeError> {
        let Source::Folder(folder) = &self.source else {
            return Ok(false);
        };
        let mut grew = false;
        let looked = folder.look(|segments| {
            let index = Index::new(segments, &self.config.path);
            self.index.send_replace(Arc::new(index));
            grew = true;
        });
        looked.map(|()| grew)
    }

    async fn look_at_blobs(&self, blobs: &dyn LogBlobs) -> Result<bool, ServeError> {
        let before = Arc::clone(&self.index.borrow());
        let segments = bucket::segments(blobs, &before.segments).await?;
        let after = Index::new(segments, &self.config.path);
        let grew = after.total != before.total;
        // Somebody else may have looked meanwhile; then the next look sees what is left.
        Ok(grew
            && self.index.send_if_modified(|index| {
                let is_next = Arc::ptr_eq(index, &before);
                if is_next {
                    *index = Arc::new(after);
                }
                is_next
            }))
    }

    pub(super) fn poll(&self) -> Duration {
        let usual = match self.source {
            Source::Folder(_) => FOLDER_POLL,
            Source::Blobs(_) => BLOBS_POLL,
        };
        self.config.poll.unwrap_or(usual)
    }
}

impl Debug for LogServer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut server = f.debug_struct("LogServer");
        match &self.shared.source {
            Source::Folder(folder) => server.field("dir", &folder.dir),
            Source::Blobs(blobs) => server.field("blobs", blobs),
        };
        server.finish_non_exhaustive()
    }
}

impl Index {
    fn empty() -> Self {
        Self {
            json: Bytes::from_static(b"[]"),
            ..Self::default()
        }
    }

    fn new(segments: Vec<Segment>, path: &str) -> Self {
        Self {
            total: segments.iter().map(|segment| segment.size).sum(),
            json: json(&segments, 0, path).into(),
            segments,
        }
    }

    /// The list from a number on.
    pub(super) fn from(&self, first: usize, path: &str) -> String {
        json(&self.segments, first, path)
    }
}

/// Indented by tabs, as upstream's. Nothing in it needs to be escaped.
fn json(segments: &[Segment], first: usize, path: &str) -> String {
    let mut json = String::from("[");
    for (number, Segment { size, sum, .. }) in segments.iter().enumerate().skip(first) {
        let comma = if number > first { "," } else { "" };
        // A string takes whatever is written.
        let _ = write!(
            json,
            "{comma}\n\t{{\n\t\t\"number\": {number},\n\t\t\"size\": {size},\n\t\t\"sha224\": \"{sum}\",\n\t\t\"url\": \"{path}/{number}\"\n\t}}"
        );
    }
    json.push_str(if json.len() > 1 { "\n]" } else { "]" });
    json
}
