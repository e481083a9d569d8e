use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use url::Url;

use crate::net::cache::{Cache, broken, hash};
use crate::net::config::Watcher;
use crate::net::download::{Obtained, Tail, obtain};
use crate::net::index::{self, Listed};
use crate::net::web::Web;
use crate::net::{FetchError, NetConfig};
use crate::sum::Sum;

/// Brings a log from a server into a cache, and keeps it up to date.
#[derive(Debug)]
pub struct Follower {
    server: Url,
    config: NetConfig,
    web: Web,
    cache: Cache,
    segments: Vec<Segment>,
    /// The last of the segments, if it is open.
    tail: Option<Tail>,
    /// Where the server's history was found to be another one.
    split: Option<usize>,
    reached: bool,
    offline: bool,
}

/// A segment in the cache.
#[derive(Debug)]
pub(crate) struct Segment {
    /// How many of the file's bytes are it.
    pub(crate) size: u64,
    pub(crate) file: SegmentFile,
    sum: Sum,
}

/// Where a segment's bytes are.
#[derive(Debug, Clone)]
pub(crate) enum SegmentFile {
    Frozen(PathBuf),
    /// Its name may be another file's soon.
    Growing(Arc<File>, PathBuf),
}

impl SegmentFile {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Frozen(path) | Self::Growing(_, path) => path,
        }
    }
}

