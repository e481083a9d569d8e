use std::fmt::{self, Debug, Display, Formatter, Write as _};
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha224};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::reclog::{Blocks, ReadError, segments};
use crate::sum::Sum;

/// A log that is served. Clones are the same one.
#[derive(Clone)]
pub struct LogServer {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    dir: PathBuf,
    pub(super) config: ServeConfig,
    /// What was read of each file. Held while files are read, by threads that may wait.
    scanned: Mutex<Vec<Scanned>>,
    pub(super) index: watch::Sender<Arc<Index>>,
    /// Who may wait for news.
    pub(super) seats: Semaphore,
    /// Nobody needs to wait any more.
    pub(super) closing: CancellationToken,
}

#[derive(Clone)]
struct Scanned {
    name: String,
    path: PathBuf,
    size: u64,
    hasher: Sha224,
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
    pub(super) path: PathBuf,
    pub(super) size: u64,
    sum: Sum,
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
        let seats = Semaphore::new(config.max_waiting);
        let server = Self {
            shared: Arc::new(Shared {
                dir: dir.as_ref().to_owned(),
                index: watch::Sender::new(Arc::new(Index::empty())),
                config,
                scanned: Mutex::default(),
                seats,
                closing: CancellationToken::new(),
            }),
        };
        server.refresh()?;
        Ok(server)
    }

    /// Looks at what was appended, serves it, wakes who waits for it, and tells whether there was anything.
    ///
    /// [`serve`](Self::serve) calls it now and then; a program that appends may do so at once. It blocks the thread while it reads.
    ///
    /// # Errors
    ///
    /// [`ServeError`]. What was served before is served on.
    pub fn refresh(&self) -> Result<bool, ServeError> {
        let shared = &*self.shared;
        // A panic in here would leave hashes of what was really read.
        let mut scanned = shared
            .scanned
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let result = scan(&shared.dir, &mut scanned);
        let total: u64 = scanned.iter().map(|segment| segment.size).sum();
        let grew = total != shared.index.borrow().total;
        if grew {
            let index = Index::new(&scanned, &shared.config.path);
            shared.index.send_replace(Arc::new(index));
        }
        result.map(|()| grew)
    }

    /// Bytes that are served.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.shared.index.borrow().total
    }
}

impl Debug for LogServer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogServer")
            .field("dir", &self.shared.dir)
            .finish_non_exhaustive()
    }
}

/// Reads what the files have more than before.
fn scan(dir: &Path, scanned: &mut Vec<Scanned>) -> Result<(), ServeError> {
    let files = segments(dir).map_err(|source| ServeError::Dir {
        dir: dir.to_owned(),
        source,
    })?;
    let mut known = 0;
    for file in &files {
        if let Some(segment) = scanned.get(known)
            && segment.name == file.name
        {
            let is_last = known + 1 == scanned.len();
            if file.len < segment.size {
                let segment = file.path.clone();
                return Err(ServeError::Changed { segment });
            }
            if file.len > segment.size {
                let mut longer = segment.clone();
                let result = read(&mut longer);
                // Torn bytes may stay where they are; records would have come too late.
                if !is_last && longer.size > segment.size {
                    let segment = file.path.clone();
                    return Err(ServeError::Changed { segment });
                }
                scanned[known] = longer;
                result?;
            }
            known += 1;
            continue;
        }
        if known < scanned.len() {
            if file.len == 0 {
                continue; // it never was one
            }
            let segment = scanned[known].path.clone();
            return Err(ServeError::Changed { segment });
        }
        let mut segment = Scanned {
            name: file.name.clone(),
            path: file.path.clone(),
            size: 0,
            hasher: Sha224::new(),
        };
        let result = read(&mut segment);
        // One without a record has no number yet.
        if segment.size > 0 {
            scanned.push(segment);
            known += 1;
        }
        result?;
    }
    if known < scanned.len() {
        let segment = scanned[known].path.clone();
        return Err(ServeError::Changed { segment });
    }
    Ok(())
}

