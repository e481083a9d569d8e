//! What is done with one name in an open directory: a system call each, none of which follows a link.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::header::Kind;
use super::timestamp::Timestamp;

/// What `lstat` says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    /// `st_mode`, with the type.
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) mtime: Timestamp,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u64,
    /// Device and inode.
    pub(crate) identity: (u64, u64),
    /// Major and minor number, of a device.
    pub(crate) device: (u32, u32),
}

impl Meta {
    /// `None` for a socket, which no archive holds.
    pub(crate) fn kind(&self) -> Option<Kind> {
        kind_of(FileType::from_raw_mode(self.mode as _))
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.kind() == Some(Kind::Directory)
    }

    pub(crate) fn is_regular(&self) -> bool {
        self.kind() == Some(Kind::Regular)
    }

    pub(crate) fn is_symlink(&self) -> bool {
        self.kind() == Some(Kind::Symlink)
    }

    // Which conversions change nothing differs between systems.
    #[expect(
        clippy::unnecessary_cast,
        reason = "the types of these fields differ between systems"
    )]
    fn of(stat: &rustix::fs::Stat) -> Self {
        Self {
            mode: stat.st_mode as u32,
            size: stat.st_size as u64,
            mtime: Timestamp::new(stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            uid: stat.st_uid,
            gid: stat.st_gid,
            links: stat.st_nlink as u64,
            identity: (stat.st_dev as u64, stat.st_ino as u64),
            device: (
                rustix::fs::major(stat.st_rdev),
                rustix::fs::minor(stat.st_rdev),
            ),
        }
    }
}

fn kind_of(file_type: FileType) -> Option<Kind> {
    Some(match file_type {
        FileType::RegularFile => Kind::Regular,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        _ => return None,
    })
}

pub(crate) fn stat(dir: &Dir, name: &OsStr) -> io::Result<Meta> {
    Ok(Meta::of(&rustix::fs::statat(
        dir,
        name,
        AtFlags::SYMLINK_NOFOLLOW,
    )?))
}

pub(crate) fn stat_dir(dir: &Dir) -> io::Result<Meta> {
    Ok(Meta::of(&rustix::fs::fstat(dir)?))
}

pub(crate) fn stat_file(file: &File) -> io::Result<Meta> {
    Ok(Meta::of(&rustix::fs::fstat(file)?))
}

pub(crate) fn open_dir(dir: &Dir, name: &OsStr) -> io::Result<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    Ok(Dir::from_std_file(opened.into()))
}

/// Opens what is there, without waiting for the other end of a pipe.
pub(crate) fn open_read(dir: &Dir, name: &OsStr) -> io::Result<File> {
    open(dir, name, OFlags::RDONLY | OFlags::NONBLOCK, 0)
}

/// Opens what is there and leaves its content.
pub(crate) fn open_write(dir: &Dir, name: &OsStr) -> io::Result<File> {
    open(dir, name, OFlags::WRONLY | OFlags::NONBLOCK, 0)
}

/// Makes a file that was not there.
pub(crate) fn create_new(dir: &Dir, name: &OsStr, mode: u32) -> io::Result<File> {
    open(
        dir,
        name,
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
        mode,
    )
}

fn open(dir: &Dir, name: &OsStr, flags: OFlags, mode: u32) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(mode as _))?.into())
}

pub(crate) fn make_dir(dir: &Dir, name: &OsStr, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(
        dir,
        name,
        Mode::from_raw_mode(mode as _),
    )?)
}

pub(crate) fn make_symlink(dir: &Dir, name: &OsStr, target: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::symlinkat(target, dir, name)?)
}

pub(crate) fn make_hard_link(from: (&Dir, &OsStr), to: (&Dir, &OsStr)) -> io::Result<()> {
    Ok(rustix::fs::linkat(
        from.0,
        from.1,
        to.0,
        to.1,
        AtFlags::empty(),
    )?)
}

pub(crate) fn read_link(dir: &Dir, name: &OsStr) -> io::Result<OsString> {
    let target = rustix::fs::readlinkat(dir, name, Vec::new())?;
    Ok(OsString::from_vec(target.into_bytes()))
}

pub(crate) fn rename(from: (&Dir, &OsStr), to: (&Dir, &OsStr)) -> io::Result<()> {
    Ok(rustix::fs::renameat(from.0, from.1, to.0, to.1)?)
}

pub(crate) fn remove_file(dir: &Dir, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?)
}

pub(crate) fn remove_dir(dir: &Dir, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}

pub(crate) fn set_file_mode(file: &File, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(mode as _))?)
}

pub(crate) fn set_dir_mode(dir: &Dir, mode: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(mode as _);
    with_open(dir, |dir| rustix::fs::fchmod(dir, mode))
}

/// Gives the owner of a directory that cannot be opened every right to it. A link in its place is followed inside of `parent`
/// at most.
pub(crate) fn make_dir_accessible(parent: &Dir, name: &OsStr) -> io::Result<()> {
    use cap_std::fs::{Permissions, PermissionsExt as _};
    parent.set_permissions(name, Permissions::from_mode(0o700))
}

/// Sets the times of last change and access.
pub(crate) fn set_file_time(file: &File, time: Timestamp) -> io::Result<()> {
    Ok(rustix::fs::futimens(file, &times(time))?)
}

pub(crate) fn set_dir_time(dir: &Dir, time: Timestamp) -> io::Result<()> {
    let times = times(time);
    with_open(dir, |dir| rustix::fs::futimens(dir, &times))
}

/// Does something that needs a directory which is really open: cap-std opens them for looking up alone, where the system can.
fn with_open(dir: &Dir, mut act: impl FnMut(&Dir) -> rustix::io::Result<()>) -> io::Result<()> {
    match act(dir) {
        Err(Errno::BADF) => Ok(act(&open_dir(dir, OsStr::new("."))?)?),
        result => Ok(result?),
    }
}

fn times(time: Timestamp) -> Timestamps {
    let time = Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanos.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// The names in a directory, with their kinds where the file system tells them along.
pub(crate) fn names(dir: &Dir) -> io::Result<Vec<(OsString, Option<Kind>)>> {
    let mut names = Vec::new();
    // Open for reading, which `dir` need not be, and at its beginning.
    for entry in rustix::fs::Dir::new(open_dir(dir, OsStr::new("."))?.into_std_file())? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            let name = OsStr::from_bytes(name).to_owned();
            names.push((name, kind_of(entry.file_type())));
        }
    }
    Ok(names)
}

/// Whether `error` says that a link, or something else than a directory, stands where a directory was wanted.
pub(crate) fn is_not_a_dir(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::LOOP | Errno::NOTDIR | Errno::MLINK)
    )
}

pub(crate) fn not_a_dir() -> io::Error {
    Errno::NOTDIR.into()
}

pub(crate) fn is_a_dir() -> io::Error {
    Errno::ISDIR.into()
}

pub(crate) fn exists() -> io::Error {
    Errno::EXIST.into()
}

pub(crate) fn bytes(text: &OsStr) -> &[u8] {
    text.as_bytes()
}

pub(crate) fn os_string(bytes: &[u8]) -> OsString {
    OsStr::from_bytes(bytes).to_owned()
}
