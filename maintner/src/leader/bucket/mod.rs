mod bring_up;
mod config;
mod error;
mod files;
mod lease;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use buckets::Bucket;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::in_full::in_full;
pub use crate::leader::bucket::config::BucketLogConfig;
pub use crate::leader::bucket::error::BucketLogError;
use crate::leader::bucket::files::failed;
use crate::leader::bucket::lease::Lease;
use crate::leader::{Leader, writer::make_dir};
use crate::reclog::{Files, Lock, lock, number};
use crate::segment_name;
use crate::serve::LogBlob;
use crate::serve::bucket::{Kept, Listing, MAX_BLOBS, newest};
use crate::sum::Sum;

const LOCK_FILE: &str = "bucket.lock";
/// For what is left when the leader ends.
const LAST: Duration = Duration::from_secs(60);

/// A log that a bucket has too, in the layout of Go's `gcslog`: the folder that a [`Leader`] writes to, and what brings it to the bucket.
///
/// Each segment, of [16 MiB](Files::SEGMENT) at most unless one batch has more, is an object `NNNN.SHA224.mutlog`; when it has grown, another
/// one takes its place. Go's maintnerd goes on from what this one wrote and the other way round, and [`LogServer::open_blobs`] serves it.
///
/// ```
/// use buckets::Bucket;
/// use maintner::leader::{BucketLog, BucketLogConfig, Leader, LeaderConfig};
/// use maintner::reclog::Files;
///
/// # async fn lead() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let bucket = Bucket::in_memory(); // or Bucket::open("gs://golang-maintner-log", std::env::vars(), tls)?
/// let log = BucketLog::open(bucket, dir, BucketLogConfig::default()).await?;
/// let files = Files::Numbered { max_bytes: Files::SEGMENT };
/// let leader = Leader::open(dir, LeaderConfig::default().files(files)).await?;
/// let storing = tokio::spawn(log.run(leader.clone()));
/// // ... sources are followed into it ...
/// leader.close().await;
/// storing.await??; // the bucket has everything
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new()?.block_on(lead())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What lasts
///
/// The folder has everything at once, on the disk; the bucket gets it every ten minutes, when a segment is full, and at the end. A crash
/// loses nothing, and no follower sees its history split: the next start stores what is missing. When the folder is lost, it is made anew
/// of the bucket, without what was not stored yet, and followers that had that begin anew.
///
/// # One writer
///
/// An object `leader` says who writes; storing it takes a store that knows conditional requests (S3 and Google's do). Who begins takes it
/// over, and the one before ends with [`BucketLogError::Taken`] when it stores the next time, or a minute later. Go's maintnerd does not know it: what it
/// stores is seen in the list, and ends this one too. Neither has its objects removed by the other, and no history is mixed.
///
/// # Limits
///
/// | what | limit |
/// |---|---|
/// | memory | what a [`Bucket`] takes, 8 MiB |
/// | segments | 100,000 |
/// | the last storing, when the leader ends | 60 s |
///
/// [`LogServer::open_blobs`]: crate::serve::LogServer::open_blobs
#[derive(Debug)]
pub struct BucketLog {
    bucket: Bucket,
    dir: PathBuf,
    config: BucketLogConfig,
    lease: Lease,
    /// What the bucket has of each segment.
    stored: Vec<Kept>,
    /// Older objects of ours that are still there.
    older: BTreeSet<String>,
    /// Those that were there before, and are of another history.
    others: BTreeSet<String>,
    /// Objects that may have been stored by a call that failed.
    doubtful: BTreeSet<String>,
    status: watch::Sender<BucketLogStatus>,
    /// Held, not used.
    _lock: Lock,
}

/// How a [`BucketLog`] is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketLogStatus {
    /// Bytes of the log that the bucket has.
    pub bytes: u64,
    /// Segments that it has.
    pub segments: usize,
    /// When it got something, since the start.
    pub stored: Option<SystemTime>,
    /// Why it got nothing the last time.
    pub error: Option<String>,
}

/// What [`BucketLog::flush`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flushed {
    /// Objects that were stored.
    pub objects: usize,
    /// Their bytes, all of a segment that grew.
    pub bytes: u64,
}

/// A segment that the bucket does not have as it is.
#[derive(Debug)]
struct Pending {
    number: usize,
    path: PathBuf,
    size: u64,
    sum: Sum,
}

