//! Goes through a tree in the order of its names, links not followed.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

use cap_std::fs::Dir;

use super::error::CreateError;
use super::folder::{Folder, names};
use super::fs_error::FsError;
use super::header::Kind;
use super::sys::{self, Meta};

/// Directories that a walk goes down: each is held open while the walk is in it.
pub(crate) const MAX_DEPTH: usize = 256;

/// Depth-first through a directory, in the byte order of names, each directory before what is in it.
///
/// Does not enter a directory by itself: [`enter`](Self::enter) does.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The path of the beginning, as error texts show it.
    shown: PathBuf,
    levels: Vec<Level>,
    /// The beginning, if it is no directory: all there is.
    single: Option<Found>,
}

#[derive(Debug)]
struct Level {
    dir: Arc<Dir>,
    path: PathBuf,
    names: vec::IntoIter<(OsString, Option<Kind>)>,
}

/// Something that the walk came by.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) dir: Arc<Dir>,
    /// Its name in `dir`.
    pub(crate) name: OsString,
    /// From the beginning of the walk; empty for the beginning itself.
    pub(crate) path: PathBuf,
    /// What it was when the directory was read, if the system said so.
    pub(crate) kind: Option<Kind>,
}

impl Found {
    pub(crate) fn stat(&self) -> std::io::Result<Meta> {
        sys::stat(&self.dir, &self.name)
    }
}

impl Walk {
    /// Begins at `path`. A link there is not followed, but links to its parents are.
    pub(crate) fn new(folder: &Folder, path: &Path) -> Result<Self, FsError> {
        let mut walk = Self {
            shown: folder.shown(path),
            levels: Vec::new(),
            single: None,
        };
        let Some(name) = names(path).last() else {
            walk.push(folder.dir().clone(), PathBuf::new())?;
            return Ok(walk);
        };
        let lstat = |error| FsError::new("lstat", folder.shown(path), error);
        let dir = match path.parent() {
            Some(parent) if names(parent).next().is_some() => {
                Arc::new(folder.dir().open_dir(parent).map_err(lstat)?)
            }
            _ => folder.dir().clone(),
        };
        let kind = sys::stat(&dir, name).map_err(lstat)?.kind();
        if kind == Some(Kind::Directory) {
            let dir = sys::open_dir(&dir, name);
            let dir = dir.map_err(|error| FsError::new("open", folder.shown(path), error))?;
            walk.push(Arc::new(dir), PathBuf::new())?;
        } else {
            walk.single = Some(Found {
                dir,
                name: name.to_owned(),
                path: PathBuf::new(),
                kind,
            });
        }
        Ok(walk)
    }

    /// The path of what was found, as error texts show it.
    pub(crate) fn shown(&self, path: &Path) -> PathBuf {
        shown(&self.shown, path)
    }

    /// The path of the beginning, as error texts show it.
    pub(crate) fn beginning(&self) -> &Path {
        &self.shown
    }

    /// Goes on inside of a directory that was found last.
    pub(crate) fn enter(&mut self, found: &Found) -> Result<(), CreateError> {
        if self.levels.len() >= MAX_DEPTH {
            return Err(CreateError::Depth {
                path: self.shown(&found.path),
                most: MAX_DEPTH,
            });
        }
        let dir = sys::open_dir(&found.dir, &found.name)
            .map_err(|error| FsError::new("open", self.shown(&found.path), error))?;
        Ok(self.push(Arc::new(dir), found.path.clone())?)
    }

    fn push(&mut self, dir: Arc<Dir>, path: PathBuf) -> Result<(), FsError> {
        let mut names = sys::names(&dir)
            .map_err(|error| FsError::new("readdirent", self.shown(&path), error))?;
        names.sort_unstable_by(|(a, _), (b, _)| bytes(a).cmp(bytes(b)));
        self.levels.push(Level {
            dir,
            path,
            names: names.into_iter(),
        });
        Ok(())
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if let Some(single) = self.single.take() {
            return Some(single);
        }
        loop {
            let level = self.levels.last_mut()?;
            if let Some((name, kind)) = level.names.next() {
                return Some(Found {
                    dir: level.dir.clone(),
                    path: level.path.join(&name),
                    name,
                    kind,
                });
            }
            self.levels.pop();
        }
    }
}

fn bytes(name: &OsStr) -> &[u8] {
    sys::bytes(name)
}

/// `path` below `beginning`, which it is itself if empty.
pub(crate) fn shown(beginning: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() {
        return beginning.to_owned();
    }
    beginning.join(path)
}

/// The bytes of a path, with `/` between names.
pub(crate) fn path_bytes(path: &Path) -> Vec<u8> {
    let bytes = sys::bytes(path.as_os_str());
    if cfg!(windows) {
        let slash = |&byte: &u8| if byte == b'\\' { b'/' } else { byte };
        return bytes.iter().map(slash).collect();
    }
    bytes.to_vec()
}
