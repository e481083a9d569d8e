use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::list::Listing;
use super::remove::{remove_contents, remove_tree};
use super::{ListError, WriteError, default_place};
use crate::archive::folder::names;
use crate::archive::{
    CreateError, CreateOptions, Encoding, ExtractError, Folder, FsError, Policy, Source, Summary,
};
use crate::archive::{extract, place, sys};
use crate::types::{FileMode, ListRequest, RelativePath};

/// A buildlet's work directory.
///
/// Operations take paths relative to it. If the directory is gone, because [`remove_all`](Self::remove_all) took `.` or a
/// command removed it, the next operation makes it again.
///
/// ```
/// use buildlet_proto::types::{FileMode, PathStyle, RelativePath};
/// use buildlet_proto::workdir::Workdir;
///
/// # let temp = tempfile::tempdir()?;
/// let workdir = Workdir::open(temp.path())?;
/// let path = RelativePath::parse("go/VERSION", PathStyle::NATIVE)?;
/// workdir.write_file(&path, FileMode::from_unix(0o644), &b"devel"[..], 1 << 20)?;
/// assert_eq!(std::fs::read(workdir.path().join("go/VERSION"))?, b"devel");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Workdir {
    /// As given, but absolute.
    path: PathBuf,
    /// The directory's parent and its name there, links resolved; `None` for the root of the file system.
    place: Option<(PathBuf, OsString)>,
    held: Mutex<Folder>,
}

impl Workdir {
    /// The directory for temporary files of commands.
    pub const TMP: &str = "tmp";
    /// The directory for Go's build cache.
    pub const GOCACHE: &str = "gocache";
    /// The directory for gopls' cache.
    pub const GOPLSCACHE: &str = "goplscache";