/// Takes the whole records that came since.
fn read(segment: &mut Scanned) -> Result<(), ServeError> {
    let failed = |path: &Path, source| ServeError::Segment {
        segment: path.to_owned(),
        source,
    };
    let io = |path: &Path, offset, source| failed(path, ReadError::Io { offset, source });
    let mut file = File::open(&segment.path).map_err(|e| io(&segment.path, segment.size, e))?;
    file.seek(SeekFrom::Start(segment.size))
        .map_err(|e| io(&segment.path, segment.size, e))?;
    let mut blocks = Blocks::new(file, segment.size);
    let mut memory = Vec::new();
    loop {
        match blocks.next(memory) {
            Ok(Some(block)) => {
                segment.hasher.update(&block.data);
                segment.size += block.data.len() as u64;
                memory = block.data;
            }
            Ok(None) => return Ok(()),
            // Somebody is writing.
            Err(error) if error.is_incomplete() => return Ok(()),
            Err(error) => return Err(failed(&segment.path, error)),
        }
    }
}

impl Index {
    fn empty() -> Self {
        Self {
            json: Bytes::from_static(b"[]"),
            ..Self::default()
        }
    }

    fn new(scanned: &[Scanned], path: &str) -> Self {
        let segments: Vec<_> = scanned
            .iter()
            .map(|segment| Segment {
                path: segment.path.clone(),
                size: segment.size,
                sum: Sum::of(&segment.hasher),
            })
            .collect();
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

/// How a log is served.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    pub(super) path: String,
    pub(super) poll: Duration,
    pub(super) wait: Duration,
    pub(super) gzip: bool,
    pub(super) max_connections: usize,
    pub(super) max_waiting: usize,
}

impl ServeConfig {
    /// The path of the list, `/logs` by default. Other characters than `A-Za-z0-9/_.-` are dropped, and slashes at the end.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        let plain = |c: &char| c.is_ascii_alphanumeric() || "/_.-".contains(*c);
        let path: String = path.chars().filter(plain).collect();
        self.path = format!("/{}", path.trim_matches('/'));
        self
    }

    /// How often the folder is looked at; 200 ms by default, at least 1 ms.
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll.max(Duration::from_millis(1));
        self
    }

    /// How long a request for news waits; 55 s by default, as load balancers often give up after 60.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Whether whole segments and lists are compressed for those who take that; yes by default. It costs a processor for each.
    #[must_use]
    pub fn gzip(mut self, gzip: bool) -> Self {
        self.gzip = gzip;
        self
    }

    /// How many connections are served at once; 1,024 by default, at least 1.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// How many requests may wait for news at once; 1,024 by default.
    #[must_use]
    pub fn max_waiting(mut self, waiting: usize) -> Self {
        self.max_waiting = waiting.min(Semaphore::MAX_PERMITS);
        self
    }
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            path: "/logs".to_owned(),
            poll: Duration::from_millis(200),
            wait: Duration::from_secs(55),
            gzip: true,
            max_connections: 1024,
            max_waiting: 1024,
        }
    }
}

/// Why a log, or what was appended to it, cannot be served.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum ServeError {
    /// The folder of the log could not be listed.
    Dir { dir: PathBuf, source: io::Error },
    /// A segment could not be read, or has bytes that are no record.
    Segment { segment: PathBuf, source: ReadError },
    /// A segment that was served is gone or shorter, or one came before it.
    Changed { segment: PathBuf },
}

impl Display for ServeError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir { dir, .. } => write!(f, "cannot list the log {}", dir.display()),
            Self::Segment { segment, .. } => write!(f, "cannot read {}", segment.display()),
            Self::Changed { segment } => {
                write!(f, "{} is not what was served before", segment.display())
            }
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Dir { source, .. } => Some(source),
            Self::Segment { source, .. } => Some(source),
            Self::Changed { .. } => None,
        }
    }
}
