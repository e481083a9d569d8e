use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest as _, Sha224};

use crate::net::FetchError;
use crate::reclog::{Blocks, Lock, lock};
use crate::segment_name;
use crate::sum::Sum;

/// Who has it may write. It stays when they have gone.
const LOCK_FILE: &str = "maintner-cache.lock";
/// Longer than any segment of a sane log takes.
const LOCK_LIMIT: Duration = Duration::from_secs(600);
const LOCK_POLL: Duration = Duration::from_millis(10);
/// What is being written. Go's are called alike, with digits.
const TEMP_FILE: &str = "tempseg-maintner";

/// The folder in which segments are kept.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
}

/// The file of a segment that may grow.
#[derive(Debug)]
pub(super) struct Growing {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) len: u64,
    pub(super) id: FileId,
}

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId(Option<(u64, u64)>);

impl FileId {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let metadata = file.metadata()?;
            Ok(Self(Some((metadata.dev(), metadata.ino()))))
        }
        #[cfg(not(unix))]
        {
            let _ = file;
            Ok(Self(None))
        }
    }

    /// False also if the system does not tell.
    pub(super) fn is(self, other: Self) -> bool {
        self.0.is_some() && self == other
    }
}

impl Cache {
    pub(super) fn open(dir: &Path) -> Result<Self, FetchError> {
        let mut make = std::fs::DirBuilder::new();
        make.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
        make.create(dir).map_err(|source| broken(dir, source))?;
        let dir = dir.to_owned();
        Ok(Self { dir })
    }

    /// Waits for its turn.
    pub(super) fn lock(&self) -> Result<Lock, FetchError> {
        let deadline = Instant::now() + LOCK_LIMIT;
        loop {
            match lock(&self.dir, LOCK_FILE) {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) if Instant::now() < deadline => thread::sleep(LOCK_POLL),
                Ok(None) => {
                    let dir = self.dir.clone();
                    return Err(FetchError::Locked { dir });
                }
                Err(source) => return Err(broken(&self.dir.join(LOCK_FILE), source)),
            }
        }
    }

    pub(super) fn frozen_path(&self, number: usize, sum: &Sum) -> PathBuf {
        self.dir.join(segment_name::of(number, sum))
    }

    pub(super) fn growing_path(&self, number: usize) -> PathBuf {
        self.dir.join(format!("{number:04}.growing.mutlog"))
    }

    /// Whether there is a frozen segment that is what its name says.
    pub(super) fn has_frozen(
        &self,
        number: usize,
        size: u64,
        sum: &Sum,
    ) -> Result<bool, FetchError> {
        let path = self.frozen_path(number, sum);
        let check = || -> io::Result<bool> {
            let file = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                file => file?,
            };
            let right_size = file.metadata()?.len() == size;
            Ok(right_size && Sum::of(&hash(&file, size)?) == *sum)
        };
        check().map_err(|source| broken(&path, source))
    }

    pub(super) fn open_growing(&self, number: usize) -> Result<Option<Growing>, FetchError> {
        let path = self.growing_path(number);
        let open = || -> io::Result<Option<Growing>> {
            let file = match OpenOptions::new().read(true).write(true).open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                file => file?,
            };
            let len = file.metadata()?.len();
            let id = FileId::of(&file)?;
            let path = path.clone();
            Ok(Some(Growing {
                file,
                path,
                len,
                id,
            }))
        };
        open().map_err(|source| broken(&path, source))
    }

    /// A new file, empty, that nobody looks at before it is renamed. The cache must be locked.
    pub(super) fn temp(&self) -> Result<(File, PathBuf), FetchError> {
        let path = self.dir.join(TEMP_FILE);
        let open = || {
            // Somebody may have the old one, under another name.
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(&path)
        };
        let file = open().map_err(|source| broken(&path, source))?;
        Ok((file, path))
    }

    /// The segments that can be used without a server: from the first on, up to one that is missing or may grow.
    pub(super) fn usable(&self) -> Result<Vec<Usable>, FetchError> {
        let list = || -> io::Result<Vec<(u64, Sum)>> {
            let mut frozen = Vec::new();
            for entry in std::fs::read_dir(&self.dir)? {
                let name = entry?.file_name();
                frozen.extend(name.to_str().and_then(segment_name::parse));
            }
            Ok(frozen)
        };
        let frozen = list().map_err(|source| broken(&self.dir, source))?;
        let mut usable = Vec::new();
        loop {
            let number = usable.len();
            let mut found: Option<(Option<SystemTime>, u64, Sum, PathBuf)> = None;
            for (_, sum) in frozen.iter().filter(|(n, _)| *n == number as u64) {
                let path = self.frozen_path(number, sum);
                let size = std::fs::metadata(&path)
                    .map_err(|source| broken(&path, source))?
                    .len();
                // After a split there may be two: the newer is of the history that goes on.
                let age = std::fs::metadata(&path).and_then(|m| m.modified()).ok();
                if found.as_ref().is_none_or(|(other, ..)| *other < age)
                    && self.has_frozen(number, size, sum)?
                {
                    found = Some((age, size, *sum, path));
                }
            }
            if let Some((_, size, sum, path)) = found {
                usable.push(Usable {
                    size,
                    sum,
                    path,
                    growing: None,
                });
                continue;
            }
            if let Some(growing) = self.open_growing(number)? {
                let path = growing.path.clone();
                let (hasher, size) =
                    whole_records(&growing.file).map_err(|source| broken(&path, source))?;
                let sum = Sum::of(&hasher);
                usable.push(Usable {
                    size,
                    sum,
                    path,
                    growing: Some((growing, hasher)),
                });
            }
            return Ok(usable);
        }
    }
}

/// A segment that was found in the cache.
#[derive(Debug)]
pub(super) struct Usable {
    pub(super) size: u64,
    pub(super) sum: Sum,
    pub(super) path: PathBuf,
    pub(super) growing: Option<(Growing, Sha224)>,
}

pub(super) fn broken(path: &Path, source: io::Error) -> FetchError {
    FetchError::Cache {
        path: path.to_owned(),
        source,
    }
}

/// Of the first bytes of a file, so many or what there is.
pub(super) fn hash(mut file: &File, len: u64) -> io::Result<Sha224> {
    file.seek(SeekFrom::Start(0))?;
    let mut file = file.take(len);
    let mut hasher = Sha224::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// The hash and the length of the records of a file, up to the first thing that is none.
fn whole_records(mut file: &File) -> io::Result<(Sha224, u64)> {
    file.seek(SeekFrom::Start(0))?;
    let mut blocks = Blocks::new(file, 0);
    let (mut hasher, mut size) = (Sha224::new(), 0);
    let mut memory = Vec::new();
    loop {
        match blocks.next(std::mem::take(&mut memory)) {
            Ok(Some(block)) => {
                hasher.update(&block.data);
                size += block.data.len() as u64;
                memory = block.data;
            }
            Err(crate::reclog::ReadError::Io { source, .. }) => return Err(source),
            Ok(None) | Err(_) => return Ok((hasher, size)),
        }
    }
}
