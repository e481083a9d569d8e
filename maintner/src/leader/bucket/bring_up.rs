use std::path::Path;

use tokio::io::AsyncReadExt as _;

use crate::leader::bucket::files::{self, Arriving, LocalFile};
use crate::leader::bucket::{BucketLog, BucketLogError, blocking};
use crate::reclog::number;
use crate::serve::bucket::Kept;

/// Bytes of an object that are read at once.
const PIECE: usize = 256 << 10;

/// The first comparison of the folder with the bucket.
impl BucketLog {
    /// Sees that the folder has what the bucket has, and fetches what it lacks.
    pub(super) async fn bring_up(&self) -> Result<(), BucketLogError> {
        let files = blocking(&self.dir, files::list).await?;
        let last_file = files.keys().next_back().copied();
        for (at, kept) in self.stored.iter().enumerate() {
            let number = at as u64;
            let file = files.get(&number);
            let path = self.dir.join(number::file_name(number));
            let diverged = || BucketLogError::Diverged {
                file: path.clone(),
                object: kept.name.clone(),
            };
            let is_last_object = at + 1 == self.stored.len();
            match file {
                Some(file) if file.len >= kept.size => {
                    if file.len > kept.size && !is_last_object {
                        return Err(diverged());
                    }
                    let size = kept.size;
                    let sum = blocking(&file.path, move |path| files::sum_of(path, size)).await?;
                    if sum != kept.sum {
                        return Err(diverged());
                    }
                }
                Some(_) if last_file != Some(number) => return Err(diverged()),
                file => self.fetch(kept, &path, file.cloned()).await?,
            }
        }
        let missing = (0..last_file.map_or(0, |last| last + 1))
            .find(|number| *number >= self.stored.len() as u64 && !files.contains_key(number));
        missing.map_or(Ok(()), |number| {
            Err(BucketLogError::Missing {
                place: self.dir.display().to_string(),
                number,
            })
        })
    }

    /// Makes an object a file, which goes on from the one that was there.
    async fn fetch(
        &self,
        kept: &Kept,
        path: &Path,
        before: Option<LocalFile>,
    ) -> Result<(), BucketLogError> {
        tracing::info!(object = %kept.name, bytes = kept.size, "fetches a segment from the bucket");
        let object = self.bucket.get(&kept.name, 0..u64::MAX).await;
        let mut object = object.map_err(|source| BucketLogError::Bucket { source })?;
        let mut arriving = blocking(&self.dir, Arriving::new).await?;
        let mut size = 0;
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            let mut next = (&mut object).take(PIECE as u64);
            let read = next.read_to_end(&mut piece).await;
            let read = read.map_err(|source| BucketLogError::Bucket {
                source: buckets::BucketError::Failed {
                    name: kept.name.clone(),
                    source: source.into(),
                },
            })?;
            if read == 0 {
                break;
            }
            size += read as u64;
            arriving = blocking(&self.dir, move |_| {
                arriving.write(&piece)?;
                Ok(arriving)
            })
            .await?;
        }
        if (size, arriving.sum()) != (kept.size, kept.sum) {
            let object = kept.name.clone();
            return Err(BucketLogError::Damaged { object });
        }
        let object = kept.name.clone();
        blocking(path, move |path| {
            if let Some(before) = before
                && !files::begins_with(arriving.path(), &before)?
            {
                let file = path.to_owned();
                return Err(BucketLogError::Diverged { file, object });
            }
            arriving.becomes(path)
        })
        .await
    }

    /// Removes what a writer left that ended between storing the longer object and removing the one before.
    pub(super) async fn remove_older(
        &mut self,
        older: Vec<(usize, Kept)>,
    ) -> Result<(), BucketLogError> {
        for (at, kept) in older {
            let path = self.dir.join(number::file_name(at as u64));
            let size = kept.size;
            let is_beginning = size <= self.stored[at].size
                && blocking(&path, move |path| files::sum_of(path, size)).await? == kept.sum;
            if is_beginning {
                self.remove(&kept.name).await?;
            } else {
                // Who stored it will want to look at it.
                tracing::warn!(object = %kept.name, "an older object of the bucket has another history; it is left there");
                self.others.insert(kept.name);
            }
        }
        Ok(())
    }
}
