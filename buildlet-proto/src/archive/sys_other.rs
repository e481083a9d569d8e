//! What is done with one name in an open directory, where there is no `openat` of Unix: by cap-std. None of it follows a link.
//!
//! Permissions are the read-only flag here, owners are nobody, and symbolic links are not made.

use std::ffi::{OsStr, OsString};
use std::fs::{File, FileTimes};
use std::io::{self, ErrorKind};
use std::time::SystemTime;

use cap_fs_ext::{DirExt as _, FollowSymlinks, MetadataExt as _, OpenOptionsFollowExt as _};
use cap_std::fs::{Dir, FileType, Metadata, OpenOptions};

use super::header::Kind;
use super::timestamp::Timestamp;

/// What `lstat` would say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    /// As `st_mode`, with the type.
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) mtime: Timestamp,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u64,
    /// Volume and number of the file.
    pub(crate) identity: (u64, u64),
    /// Of no device.
    pub(crate) device: (u32, u32),
    kind: Option<Kind>,
}

impl Meta {
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.kind
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.kind == Some(Kind::Directory)
    }

    pub(crate) fn is_regular(&self) -> bool {
        self.kind == Some(Kind::Regular)
    }

    pub(crate) fn is_symlink(&self) -> bool {
        self.kind == Some(Kind::Symlink)
    }

    fn of(meta: &Metadata) -> Self {
        let kind = kind_of(meta.file_type());
        let permissions = match (kind, meta.permissions().readonly()) {
            (Some(Kind::Directory), false) => 0o755,
            (Some(Kind::Directory), true) => 0o555,
            (_, false) => 0o644,
            (_, true) => 0o444,
        };
        let modified = meta.modified().map(cap_std::time::SystemTime::into_std);
        Self {
            mode: kind.map_or(0, Kind::unix_type) | permissions,
            size: meta.len(),
            mtime: modified.map(Timestamp::of).unwrap_or_default(),
            uid: 0,
            gid: 0,
            links: meta.nlink(),
            identity: (meta.dev(), meta.ino()),
            device: (0, 0),
            kind,
        }
    }
}

fn kind_of(file_type: FileType) -> Option<Kind> {
    if file_type.is_file() {
        Some(Kind::Regular)
    } else if file_type.is_dir() {
        Some(Kind::Directory)
    } else if file_type.is_symlink() {
        Some(Kind::Symlink)
    } else {
        None
    }
}

pub(crate) fn stat(dir: &Dir, name: &OsStr) -> io::Result<Meta> {
    dir.symlink_metadata(name).map(|meta| Meta::of(&meta))
}

pub(crate) fn stat_dir(dir: &Dir) -> io::Result<Meta> {
    dir.dir_metadata().map(|meta| Meta::of(&meta))
}

pub(crate) fn stat_file(file: &File) -> io::Result<Meta> {
    let file = cap_std::fs::File::from_std(file.try_clone()?);
    file.metadata().map(|meta| Meta::of(&meta))
}

pub(crate) fn open_dir(dir: &Dir, name: &OsStr) -> io::Result<Dir> {
    dir.open_dir_nofollow(name)
}

pub(crate) fn open_read(dir: &Dir, name: &OsStr) -> io::Result<File> {
    open(dir, name, OpenOptions::new().read(true))
}

/// Opens what is there and leaves its content.
pub(crate) fn open_write(dir: &Dir, name: &OsStr) -> io::Result<File> {
    open(dir, name, OpenOptions::new().write(true))
}

/// Makes a file that was not there.
pub(crate) fn create_new(dir: &Dir, name: &OsStr, _mode: u32) -> io::Result<File> {
    open(dir, name, OpenOptions::new().write(true).create_new(true))
}

fn open(dir: &Dir, name: &OsStr, options: &mut OpenOptions) -> io::Result<File> {
    let options = options.follow(FollowSymlinks::No);
    Ok(dir.open_with(name, options)?.into_std())
}

pub(crate) fn make_dir(dir: &Dir, name: &OsStr, _mode: u32) -> io::Result<()> {
    dir.create_dir(name)
}

pub(crate) fn make_symlink(_dir: &Dir, _name: &OsStr, _target: &OsStr) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

pub(crate) fn make_hard_link(from: (&Dir, &OsStr), to: (&Dir, &OsStr)) -> io::Result<()> {
    from.0.hard_link(from.1, to.0, to.1)
}

pub(crate) fn read_link(dir: &Dir, name: &OsStr) -> io::Result<OsString> {
    Ok(dir.read_link_contents(name)?.into_os_string())
}

pub(crate) fn rename(from: (&Dir, &OsStr), to: (&Dir, &OsStr)) -> io::Result<()> {
    from.0.rename(from.1, to.0, to.1)
}

pub(crate) fn remove_file(dir: &Dir, name: &OsStr) -> io::Result<()> {
    match dir.remove_file_or_symlink(name) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            set_readonly(dir, name, false)?;
            dir.remove_file_or_symlink(name)
        }
        removed => removed,
    }
}

pub(crate) fn remove_dir(dir: &Dir, name: &OsStr) -> io::Result<()> {
    dir.remove_dir(name)
}

pub(crate) fn set_file_mode(file: &File, mode: u32) -> io::Result<()> {
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(mode & 0o200 == 0);
    file.set_permissions(permissions)
}

/// A read-only directory is one to write into here, as anywhere but on Unix.
pub(crate) fn set_dir_mode(_dir: &Dir, _mode: u32) -> io::Result<()> {
    Ok(())
}

pub(crate) fn make_dir_accessible(parent: &Dir, name: &OsStr) -> io::Result<()> {
    set_readonly(parent, name, false)
}

fn set_readonly(dir: &Dir, name: &OsStr, readonly: bool) -> io::Result<()> {
    let mut permissions = dir.symlink_metadata(name)?.permissions();
    permissions.set_readonly(readonly);
    dir.set_permissions(name, permissions)
}

/// Sets the times of last change and access.
pub(crate) fn set_file_time(file: &File, time: Timestamp) -> io::Result<()> {
    let time = SystemTime::from(time);
    file.set_times(FileTimes::new().set_modified(time).set_accessed(time))
}

pub(crate) fn set_dir_time(_dir: &Dir, _time: Timestamp) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// The names in a directory, with their kinds.
pub(crate) fn names(dir: &Dir) -> io::Result<Vec<(OsString, Option<Kind>)>> {
    let mut names = Vec::new();
    for entry in dir.entries()? {
        let entry = entry?;
        names.push((entry.file_name(), kind_of(entry.file_type()?)));
    }
    Ok(names)
}

/// Whether `error` may say that a link, or something else than a directory, stands where a directory was wanted.
pub(crate) fn is_not_a_dir(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::PermissionDenied
    )
}

pub(crate) fn not_a_dir() -> io::Error {
    ErrorKind::NotADirectory.into()
}

pub(crate) fn is_a_dir() -> io::Error {
    ErrorKind::IsADirectory.into()
}

pub(crate) fn exists() -> io::Error {
    ErrorKind::AlreadyExists.into()
}

pub(crate) fn bytes(text: &OsStr) -> &[u8] {
    text.as_encoded_bytes()
}

pub(crate) fn os_string(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}