impl BucketLog {
    /// Takes over the bucket, and brings the folder, which is made if there is none, up to what the bucket has. Stores nothing yet but who
    /// it is.
    ///
    /// Every file is read once, to see that it and the bucket are of one history; objects that the folder lacks are fetched.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped has done a part, from which the next one goes on.
    ///
    /// # Errors
    ///
    /// When the folder is in use or has other logs, when it and the bucket are of two histories, when a segment is missing or damaged, and
    /// when the bucket cannot be used.
    pub async fn open(
        bucket: Bucket,
        dir: impl AsRef<Path>,
        config: BucketLogConfig,
    ) -> Result<Self, BucketLogError> {
        let dir = dir.as_ref().to_owned();
        let lock = blocking(&dir, lock_dir).await?;
        let lease = Lease::take(bucket.clone()).await?;
        let Listing { segments, older } = list(&bucket).await?;
        let mut log = Self {
            bucket,
            dir,
            config,
            lease,
            stored: segments,
            older: BTreeSet::new(),
            others: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            status: watch::Sender::default(),
            _lock: lock,
        };
        log.bring_up().await?;
        log.remove_older(older).await?;
        log.tell(None);
        Ok(log)
    }

    /// How it is, for those who look.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<BucketLogStatus> {
        self.status.subscribe()
    }

    /// Bytes of the log that the bucket has.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.stored.iter().map(|kept| kept.size).sum()
    }

    /// Stores what the folder has and the bucket has not.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped has stored a part, from which the next one goes on.
    ///
    /// # Errors
    ///
    /// After one that is not [final](BucketLogError::is_final) it may be called again. What was stored before stays.
    pub async fn flush(&mut self) -> Result<Flushed, BucketLogError> {
        let stored: Vec<(String, u64)> = (self.stored.iter())
            .map(|kept| (kept.name.clone(), kept.size))
            .collect();
        let pending = blocking(&self.dir, move |dir| pending(dir, &stored)).await?;
        let mut flushed = Flushed::default();
        if pending.is_empty() {
            return Ok(flushed);
        }
        self.lease.renew().await?;
        self.see_that_nobody_else_wrote().await?;
        for segment in pending {
            self.store(&segment).await?;
            flushed.objects += 1;
            flushed.bytes += segment.size;
            self.tell(Some(SystemTime::now()));
        }
        Ok(flushed)
    }

    /// Stores what the leader of the same folder appends, until it is [closed](Leader::close): every
    /// [interval](BucketLogConfig::interval), and when a segment is full; then what is left, for which it has a minute.
    ///
    /// Failures that may pass are told to [`status`](Self::status) and the log (`tracing`), and it is tried again.
    ///
    /// # Cancel safety
    ///
    /// When it is dropped, what was not stored yet waits in the folder for the next [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// Those that are [final](BucketLogError::is_final), and that of the last storing.
    pub async fn run(mut self, leader: Leader) -> Result<(), BucketLogError> {
        let (interval, retry) = (self.config.interval, self.config.retry);
        'led: loop {
            let appended = leader.longer_than(self.bytes());
            if self.unless_lost(appended).await?.is_none() {
                break;
            }
            let full = leader.longer_than(self.bytes() + Files::SEGMENT);
            // Also when it ends.
            let _ = self.unless_lost(timeout(interval, full)).await?;
            while let Err(error) = self.flush().await {
                self.told(&error);
                if error.is_final() {
                    return Err(error);
                }
                let ended = timeout(retry, leader.broken());
                if self.unless_lost(ended).await?.is_ok() {
                    break 'led;
                }
            }
        }
        let last = timeout(LAST, self.flush()).await;
        let last = last.unwrap_or(Err(BucketLogError::TooLate { limit: LAST }));
        last.map(|_| ())
    }

    /// Waits for something, and meanwhile sees that nobody else takes over.
    async fn unless_lost<T>(&self, waiting: impl Future<Output = T>) -> Result<T, BucketLogError> {
        tokio::select! {
            come = waiting => Ok(come),
            error = self.lease.lost(self.config.look) => {
                self.told(&error);
                Err(error)
            }
        }
    }

    async fn see_that_nobody_else_wrote(&mut self) -> Result<(), BucketLogError> {
        let listing = list(&self.bucket).await?;
        let older = listing.older.into_iter().map(|(_, kept)| kept);
        let there: BTreeSet<String> = (listing.segments.into_iter().chain(older))
            .map(|kept| kept.name)
            .collect();
        let gone = self.stored.iter().find(|kept| !there.contains(&kept.name));
        if let Some(kept) = gone {
            let object = kept.name.clone();
            return Err(BucketLogError::Changed { object });
        }
        let ours: BTreeSet<&String> = (self.stored.iter().map(|kept| &kept.name))
            .chain(&self.older)
            .chain(&self.others)
            .chain(&self.doubtful)
            .collect();
        match there.iter().find(|name| !ours.contains(name)) {
            Some(other) => Err(BucketLogError::Changed {
                object: other.clone(),
            }),
            None => {
                self.older.retain(|name| there.contains(name));
                self.doubtful.retain(|name| there.contains(name));
                Ok(())
            }
        }
    }

    async fn store(&mut self, segment: &Pending) -> Result<(), BucketLogError> {
        let name = segment_name::of(segment.number, &segment.sum);
        let file = tokio::fs::File::open(&segment.path).await;
        let file = file.map_err(|source| failed(&segment.path, source))?;
        // It goes on growing.
        let mut content = file.take(segment.size);
        self.doubtful.insert(name.clone());
        let put = self.bucket.put(&name, &mut content, segment.size).await;
        let size = put.map_err(|source| BucketLogError::Bucket { source })?;
        self.doubtful.remove(&name);
        let kept = Kept {
            name,
            size,
            sum: segment.sum,
        };
        match self.stored.get_mut(segment.number) {
            Some(before) => {
                let before = std::mem::replace(before, kept);
                self.older.insert(before.name);
            }
            None => self.stored.push(kept),
        }
        // Those of earlier attempts too.
        let prefix = format!("{:04}.", segment.number);
        let superseded: Vec<String> = (self.older.iter().chain(&self.doubtful))
            .filter(|name| name.starts_with(&prefix))
            .cloned()
            .collect();
        for name in superseded {
            self.remove(&name).await?;
        }
        Ok(())
    }

    async fn remove(&mut self, name: &str) -> Result<(), BucketLogError> {
        let removed = self.bucket.remove(name).await;
        removed.map_err(|source| BucketLogError::Bucket { source })?;
        self.older.remove(name);
        self.doubtful.remove(name);
        Ok(())
    }

    fn tell(&self, stored: Option<SystemTime>) {
        let (bytes, segments) = (self.bytes(), self.stored.len());
        self.status.send_modify(|status| {
            status.bytes = bytes;
            status.segments = segments;
            status.error = None;
            status.stored = stored.or(status.stored);
        });
    }

    fn told(&self, error: &BucketLogError) {
        let text = in_full(error);
        tracing::warn!("the bucket does not have what was appended: {text}");
        self.status.send_modify(|status| status.error = Some(text));
    }
}

