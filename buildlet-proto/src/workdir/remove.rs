//! Removes trees, whatever is in them and whoever changes them meanwhile.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;

use crate::archive::FsError;
use crate::archive::sys;

/// Directories held open at a time. Those that lie deeper are first moved up, so that no depth is too much.
const MAX_OPEN: usize = 64;

/// How often a directory is emptied that somebody keeps filling.
const TRIES: usize = 8;

/// Removes what `name` in `parent` is, with all that is in it. Links are removed, not followed; what does not exist is fine.
///
/// Directories that their owner may not write to are made writable first. All that can be removed is, whatever else fails.
///
/// # Errors
///
/// The first one.
pub(super) fn remove_tree(parent: &Dir, name: &OsStr, shown: &Path) -> Result<(), FsError> {
    let mut remover = Remover::default();
    match remover.remove_file(parent, name, shown) {
        Removed::Done => {}
        Removed::IsDirectory => match open(parent, name) {
            Ok(dir) => {
                remover.empty(&dir, shown);
                remover.remove_dir(parent, name, &dir, shown);
            }
            Err(error) => remover.note("open", shown, error),
        },
    }
    remover.result()
}

/// Removes all that is in `dir`.
pub(super) fn remove_contents(dir: &Dir, shown: &Path) -> Result<(), FsError> {
    let mut remover = Remover::default();
    remover.empty(dir, shown);
    remover.result()
}

#[derive(Default)]
struct Remover {
    error: Option<FsError>,
    /// Number of the next directory that is moved up.
    moved: u64,
}

enum Removed {
    /// Or it was not there, or could not be and the error is noted.
    Done,
    IsDirectory,
}

struct Level {
    dir: Dir,
    name: OsString,
    path: PathBuf,
    names: Vec<OsString>,
}

impl Remover {
    fn result(self) -> Result<(), FsError> {
        self.error.map_or(Ok(()), Err)
    }

    fn note(&mut self, operation: &'static str, path: &Path, error: io::Error) {
        if error.kind() != ErrorKind::NotFound && self.error.is_none() {
            self.error = Some(FsError::new(operation, path, error));
        }
    }

    /// Removes all that is in `top`, without recursion: the call stack is small, and trees are of any depth.
    fn empty(&mut self, top: &Dir, shown: &Path) {
        let mut top_names = self.names(top, shown);
        let mut levels: Vec<Level> = Vec::new();
        loop {
            let open = levels.len();
            let (dir, path, names) = match levels.last_mut() {
                Some(level) => (&level.dir, level.path.as_path(), &mut level.names),
                None => (top, shown, &mut top_names),
            };
            let Some(name) = names.pop() else {
                let Some(done) = levels.pop() else { return };
                let parent = levels.last().map_or(top, |level| &level.dir);
                self.remove_dir(parent, &done.name, &done.dir, &done.path);
                continue;
            };
            let path = path.join(&name);
            if let Removed::Done = self.remove_file(dir, &name, &path) {
                continue;
            }
            if open >= MAX_OPEN {
                match self.move_up(dir, &name, top) {
                    Ok(name) => top_names.push(name),
                    Err(error) => self.note("rename", &path, error),
                }
                continue;
            }
            match self::open(dir, &name) {
                Ok(dir) => {
                    let names = self.names(&dir, &path);
                    levels.push(Level {
                        dir,
                        name,
                        path,
                        names,
                    });
                }
                Err(error) => self.note("open", &path, error),
            }
        }
    }

    fn names(&mut self, dir: &Dir, path: &Path) -> Vec<OsString> {
        match sys::names(dir) {
            Ok(names) => names.into_iter().map(|(name, _)| name).collect(),
            Err(error) => {
                self.note("readdirent", path, error);
                Vec::new()
            }
        }
    }

    fn remove_file(&mut self, dir: &Dir, name: &OsStr, path: &Path) -> Removed {
        let mut removed = sys::remove_file(dir, name);
        if denied(&removed) && !is_dir(dir, name) && make_writable(dir).is_ok() {
            removed = sys::remove_file(dir, name);
        }
        match removed {
            Ok(()) => Removed::Done,
            Err(error) if error.kind() == ErrorKind::NotFound => Removed::Done,
            Err(_) if is_dir(dir, name) => Removed::IsDirectory,
            Err(error) => {
                self.note("unlinkat", path, error);
                Removed::Done
            }
        }
    }

    /// Removes the directory `name`, open as `dir`, that was just emptied.
    fn remove_dir(&mut self, parent: &Dir, name: &OsStr, dir: &Dir, path: &Path) {
        for _ in 0..TRIES {
            let mut removed = sys::remove_dir(parent, name);
            if denied(&removed) && make_writable(parent).is_ok() {
                removed = sys::remove_dir(parent, name);
            }
            match removed {
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                    if self.error.is_some() {
                        // That is why.
                        return;
                    }
                    // Somebody made something in it meanwhile: most often files, seldom more.
                    for name in self.names(dir, path) {
                        if let Err(error) = remove_tree(dir, &name, &path.join(&name)) {
                            self.error.get_or_insert(error);
                        }
                    }
                }
                Ok(()) => return,
                Err(error) => return self.note("unlinkat", path, error),
            }
        }
        self.note("unlinkat", path, ErrorKind::DirectoryNotEmpty.into());
    }

    /// Moves the directory `name` to `top`, under a name that is free.
    fn move_up(&mut self, dir: &Dir, name: &OsStr, top: &Dir) -> io::Result<OsString> {
        loop {
            let free = OsString::from(format!(".removed-{}", self.moved));
            self.moved += 1;
            let mut moved = sys::rename((dir, name), (top, &free));
            if denied(&moved) {
                // Moving a directory changes it (its `..`), the one it leaves and the one it enters.
                make_writable(&self::open(dir, name)?)?;
                make_writable(dir)?;
                make_writable(top)?;
                moved = sys::rename((dir, name), (top, &free));
            }
            match moved {
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::AlreadyExists
                            | ErrorKind::DirectoryNotEmpty
                            | ErrorKind::NotADirectory
                    ) => {}
                result => return result.map(|()| free),
            }
        }
    }
}

fn denied(result: &io::Result<()>) -> bool {
    result
        .as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

fn is_dir(dir: &Dir, name: &OsStr) -> bool {
    sys::stat(dir, name).is_ok_and(|meta| meta.is_dir())
}

/// Opens the directory to read it, if need be after permitting that.
fn open(parent: &Dir, name: &OsStr) -> io::Result<Dir> {
    match sys::open_dir(parent, name) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            sys::make_dir_accessible(parent, name)?;
            sys::open_dir(parent, name)
        }
        result => result,
    }
}

fn make_writable(dir: &Dir) -> io::Result<()> {
    let mode = sys::stat_dir(dir)?.mode;
    sys::set_dir_mode(dir, (mode & 0o7777) | 0o700)
}
