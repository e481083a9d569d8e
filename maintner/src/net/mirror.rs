use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use crate::net::Follower;
use crate::net::follower::{Segment, SegmentFile};
use crate::reclog::{LOCK_FILE, lock, segments};

/// Why a log could not be copied.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum MirrorError {
    /// Somebody writes the log in that folder.
    InUse { dir: PathBuf },
    /// A file cannot be read, written or removed.
    File { path: PathBuf, source: io::Error },
}

impl Follower {
    /// Makes the log in a folder a copy of what was fetched, for somebody who goes on with it on his own.
    ///
    /// The copy's files are named `maintner-` and as in the cache, so they come before those of any day, which a writer makes. Every other
    /// file of a log in the folder (`maintner-*.mutlog`) is **removed**; nothing else is touched. A file that is there and cannot have changed is
    /// left as it is. The lock of writers is held meanwhile.
    ///
    /// It blocks the thread, for as long as copying takes.
    ///
    /// # Errors
    ///
    /// [`MirrorError`]. The folder may have a part of the copy then: to be done again.
    pub fn mirror(&self, dir: &Path) -> Result<(), MirrorError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| MirrorError::File { path, source }
        };
        fs::create_dir_all(dir).map_err(failed(dir))?;
        let locked = lock(dir, LOCK_FILE).map_err(failed(dir))?;
        let Some(_lock) = locked else {
            return Err(MirrorError::InUse {
                dir: dir.to_owned(),
            });
        };
        let mut names = BTreeSet::new();
        for segment in self.segments() {
            let cached = segment.file.path();
            let name = cached.file_name().unwrap_or_default().to_string_lossy();
            let name = format!("maintner-{name}");
            let copy = dir.join(&name);
            names.insert(name);
            copy_segment(segment, &copy).map_err(failed(&copy))?;
        }
        for file in segments(dir).map_err(failed(dir))? {
            if !names.contains(&file.name) {
                fs::remove_file(&file.path).map_err(failed(&file.path))?;
            }
        }
        Ok(())
    }
}

fn copy_segment(segment: &Segment, copy: &Path) -> io::Result<()> {
    // The name of one that does not grow any more has the hash of what is in it.
    let mut from = match &segment.file {
        SegmentFile::Frozen(_) if has_size(copy, segment.size) => return Ok(()),
        SegmentFile::Frozen(path) => File::open(path)?,
        SegmentFile::Growing(file, _) => {
            let mut file = file.try_clone()?;
            file.rewind()?;
            file
        }
    };
    let unfinished = copy.with_extension("copying");
    let mut to = File::create(&unfinished)?;
    let copied = io::copy(&mut from.by_ref().take(segment.size), &mut to)?;
    if copied != segment.size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    to.sync_all()?;
    drop(to);
    fs::rename(unfinished, copy)
}

fn has_size(file: &Path, size: u64) -> bool {
    fs::metadata(file).is_ok_and(|found| found.is_file() && found.len() == size)
}

impl Display for MirrorError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { dir } => write!(f, "somebody writes the log in {}", dir.display()),
            Self::File { path, .. } => write!(f, "cannot copy the log: {}", path.display()),
        }
    }
}

impl std::error::Error for MirrorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InUse { .. } => None,
            Self::File { source, .. } => Some(source),
        }
    }
}
