//! The numbered files of a folder, as a bucket is to have them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha224};

use crate::leader::BucketLogError;
use crate::reclog::{Blocks, ReadError, number, segments};
use crate::sum::Sum;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// A file and how long it was.
#[derive(Debug, Clone)]
pub(super) struct LocalFile {
    pub(super) path: PathBuf,
    pub(super) len: u64,
}

/// The files by their numbers.
pub(super) fn list(dir: &Path) -> Result<BTreeMap<u64, LocalFile>, BucketLogError> {
    let mut files = BTreeMap::new();
    for segment in segments(dir).map_err(|source| failed(dir, source))? {
        let (path, len) = (segment.path, segment.len);
        match number::parse(&segment.name) {
            Some(number) => files.insert(number, LocalFile { path, len }),
            None => return Err(BucketLogError::Foreign { file: path }),
        };
    }
    Ok(files)
}

/// The checksum of a file's first bytes.
pub(super) fn sum_of(path: &Path, len: u64) -> Result<Sum, BucketLogError> {
    let sum = || {
        let mut file = File::open(path)?.take(len);
        let mut hasher = Sha224::new();
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(Sum::of(&hasher)),
                Ok(read) => hasher.update(&piece[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    };
    sum().map_err(|source| failed(path, source))
}

/// Whether a file begins with all of another one.
pub(super) fn begins_with(path: &Path, other: &LocalFile) -> Result<bool, BucketLogError> {
    Ok(sum_of(path, other.len)? == sum_of(&other.path, other.len)?)
}

/// How long the whole records of a file are, and their checksum: somebody may be writing the next.
pub(super) fn whole(path: &Path) -> Result<(u64, Sum), BucketLogError> {
    let file = File::open(path).map_err(|source| failed(path, source))?;
    let mut blocks = Blocks::new(file, 0);
    let (mut size, mut hasher, mut memory) = (0, Sha224::new(), Vec::new());
    loop {
        match blocks.next(memory) {
            Ok(Some(block)) => {
                hasher.update(&block.data);
                size += block.data.len() as u64;
                memory = block.data;
            }
            Err(error) if !error.is_incomplete() => {
                let file = path.to_owned();
                return Err(match error {
                    ReadError::Io { source, .. } => failed(&file, source),
                    source => BucketLogError::Segment { file, source },
                });
            }
            Ok(None) | Err(_) => return Ok((size, Sum::of(&hasher))),
        }
    }
}

/// A file that becomes a segment when it is whole.
#[derive(Debug)]
pub(super) struct Arriving {
    file: File,
    path: PathBuf,
    hasher: Sha224,
}

impl Arriving {
    pub(super) fn new(dir: &Path) -> Result<Self, BucketLogError> {
        let path = dir.join("arriving-segment");
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options
            .open(&path)
            .map_err(|source| failed(&path, source))?;
        let hasher = Sha224::new();
        Ok(Self { file, path, hasher })
    }

    pub(super) fn write(&mut self, piece: &[u8]) -> Result<(), BucketLogError> {
        self.hasher.update(piece);
        let written = self.file.write_all(piece);
        written.map_err(|source| failed(&self.path, source))
    }

    pub(super) fn sum(&self) -> Sum {
        Sum::of(&self.hasher)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the place of `path`, for good.
    pub(super) fn becomes(self, path: &Path) -> Result<(), BucketLogError> {
        let become_it = || {
            self.file.sync_all()?;
            std::fs::rename(&self.path, path)?;
            match path.parent() {
                Some(dir) => crate::reclog::sync_dir(dir),
                None => Ok(()),
            }
        };
        become_it().map_err(|source| failed(path, source))
    }
}

pub(super) fn failed(path: &Path, source: io::Error) -> BucketLogError {
    let path = path.to_owned();
    BucketLogError::Io { path, source }
}