impl Follower {
    /// Makes the folder of the cache, if there is none. Nothing is fetched before [`fetch`](Self::fetch).
    ///
    /// # Errors
    ///
    /// When the server's address is none, or the folder cannot be made.
    pub fn open(config: NetConfig) -> Result<Self, FetchError> {
        let server = Url::parse(&config.server)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| FetchError::Server {
                server: config.server.clone(),
            })?;
        let cache = Cache::open(&config.cache)?;
        Ok(Self {
            web: Web::new(&config, &server),
            server,
            config,
            cache,
            segments: Vec::new(),
            tail: None,
            split: None,
            reached: false,
            offline: false,
        })
    }

    /// Brings what the server has more than before into the cache, and tells whether there was anything. If there is not, it waits for it, so
    /// long at most; zero asks once.
    ///
    /// It blocks the thread, at most for what [`NetConfig`] allows. A [`Corpus`](crate::Corpus) that follows calls it.
    ///
    /// # Errors
    ///
    /// [`FetchError`]. After [`FetchError::Split`] every call gives that again.
    pub fn fetch(&mut self, wait: Duration) -> Result<bool, FetchError> {
        if let Some(segment) = self.split {
            return Err(FetchError::Split { segment });
        }
        let deadline = Instant::now().checked_add(wait).filter(|_| !wait.is_zero());
        loop {
            let result = self.round(deadline);
            match result {
                Ok(None) => {} // a long poll ended
                Ok(Some(true)) => return Ok(true),
                Ok(Some(false)) if deadline.is_none() => return Ok(false),
                // A server that should have waited with what is no news.
                Ok(Some(false)) => std::thread::sleep(self.config.pause.min(wait)),
                Err(FetchError::Unreachable { .. }) if self.config.offline && !self.reached => {
                    self.reached = true;
                    self.offline = true;
                    self.use_cache()?;
                    return Ok(!self.segments.is_empty());
                }
                Err(error) => {
                    if let FetchError::Split { segment } = error {
                        self.split = Some(segment);
                    }
                    return Err(error);
                }
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(false);
            }
        }
    }

    /// Whether the server was out of reach at first, and has been since: what is there is what the cache had. See
    /// [`NetConfig::offline`].
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// Bytes of the log so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Asks once. `None`: there was no news as long as the server waited.
    fn round(&mut self, deadline: Option<Instant>) -> Result<Option<bool>, FetchError> {
        // Of an empty log nobody needs to wait for the beginning: upstream's server says that there is none.
        let unless = deadline.map(|deadline| (self.size(), deadline));
        let Some(list) = self.web.list(&self.server, unless)? else {
            return Ok(None);
        };
        let mut listed = index::parse(&list, &self.server, &self.config)?;
        // One without bytes is none yet.
        listed.pop_if(|last| last.size == 0);
        self.reached = true;
        self.offline = false;
        self.check_history(&listed)?;
        let first = self.segments.len().saturating_sub(1);
        let mut news = false;
        let progress = Progress {
            watcher: self.config.progress.clone(),
            // The last one that is known may have grown.
            before: self.segments.last().map_or(0, |last| last.size),
            total: listed[first.min(listed.len())..]
                .iter()
                .map(|one| one.size)
                .sum(),
        };
        let mut done = 0;
        for number in first..listed.len() {
            let is_last = number + 1 == listed.len();
            let known = self.segments.get(number);
            let is_same = known.is_some_and(|known| known.size == listed[number].size);
            if is_same && is_last {
                break;
            }
            self.bring(number, &listed[number], is_last, &|have| {
                progress.tell(done + have);
            })?;
            done += listed[number].size;
            progress.tell(done);
            news |= !is_same;
        }
        Ok(Some(news))
    }

    /// Whether what is listed can be what was there, and more.
    fn check_history(&self, listed: &[Listed]) -> Result<(), FetchError> {
        for (number, known) in self.segments.iter().enumerate() {
            let is_last = number + 1 == self.segments.len();
            let fits = listed.get(number).is_some_and(|listed| {
                (listed.size == known.size && listed.sum == known.sum)
                    || (is_last && listed.size > known.size)
            });
            if !fits {
                return Err(FetchError::Split { segment: number });
            }
        }
        Ok(())
    }

    /// `progress` is told how many bytes of the segment there are.
    fn bring(
        &mut self,
        number: usize,
        listed: &Listed,
        is_last: bool,
        progress: &dyn Fn(u64),
    ) -> Result<(), FetchError> {
        let Obtained {
            path,
            tail,
            extends,
        } = obtain(
            &self.cache,
            &self.web,
            number,
            listed,
            is_last,
            self.tail.as_ref().filter(|_| number < self.segments.len()),
            progress,
        )?;
        let file = match &tail {
            Some(tail) => SegmentFile::Growing(Arc::clone(&tail.file), path),
            None => SegmentFile::Frozen(path),
        };
        let segment = Segment {
            size: listed.size,
            sum: listed.sum,
            file,
        };
        if let Some(known) = self.segments.get_mut(number) {
            if !extends && !begins_with(&segment, known)? {
                return Err(FetchError::Split { segment: number });
            }
            *known = segment;
        } else {
            self.segments.push(segment);
        }
        self.tail = tail;
        Ok(())
    }

    /// Takes what the cache has for the log.
    fn use_cache(&mut self) -> Result<(), FetchError> {
        let _lock = self.cache.lock()?;
        for usable in self.cache.usable()? {
            if usable.size == 0 {
                break; // nothing is known to be whole
            }
            let file = match usable.growing {
                None => SegmentFile::Frozen(usable.path),
                Some((growing, hasher)) => {
                    let file = Arc::new(growing.file);
                    self.tail = Some(Tail {
                        file: Arc::clone(&file),
                        id: growing.id,
                        size: usable.size,
                        hasher,
                    });
                    SegmentFile::Growing(file, usable.path)
                }
            };
            self.segments.push(Segment {
                size: usable.size,
                sum: usable.sum,
                file,
            });
        }
        Ok(())
    }
}

/// Tells how far a round has come, in bytes beyond what was known.
struct Progress {
    watcher: Watcher,
    before: u64,
    total: u64,
}

impl Progress {
    fn tell(&self, have: u64) {
        let beyond = |bytes: u64| bytes.saturating_sub(self.before);
        self.watcher.tell(beyond(have), beyond(self.total));
    }
}

/// Whether a segment begins with what another one was.
fn begins_with(segment: &Segment, known: &Segment) -> Result<bool, FetchError> {
    if segment.size == known.size {
        return Ok(segment.sum == known.sum);
    }
    let hashed = match &segment.file {
        SegmentFile::Growing(file, _) => hash(file, known.size),
        SegmentFile::Frozen(path) => File::open(path).and_then(|file| hash(&file, known.size)),
    };
    let hasher = hashed.map_err(|source| broken(segment.file.path(), source))?;
    Ok(Sum::of(&hasher) == known.sum)
}
