//! Puts a file in its place.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;

use cap_std::fs::Dir;

use super::folder::Folder;
use super::policy::{Existing, Modes};
use super::sys::{self, Meta};
use super::writers::{Rules, last_name};

/// How often the same name is tried while another process changes what it is.
const TRIES: usize = 16;

/// Makes or empties the file at `path` from the base, whose parent is `parent`.
pub(crate) fn make_file(rules: &Rules, parent: &Dir, path: &Path, mode: u32) -> io::Result<File> {
    let file = match rules.existing {
        Existing::WriteThrough => open_through(&rules.base, parent, path, mode)?,
        Existing::Replace => create(parent, last_name(path), mode, |_| {
            sys::remove_file(parent, last_name(path))?;
            Ok(None)
        })?,
    };
    if rules.modes == Modes::Exact {
        sys::set_file_mode(&file, mode)?;
    }
    Ok(file)
}

/// Makes the file, or opens and empties the one that is there, also through links inside.
pub(crate) fn open_through(
    base: &Folder,
    parent: &Dir,
    path: &Path,
    mode: u32,
) -> io::Result<File> {
    let name = last_name(path);
    create(parent, name, mode, |meta| {
        if meta.is_symlink() {
            return open_link(base, path, mode).map(Some);
        }
        if !meta.is_regular() {
            return Err(not_a_file(&meta));
        }
        if meta.links > 1 {
            // Another name of it may be outside, and its content must not change there. Permissions move over.
            sys::remove_file(parent, name)?;
            let file = sys::create_new(parent, name, 0o600)?;
            sys::set_file_mode(&file, meta.mode & 0o777)?;
            return Ok(Some(file));
        }
        let file = sys::open_write(parent, name)?;
        empty(&file)?;
        Ok(Some(file))
    })
}

/// Makes a file. If something is there, `existing` opens it, or clears the way (`None`).
fn create(
    parent: &Dir,
    name: &OsStr,
    mode: u32,
    existing: impl Fn(Meta) -> io::Result<Option<File>>,
) -> io::Result<File> {
    for _ in 0..TRIES {
        match sys::create_new(parent, name, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result,
        }
        let opened = sys::stat(parent, name).and_then(|meta| {
            if meta.is_dir() {
                return Err(sys::is_a_dir());
            }
            existing(meta)
        });
        match opened {
            Ok(Some(file)) => return Ok(file),
            Ok(None) => {}
            Err(error) if changed_meanwhile(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(sys::exists())
}

/// Whether the name is no longer what it was a moment ago.
fn changed_meanwhile(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists
    )
}

/// Opens and empties the file that a link inside leads to, making it if it is not there.
fn open_link(base: &Folder, path: &Path, mode: u32) -> io::Result<File> {
    use cap_std::fs::OpenOptions;
    if let Ok(meta) = base.dir().metadata(path)
        && !meta.is_file()
    {
        // Not even opened: a device may act on that.
        return Err(if meta.is_dir() {
            sys::is_a_dir()
        } else {
            not_regular()
        });
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt as _;
        // Not waiting for the reader of a pipe.
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        options.mode(mode).custom_flags(flags.bits().cast_signed());
    }
    #[cfg(not(unix))]
    let _ = mode;
    let file = base.dir().open_with(path, &options)?.into_std();
    let meta = sys::stat_file(&file)?;
    if meta.links > 1 {
        return Err(io::Error::other(
            "the link leads to a file with several names",
        ));
    }
    empty(&file)?;
    Ok(file)
}

/// Empties a file that was just opened, if it is one with a single name.
fn empty(file: &File) -> io::Result<()> {
    let meta = sys::stat_file(file)?;
    if !meta.is_regular() {
        return Err(not_a_file(&meta));
    }
    if meta.links > 1 {
        // It has got another name since it was looked at: once more.
        return Err(sys::exists());
    }
    if meta.size > 0 {
        file.set_len(0)?;
    }
    Ok(())
}

fn not_a_file(meta: &Meta) -> io::Error {
    if meta.is_dir() {
        return sys::is_a_dir();
    }
    not_regular()
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

#[cfg(unix)]
pub(crate) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
pub(crate) fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}