async fn list(bucket: &Bucket) -> Result<Listing, BucketLogError> {
    let listed = bucket.list(MAX_BLOBS).await;
    let listed = listed.map_err(|source| BucketLogError::Bucket { source })?;
    newest(listed.into_iter().map(LogBlob::from).collect()).map_err(|number| {
        BucketLogError::Missing {
            place: "the bucket".to_owned(),
            number,
        }
    })
}

/// What the bucket lacks of the segments from the last on that it has; earlier ones do not change any more.
fn pending(dir: &Path, stored: &[(String, u64)]) -> Result<Vec<Pending>, BucketLogError> {
    let mut pending = Vec::new();
    for number in stored.len().saturating_sub(1).. {
        let path = dir.join(number::file_name(number as u64));
        if !path.try_exists().map_err(|source| failed(&path, source))? {
            break;
        }
        let (size, sum) = files::whole(&path)?;
        match stored.get(number) {
            Some((_, before)) if size == *before => continue,
            Some((object, before)) if size < *before => {
                let (file, object) = (path, object.clone());
                return Err(BucketLogError::Diverged { file, object });
            }
            // One without a record is none yet.
            _ if size == 0 => continue,
            _ => pending.push(Pending {
                number,
                path,
                size,
                sum,
            }),
        }
    }
    Ok(pending)
}

fn lock_dir(dir: &Path) -> Result<Lock, BucketLogError> {
    let locked = make_dir(dir).and_then(|()| lock(dir, LOCK_FILE));
    match locked.map_err(|source| failed(dir, source))? {
        Some(lock) => Ok(lock),
        None => Err(BucketLogError::Locked {
            dir: dir.to_owned(),
        }),
    }
}

/// On a thread for what blocks.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<T, BucketLogError> + Send + 'static,
) -> Result<T, BucketLogError> {
    let path = path.to_owned();
    let working = spawn_blocking(move || work(&path));
    // It is cut short when the runtime ends, which nobody sees any more, and else it panicked.
    working
        .await
        .unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
}
