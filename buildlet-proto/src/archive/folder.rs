use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::fs_error::FsError;
use super::sys;
use crate::types::RelativePath;

/// A directory that is held open, and all that archives and file operations reach.
///
/// Paths are resolved from the open directory, by the kernel where it can (`openat2` with `RESOLVE_BENEATH`) and else one name
/// at a time. Symbolic links are followed as long as they stay inside; absolute ones and those that lead out are refused.
/// That holds against other processes too, which may replace directories by links at any moment.
///
/// Cheap to clone: clones share the open directory.
#[derive(Clone, Debug)]
pub struct Folder {
    dir: Arc<Dir>,
    path: PathBuf,
}

/// Permissions of directories that are made on the way, under the umask of the process.
const PARENT_MODE: u32 = 0o755;

impl Folder {
    /// Opens the directory at `path`, which may be a link to one.
    ///
    /// # Errors
    ///
    /// When it is missing, no directory, or not readable.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FsError> {
        let path = path.as_ref();
        let dir = Dir::open_ambient_dir(path, ambient_authority())
            .map_err(|error| FsError::new("open", path, error))?;
        Ok(Self::new(dir, path.to_owned()))
    }

    pub(crate) fn new(dir: Dir, path: PathBuf) -> Self {
        Self {
            dir: Arc::new(dir),
            path,
        }
    }

    /// The path it was opened by, as error texts show it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn dir(&self) -> &Arc<Dir> {
        &self.dir
    }

    /// `path` as error texts show it.
    pub(crate) fn shown(&self, path: &Path) -> PathBuf {
        if path == Path::new(".") || path.as_os_str().is_empty() {
            self.path.clone()
        } else {
            self.path.join(path)
        }
    }

    /// Opens the directory at `path`, which may be a link to one inside.
    ///
    /// # Errors
    ///
    /// When it is missing, no directory, not readable, or outside.
    pub fn folder(&self, path: &RelativePath) -> Result<Self, FsError> {
        let shown = self.shown(path.as_path());
        match self.dir.open_dir(path.as_path()) {
            Ok(dir) => Ok(Self::new(dir, shown)),
            Err(error) => Err(FsError::new("open", shown, error)),
        }
    }

    /// Opens the directory at `path`, after making it and its parents with mode 0755 where they are missing.
    ///
    /// # Errors
    ///
    /// When something on the way is no directory or leads outside, or making one fails.
    pub fn make_folder(&self, path: &RelativePath) -> Result<Self, FsError> {
        Ok(Self {
            dir: self.make_dir(path.as_path())?,
            path: self.shown(path.as_path()),
        })
    }

    /// Makes the directory at `path`, which is clean, with its parents.
    pub(crate) fn make_dir(&self, path: &Path) -> Result<Arc<Dir>, FsError> {
        let mut steps = Steps::from(self, Links::FollowInside, PathBuf::new());
        let mut step = Step::base(self);
        for name in names(path) {
            step = steps.enter(&step, name, Missing::Make)?;
        }
        Ok(step.dir)
    }
}

/// How often a name is tried that another process makes and removes meanwhile.
const TRIES: usize = 16;

/// Whether a directory may be reached through a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// If the link stays inside.
    FollowInside,
    Refuse,
}

/// What to do about a directory that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    Make,
    Fail,
}

/// Walks down from a folder, a name at a time.
pub(crate) struct Steps<'a> {
    base: &'a Folder,
    links: Links,
    /// Where the walk is, from the base.
    at: PathBuf,
}

/// A directory on the way.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) dir: Arc<Dir>,
    /// It was made on this walk, and so has nothing in it that was there before.
    pub(crate) made: bool,
    /// A link led here: the directory has another path too.
    pub(crate) linked: bool,
}

impl Step {
    /// The beginning.
    pub(crate) fn base(base: &Folder) -> Self {
        Self {
            dir: base.dir.clone(),
            made: false,
            linked: false,
        }
    }
}

impl<'a> Steps<'a> {
    /// Goes on from the directory `at`.
    pub(crate) fn from(base: &'a Folder, links: Links, at: PathBuf) -> Self {
        Self { base, links, at }
    }

    /// Where the walk is, from the base.
    pub(crate) fn at(&self) -> &Path {
        &self.at
    }

    /// Opens the directory `name` in `parent`, where the walk is.
    pub(crate) fn enter(
        &mut self,
        parent: &Step,
        name: &OsStr,
        missing: Missing,
    ) -> Result<Step, FsError> {
        let Step {
            dir: parent,
            linked,
            ..
        } = parent;
        self.at.push(name);
        let failed = |error| FsError::new("mkdir", self.base.shown(&self.at), error);
        let mut made = false;
        for _ in 0..TRIES {
            match sys::open_dir(parent, name) {
                Ok(dir) => {
                    return Ok(Step {
                        dir: Arc::new(dir),
                        made,
                        linked: *linked,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => match missing {
                    Missing::Make => match sys::make_dir(parent, name, PARENT_MODE) {
                        Ok(()) => made = true,
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                        Err(error) => return Err(failed(error)),
                    },
                    Missing::Fail => return Err(failed(error)),
                },
                Err(error) if sys::is_not_a_dir(&error) => {
                    let link = sys::stat(parent, name).is_ok_and(|meta| meta.is_symlink());
                    if !link {
                        return Err(failed(sys::not_a_dir()));
                    }
                    if self.links == Links::Refuse {
                        return Err(failed(io::Error::other("is a symbolic link")));
                    }
                    return match self.base.dir.open_dir(&self.at) {
                        Ok(dir) => Ok(Step {
                            dir: Arc::new(dir),
                            made: false,
                            linked: true,
                        }),
                        // A link that leads nowhere stands where the directory would be made.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {
                            Err(failed(sys::exists()))
                        }
                        Err(error) => Err(failed(error)),
                    };
                }
                Err(error) => return Err(failed(error)),
            }
        }
        // It comes and goes as fast as it is looked at.
        Err(failed(sys::exists()))
    }
}

/// The names of a clean relative path; none for `.`.
pub(crate) fn names(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        _ => None,
    })
}
