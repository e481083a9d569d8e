use std::collections::HashSet;
use std::fs;
use std::io::{self, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use super::{BlobError, BlobName, BlobReader, Blobs};

/// Folders that are remembered, so that the names above them are not flushed for each blob.
const MAX_DURABLE: usize = 1024;

/// Bytes that are read and written at once.
const PIECE: usize = 64 << 10;

/// Blobs as files in a folder, for their owner's eyes only.
///
/// A blob is written under another name, flushed to the disk and renamed, and its folder is flushed: what is there after a
/// crash is whole.
#[derive(Clone, Debug)]
pub struct FileBlobs {
    dir: PathBuf,
    /// Folders whose own names are on the disk. At most [`MAX_DURABLE`].
    durable: Arc<Mutex<HashSet<PathBuf>>>,
}

impl FileBlobs {
    /// Uses the folder `dir`, which is made if it is not there, and removes what a process that was killed left half
    /// written. One process writes to it at a time, as the store's lock sees to.
    ///
    /// # Errors
    ///
    /// If it cannot be made or cleaned.
    pub async fn open(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        let blobs = Self {
            dir,
            durable: Arc::default(),
        };
        let temporary = blobs.temporary();
        blocking(move || {
            make_private_dir(&temporary)?;
            for entry in fs::read_dir(&temporary)? {
                fs::remove_file(entry?.path())?;
            }
            Ok(())
        })
        .await?;
        Ok(blobs)
    }

    /// Not a name that a blob can have.
    fn temporary(&self) -> PathBuf {
        self.dir.join(".tmp")
    }

    fn path(&self, name: &BlobName) -> PathBuf {
        self.dir.join(name.as_str())
    }

    /// Gives a finished file its name, in a way that a crash does not undo.
    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        let parent = to.parent().unwrap_or(&self.dir);
        make_private_dir(parent)?;
        fs::rename(from, to)?;
        #[cfg(unix)]
        let mut new = Vec::new();
        #[cfg(unix)]
        for folder in parent.ancestors() {
            fs::File::open(folder)?.sync_all()?;
            // Its own name is in the one above, which may be new too.
            if folder == self.dir || self.durable().contains(folder) {
                break;
            }
            new.push(folder);
        }
        #[cfg(unix)]
        self.remember(&new);
        Ok(())
    }

    #[cfg(unix)]
    fn remember(&self, folders: &[&Path]) {
        let mut durable = self.durable();
        if durable.len() + folders.len() > MAX_DURABLE {
            durable.clear();
        }
        durable.extend(folders.iter().map(|folder| folder.to_path_buf()));
    }

    #[cfg(unix)]
    fn durable(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Blobs for FileBlobs {
    async fn put(
        &self,
        name: &BlobName,
        source: &mut (dyn AsyncRead + Send + Unpin),
        limit: u64,
    ) -> Result<u64, BlobError> {
        let failed = |error: io::Error| BlobError::storage(name, error);
        let temporary = Temporary(self.temporary().join(random_name().map_err(failed)?));
        let (blobs, to) = (self.clone(), self.path(name));
        let mut piece = vec![0; PIECE];
        let mut filled = fill(name, source, &mut piece).await?;
        let mut bytes = filled as u64;
        let mut file = None;
        // What fits into one piece is written in one go.
        while filled == PIECE {
            check(name, bytes, limit)?;
            let file = match &mut file {
                Some(file) => file,
                None => file.insert(create(temporary.0.clone()).await.map_err(failed)?),
            };
            file.write_all(&piece).await.map_err(failed)?;
            filled = fill(name, source, &mut piece).await?;
            bytes += filled as u64;
        }
        check(name, bytes, limit)?;
        piece.truncate(filled);
        let file = match file {
            Some(mut file) => {
                file.flush().await.map_err(failed)?;
                Some(file.into_std().await)
            }
            None => None,
        };
        // From here on it is no use to stop: the temporary file goes with the thread.
        blocking(move || {
            let mut file = match file {
                Some(file) => file,
                None => create_now(&temporary.0)?,
            };
            file.write_all(&piece)?;
            file.sync_all()?;
            drop(file);
            blobs.publish(&temporary.0, &to)
        })
        .await
        .map_err(failed)?;
        Ok(bytes)
    }

    async fn get(&self, name: &BlobName, range: Range<u64>) -> Result<BlobReader, BlobError> {
        let failed = |error: io::Error| BlobError::storage(name, error);
        let mut file = match File::open(self.path(name)).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BlobError::NotFound(name.clone()));
            }
            Err(error) => return Err(failed(error)),
        };
        file.set_max_buf_size(PIECE);
        let metadata = file.metadata().await.map_err(failed)?;
        if !metadata.is_file() {
            return Err(BlobError::NotFound(name.clone()));
        }
        let total = metadata.len();
        let start = range.start.min(total);
        let end = range.end.clamp(start, total);
        if start > 0 {
            file.seek(SeekFrom::Start(start)).await.map_err(failed)?;
        }
        let stream = Box::pin(file.take(end - start));
        Ok(BlobReader::new(total, start..end, stream))
    }

    async fn remove(&self, name: &BlobName) -> Result<(), BlobError> {
        match tokio::fs::remove_file(self.path(name)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(BlobError::storage(name, error))
            }
            _ => Ok(()),
        }
    }
}

/// A file that is removed when it is dropped; after it was renamed there is none.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // One system call; if it fails, opening the folder again removes it.
        let _ = fs::remove_file(&self.0);
    }
}

/// Reads until `piece` is full or `source` ends; how many bytes.
async fn fill(
    name: &BlobName,
    source: &mut (dyn AsyncRead + Send + Unpin),
    piece: &mut [u8],
) -> Result<usize, BlobError> {
    let mut filled = 0;
    while filled < piece.len() {
        let read = source.read(&mut piece[filled..]).await;
        match read {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(source) => {
                let name = name.clone();
                return Err(BlobError::Source { name, source });
            }
        }
    }
    Ok(filled)
}

fn check(name: &BlobName, bytes: u64, limit: u64) -> Result<(), BlobError> {
    if bytes <= limit {
        return Ok(());
    }
    let name = name.clone();
    Err(BlobError::TooLarge { name, limit })
}

async fn create(path: PathBuf) -> io::Result<File> {
    let file = blocking(move || create_now(&path)).await?;
    let mut file = File::from_std(file);
    file.set_max_buf_size(PIECE);
    Ok(file)
}

fn create_now(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn random_name() -> io::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(random)))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
}
