use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::repository::{Inner, blocking, used};
use super::{GitError, Repository};
use crate::model::Revision;

/// The files of a revision as `.tar.gz`, all of them, as they were committed; submodules are empty folders.
///
/// It stays readable when the cache needs its place for others.
#[derive(Debug)]
#[non_exhaustive]
pub struct SourceArchive {
    /// The archive, at its beginning.
    pub file: File,
    /// Its length.
    pub bytes: u64,
}

impl Repository {
    /// The source archive of a revision, from the cache or made now. Calls for the same revision make it once; memory is
    /// bounded, whatever its size.
    ///
    /// # Errors
    ///
    /// [`GitError::NoCommit`], [`GitError::TooLarge`], [`GitError::TimedOut`], or what git says.
    pub async fn archive(&self, revision: &Revision) -> Result<SourceArchive, GitError> {
        let path = self.inner.archive_path(revision);
        // A second time only if it is removed in the moment between.
        for _ in 0..3 {
            if let Some(found) = open(&path).await? {
                return Ok(found);
            }
            let making = self.inner.making(revision);
            making.get_or_try_init(|| self.make(revision)).await?;
        }
        Err(GitError::File {
            path,
            source: io::Error::other(
                "it is removed again and again: there is too little place for archives",
            ),
        })
    }

    async fn make(&self, revision: &Revision) -> Result<(), GitError> {
        const COMMAND: &str = "archive";
        // Somebody may have made it since we looked.
        let path = self.inner.archive_path(revision);
        if tokio::fs::try_exists(&path).await.unwrap_or(false) {
            return Ok(());
        }
        let limit = self.inner.config.command_limit;
        let temporary = Temporary::beside(&path)?;
        let work = self.pack(revision, &temporary.0);
        let packed = timeout(limit, work).await.map_err(|_| GitError::TimedOut {
            command: COMMAND,
            limit,
        })?;
        match packed {
            Err(GitError::Failed { .. }) if !self.has(revision).await? => {
                return Err(GitError::NoCommit(revision.clone()));
            }
            packed => packed?,
        }
        let inner = self.inner.clone();
        let (from, to) = (temporary.0.clone(), path.clone());
        blocking(&path, move || {
            std::fs::rename(from, &to)?;
            inner.make_room(&to)
        })
        .await
    }

    /// Writes the archive to `to`.
    async fn pack(&self, revision: &Revision, to: &Path) -> Result<(), GitError> {
        const COMMAND: &str = "archive";
        let at = |source| GitError::File {
            path: to.to_owned(),
            source,
        };
        let max = self.inner.config.max_archive;
        let args = ["--format=tar", revision.as_str()];
        let mut running = self.command(COMMAND, args).start()?;
        let stdout = running.stdout.take();
        let file = File::create(to).await.map_err(at)?;
        // Source is sent once or twice over a network and unpacked: what counts is time.
        let config = pargzip::Config::default().level(1);
        let mut gzip = pargzip::AsyncWriter::new(file, config)
            .map_err(|error| at(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let mut packed = Ok(0);
        let work = async {
            if let Some(stdout) = stdout {
                let mut bounded = stdout.take(max + 1);
                packed = tokio::io::copy(&mut bounded, &mut gzip).await;
            }
            Ok(())
        };
        let complaint = running.with_complaint(work).await?;
        let packed = packed.map_err(at)?;
        if packed > max {
            return Err(GitError::TooLarge {
                what: "source of a revision",
                limit: max,
            });
        }
        running.finish(&complaint).await?;
        gzip.shutdown().await.map_err(at)?;
        // Whoever finds it under its name after a crash must find all of it.
        gzip.get_ref().sync_data().await.map_err(at)
    }
}

impl Inner {
    fn archive_path(&self, revision: &Revision) -> PathBuf {
        self.archives.join(format!("{revision}.tar.gz"))
    }

    /// The cell in which calls for this revision meet.
    fn making(&self, revision: &Revision) -> Arc<OnceCell<()>> {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        making.retain(|_, cell| cell.strong_count() > 0);
        if let Some(cell) = making.get(revision).and_then(std::sync::Weak::upgrade) {
            return cell;
        }
        let cell = Arc::new(OnceCell::new());
        making.insert(revision.clone(), Arc::downgrade(&cell));
        cell
    }

    /// Removes the archives that were not used for longest, but not `newest`.
    fn make_room(&self, newest: &Path) -> io::Result<()> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.archives)? {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "gz") {
                let metadata = entry.metadata()?;
                all.push((path == newest, used(&metadata), metadata.len(), path));
            }
        }
        // The newest comes first, then what was used last.
        all.sort_by_key(|archive| std::cmp::Reverse((archive.0, archive.1)));
        let mut total = 0;
        for (is_newest, _, bytes, path) in all {
            total += bytes;
            if total > self.config.max_archives && !is_newest {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

async fn open(path: &Path) -> Result<Option<SourceArchive>, GitError> {
    let at = |source| GitError::File {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(error)),
    };
    let metadata = file.metadata().await.map_err(at)?;
    // Used again, so it stays longer; to the minute, that not every build writes.
    let now = SystemTime::now();
    let age = now.duration_since(used(&metadata)).unwrap_or_default();
    let file = if age > Duration::from_secs(60) {
        let file = file.into_std().await;
        let (file, touched) = tokio::task::spawn_blocking(move || {
            let touched = file.set_modified(now);
            (file, touched)
        })
        .await
        .map_err(|panicked| at(io::Error::other(panicked)))?;
        if let Err(error) = touched {
            tracing::debug!(%error, "an archive's time could not be set");
        }
        File::from_std(file)
    } else {
        file
    };
    Ok(Some(SourceArchive {
        file,
        bytes: metadata.len(),
    }))
}

/// A file that is removed when it is dropped; not if it was renamed.
struct Temporary(PathBuf);

impl Temporary {
    fn beside(path: &Path) -> Result<Self, GitError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| GitError::File {
            path: path.to_owned(),
            source: io::Error::other(error),
        })?;
        let name = format!(".tmp-{:016x}", u64::from_ne_bytes(random));
        Ok(Self(path.with_file_name(name)))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // One system call; if it fails, opening the cache again removes it.
        let _ = std::fs::remove_file(&self.0);
    }
}
