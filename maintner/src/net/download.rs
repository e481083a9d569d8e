use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha224};

use crate::net::FetchError;
use crate::net::cache::{Cache, FileId, Growing, broken, hash};
use crate::net::index::Listed;
use crate::net::web::{Failure, Part, Web, cut_off};
use crate::sum::Sum;

/// So much of a growing segment is held in memory until its checksum is seen; more goes to a file of its own.
const IN_MEMORY: u64 = 4 << 20;

/// A segment that may grow, as it was left.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) file: Arc<File>,
    pub(super) id: FileId,
    pub(super) size: u64,
    /// Of all its bytes.
    pub(super) hasher: Sha224,
}

/// A segment that is in the cache now.
pub(super) struct Obtained {
    pub(super) path: PathBuf,
    /// For one that may grow.
    pub(super) tail: Option<Tail>,
    /// Whether it is what `known` was, and more.
    pub(super) extends: bool,
}

/// Sees to it that a segment is in the cache. `progress` is told how many of its bytes are.
pub(super) fn obtain(
    cache: &Cache,
    web: &Web,
    number: usize,
    listed: &Listed,
    is_last: bool,
    known: Option<&Tail>,
    progress: &dyn Fn(u64),
) -> Result<Obtained, FetchError> {
    let _lock = cache.lock()?;
    let to = if is_last {
        cache.growing_path(number)
    } else {
        cache.frozen_path(number, &listed.sum)
    };
    if !is_last && cache.has_frozen(number, listed.size, &listed.sum)? {
        return Ok(Obtained {
            path: to,
            tail: None,
            extends: false,
        });
    }
    let download = Download {
        cache,
        web,
        listed,
        is_last,
        to,
        progress,
    };
    let Some(growing) = cache.open_growing(number)? else {
        return web.retry(&listed.url, || download.whole());
    };
    let known = known.filter(|known| known.id.is(growing.id) && known.size == growing.len);
    let have = growing.len.min(listed.size);
    let hasher = match known {
        Some(known) if known.size == have => known.hasher.clone(),
        _ => hash(&growing.file, have).map_err(|source| broken(&growing.path, source))?,
    };
    let extends = known.is_some();
    if have == listed.size {
        return if Sum::of(&hasher) == listed.sum {
            download.keep(growing, hasher, extends)
        } else {
            web.retry(&listed.url, || download.whole())
        };
    }
    let mut start = Some((growing, hasher));
    web.retry(&listed.url, || {
        match &start {
            Some((growing, hasher)) if growing.len > 0 => {
                match download.rest(growing, hasher, extends) {
                    // What is there may be the reason.
                    Err(Failure::Corrupt) => start = None,
                    result => return result,
                }
            }
            _ => {}
        }
        download.whole()
    })
}

struct Download<'a> {
    cache: &'a Cache,
    web: &'a Web,
    listed: &'a Listed,
    is_last: bool,
    to: PathBuf,
    progress: &'a dyn Fn(u64),
}

impl Download<'_> {
    /// The growing file has, or begins with, what was listed.
    fn keep(
        &self,
        growing: Growing,
        hasher: Sha224,
        extends: bool,
    ) -> Result<Obtained, FetchError> {
        if growing.len > self.listed.size {
            let (temp, path) = self.cache.temp()?;
            copy(&growing.file, &temp, self.listed.size).map_err(|source| broken(&path, source))?;
            return self.finish(temp, &path, hasher, false);
        }
        self.finish(growing.file, &growing.path, hasher, extends)
    }

    /// Gives a file that was checked its name.
    fn finish(
        &self,
        file: File,
        path: &Path,
        hasher: Sha224,
        extends: bool,
    ) -> Result<Obtained, FetchError> {
        if path != self.to {
            std::fs::rename(path, &self.to).map_err(|source| broken(&self.to, source))?;
        }
        let id = FileId::of(&file).map_err(|source| broken(&self.to, source))?;
        let tail = self.is_last.then(|| Tail {
            file: Arc::new(file),
            id,
            size: self.listed.size,
            hasher,
        });
        Ok(Obtained {
            path: self.to.clone(),
            tail,
            extends,
        })
    }

    /// Fetches what the growing file does not have, or all, as the server likes.
    fn rest(&self, growing: &Growing, hasher: &Sha224, extends: bool) -> Result<Obtained, Failure> {
        let part = self
            .web
            .segment(&self.listed.url, growing.len, self.listed.size)?;
        let left = self.listed.size - growing.len;
        if part.start == 0 || left > IN_MEMORY {
            let start = (part.start > 0).then_some((growing, hasher));
            return self.to_temp(part, start);
        }
        let (mut bytes, mut hasher) = (Vec::new(), hasher.clone());
        self.read(part, left, |chunk| {
            hasher.update(chunk);
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        if Sum::of(&hasher) != self.listed.sum {
            return Err(Failure::Corrupt);
        }
        let append = || -> io::Result<File> {
            let mut file = growing.file.try_clone()?;
            file.seek(SeekFrom::Start(growing.len))?;
            if let Err(error) = file.write_all(&bytes) {
                // What cannot be taken back is seen by its checksum.
                let _ = file.set_len(growing.len);
                return Err(error);
            }
            Ok(file)
        };
        let file = append().map_err(|source| broken(&growing.path, source))?;
        Ok(self.finish(file, &growing.path, hasher, extends)?)
    }

    fn whole(&self) -> Result<Obtained, Failure> {
        let part = self.web.segment(&self.listed.url, 0, self.listed.size)?;
        self.to_temp(part, None)
    }

    /// Writes a part, behind what it is the rest of, to a file of its own.
    fn to_temp(&self, part: Part, start: Option<(&Growing, &Sha224)>) -> Result<Obtained, Failure> {
        let (mut temp, path) = self.cache.temp()?;
        let cannot = |source| Failure::Final(broken(&path, source));
        let mut hasher = match start {
            Some((growing, hasher)) => {
                copy(&growing.file, &temp, growing.len).map_err(cannot)?;
                hasher.clone()
            }
            None => Sha224::new(),
        };
        let left = self.listed.size - part.start;
        self.read(part, left, |chunk| {
            hasher.update(chunk);
            temp.write_all(chunk).map_err(cannot)
        })?;
        if Sum::of(&hasher) != self.listed.sum {
            return Err(Failure::Corrupt);
        }
        Ok(self.finish(temp, &path, hasher, start.is_some())?)
    }

    /// Reads so many bytes of a part, of which there may be more, for the segment may have grown meanwhile.
    fn read(
        &self,
        part: Part,
        mut left: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut body = part.body.into_reader();
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            (self.progress)(self.listed.size - left);
            let room = left.min(buffer.len() as u64) as usize;
            let read = body.read(&mut buffer[..room]).map_err(cut_off)?;
            if read == 0 {
                return Err(Failure::Passing(
                    "the answer is shorter than was listed".into(),
                ));
            }
            take(&buffer[..read])?;
            left -= read as u64;
        }
        Ok(())
    }
}

/// Copies the first bytes of a file.
fn copy(mut from: &File, mut to: &File, len: u64) -> io::Result<()> {
    from.seek(SeekFrom::Start(0))?;
    let copied = io::copy(&mut from.take(len), &mut to)?;
    if copied < len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