    /// Opens the directory at `path`, which must exist. It may be a link to one; nothing in it is changed.
    ///
    /// # Errors
    ///
    /// When there is no such directory, or it cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FsError> {
        let path = path.as_ref();
        let path = std::path::absolute(path).map_err(|error| FsError::new("open", path, error))?;
        let failed = |error| FsError::new("open", &path, error);
        let real = path.canonicalize().map_err(failed)?;
        let dir = Dir::open_ambient_dir(&real, ambient_authority()).map_err(failed)?;
        let place = real.parent().zip(real.file_name());
        let place = place.map(|(parent, name)| (parent.to_owned(), name.to_owned()));
        let held = Folder::new(dir, path.clone());
        Ok(Self {
            path,
            place,
            held: Mutex::new(held),
        })
    }

    /// Opens the directory that a buildlet uses if it is told none.
    ///
    /// On Linux that is `/workdir` if it is a tmpfs on which programs may be executed, after remounting it if need be; on
    /// Windows `C:\workdir`, which is made but not emptied. Else it is `workdir`, or `workdir-TYPE` with a host type, in the system's folder for temporary
    /// files: what is there is removed, and the directory made anew with mode 0755.
    ///
    /// # Errors
    ///
    /// When that cannot be made, or something there belongs to somebody else.
    pub fn open_default(host_type: Option<&str>) -> Result<Self, FsError> {
        Self::open(default_place::prepare(host_type)?)
    }

    /// Its absolute path: what `/workdir` tells, and where commands find what was written.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory if it is gone.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or something else is in its place.
    pub fn ensure(&self) -> Result<(), FsError> {
        self.folder().map(drop)
    }

    /// The directory, open; made again if it is gone.
    ///
    /// # Errors
    ///
    /// As [`ensure`](Self::ensure).
    pub fn folder(&self) -> Result<Folder, FsError> {
        let mut held = self.held();
        if let Some((parent, name)) = &self.place {
            let opened = open_again(held.dir(), parent, name);
            let opened = opened.map_err(|error| FsError::new("mkdir", &self.path, error))?;
            if let Some(dir) = opened {
                *held = Folder::new(dir, self.path.clone());
            }
        }
        Ok(held.clone())
    }

    fn held(&self) -> MutexGuard<'_, Folder> {
        // Whatever panicked, it is a handle.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the directories [`TMP`](Self::TMP), [`GOCACHE`](Self::GOCACHE) and [`GOPLSCACHE`](Self::GOPLSCACHE) where they
    /// are missing, as before each command.
    ///
    /// # Errors
    ///
    /// When one cannot be made.
    pub fn ensure_folders(&self) -> Result<(), FsError> {
        let folder = self.folder()?;
        for name in [Self::TMP, Self::GOCACHE, Self::GOPLSCACHE] {
            folder.make_dir(Path::new(name))?;
        }
        Ok(())
    }

    /// Removes these directories with all that is in them and makes them anew, as at the start of a buildlet.
    ///
    /// # Errors
    ///
    /// When one cannot be removed or made.
    pub fn reset_folders(&self) -> Result<(), FsError> {
        let folder = self.folder()?;
        for name in [Self::TMP, Self::GOCACHE, Self::GOPLSCACHE] {
            remove_tree(
                folder.dir(),
                OsStr::new(name),
                &folder.shown(Path::new(name)),
            )?;
        }
        self.ensure_folders()
    }

    /// Whether there is a directory at `path`, or a link inside that leads to one.
    #[must_use]
    pub fn is_dir(&self, path: &RelativePath) -> bool {
        self.held()
            .dir()
            .metadata(path.as_path())
            .is_ok_and(|meta| meta.is_dir())
    }

    /// Writes a file, as `/write` does: parents are made with mode 0755, what was there is replaced, and the mode is set with its
    /// set-id and sticky bits whatever the umask. Returns the number of bytes.
    ///
    /// A link is followed if it stays inside. A file that has other names too is replaced by a new one.
    ///
    /// # Errors
    ///
    /// When the mode has a type, the file cannot be made or written, `content` fails, or has more than `limit` bytes.
    pub fn write_file(
        &self,
        path: &RelativePath,
        mode: FileMode,
        mut content: impl Read,
        limit: u64,
    ) -> Result<u64, WriteError> {
        if !mode.is_regular() {
            return Err(WriteError::Mode);
        }
        let folder = self.folder()?;
        let path = path.as_path();
        let shown = folder.shown(path);
        let failed = |operation, error| FsError::new(operation, &shown, error);
        let parent = match path.parent() {
            Some(parent) if names(path).next().is_some() => folder.make_dir(parent)?,
            _ => return Err(failed("open", sys::is_a_dir()).into()),
        };
        let permissions = mode.to_unix_permissions();
        let mut file = place::open_through(&folder, &parent, path, permissions & 0o777)
            .map_err(|error| failed("open", error))?;
        let mut written = 0;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let len = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(WriteError::Content(error)),
            };
            written += len as u64;
            if written > limit {
                return Err(WriteError::TooLarge { limit });
            }
            file.write_all(&buffer[..len])
                .map_err(|error| failed("write", error))?;
        }
        // Writing may have cleared set-id bits, and the umask others.
        sys::set_file_mode(&file, permissions).map_err(|error| failed("chmod", error))?;
        Ok(written)
    }

    /// Lists a directory, as `/ls` does. `dir` is the directory of `request`, checked; `.` if that is empty.
    ///
    /// # Errors
    ///
    /// When there is nothing at `dir` that can be listed. More errors can come with the entries.
    pub fn list(&self, dir: &RelativePath, request: &ListRequest) -> Result<Listing, ListError> {
        Listing::new(&self.folder()?, dir, request)
    }

    /// Removes what is at each of `paths`, with all that is in it, as `/removeall` does; what does not exist is fine. `.` removes the work directory
    /// itself, or all that is in it if it cannot be removed, as a mount point cannot.
    ///
    /// Links at the end of a path are removed, not followed. What forbids its owner to write is removed nevertheless.
    ///
    /// # Errors
    ///
    /// The first thing that could not be removed. What comes after it in the same directories is removed, later paths are not.
    pub fn remove_all(&self, paths: &[RelativePath]) -> Result<(), FsError> {
        for path in paths {
            if path.is_base() {
                self.remove_itself()?;
                continue;
            }
            let folder = self.folder()?;
            let path = path.as_path();
            let shown = folder.shown(path);
            let Some(name) = path.file_name() else {
                continue;
            };
            let parent = match path.parent() {
                Some(parent) if names(parent).next().is_some() => {
                    match folder.dir().open_dir(parent) {
                        Ok(dir) => Arc::new(dir),
                        Err(error) if error.kind() == ErrorKind::NotFound => continue,
                        Err(error) => return Err(FsError::new("unlinkat", shown, error)),
                    }
                }
                _ => folder.dir().clone(),
            };
            remove_tree(&parent, name, &shown)?;
        }
        Ok(())
    }

    fn remove_itself(&self) -> Result<(), FsError> {
        let held = self.held().clone();
        remove_contents(held.dir(), &self.path)?;
        let Some((parent, name)) = &self.place else {
            return Ok(());
        };
        match remove_place(held.dir(), parent, name) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                // It is empty: that is what counts.
                match sys::names(held.dir()) {
                    Ok(names) if names.is_empty() => Ok(()),
                    _ => Err(FsError::new("unlinkat", &self.path, error)),
                }
            }
            _ => Ok(()),
        }
    }

    /// Unpacks an archive into `dir`, as `/writetgz` does: see [`extract`]. `dir` is made with its parents.
    ///
    /// # Errors
    ///
    /// Those of [`extract`], and [`ExtractErrorKind::Base`](crate::archive::ExtractErrorKind::Base) if `dir` cannot be made.
    pub fn extract(
        &self,
        dir: &RelativePath,
        source: impl Read,
        encoding: Encoding,
        policy: &Policy,
    ) -> Result<Summary, ExtractError> {
        let folder = self
            .folder()
            .and_then(|folder| folder.make_folder(dir))
            .map_err(ExtractError::base)?;
        extract(source, encoding, &folder, policy)
    }

    /// Finds what is to be archived, as `/tgz` does: see [`Source`].
    ///
    /// # Errors
    ///
    /// When it does not exist or cannot be read. Nothing was written then.
    pub fn archive(
        &self,
        path: &RelativePath,
        options: CreateOptions,
    ) -> Result<Source, CreateError> {
        Source::open(&self.folder()?, path, options)
    }
}

/// Opens the directory `name` in `parent`, made if it is missing, unless that is `held` still.
fn open_again(held: &Dir, parent: &Path, name: &OsStr) -> io::Result<Option<Dir>> {
    let parent_dir = match Dir::open_ambient_dir(parent, ambient_authority()) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Dir::create_ambient_dir_all(parent, ambient_authority())?;
            Dir::open_ambient_dir(parent, ambient_authority())?
        }
        opened => opened?,
    };
    match sys::stat(&parent_dir, name) {
        Ok(meta) if meta.identity == sys::stat_dir(held)?.identity => return Ok(None),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            match sys::make_dir(&parent_dir, name, 0o755) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Err(error) => return Err(error),
    }
    sys::open_dir(&parent_dir, name).map(Some)
}

/// Removes the empty directory `held` from its place, unless another one is there.
fn remove_place(held: &Dir, parent: &Path, name: &OsStr) -> io::Result<()> {
    let parent = Dir::open_ambient_dir(parent, ambient_authority())?;
    if sys::stat(&parent, name)?.identity != sys::stat_dir(held)?.identity {
        return Ok(());
    }
    sys::remove_dir(&parent, name)
}
