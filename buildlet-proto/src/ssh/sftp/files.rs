//! The requests, done. Blocks.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{File, FileTimes};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, OpenOptions, Permissions, ReadDir};

use super::wire::{self, Attributes, Code, How, MAX_DATA, Request};

/// Open files and directories of one client.
const MAX_HANDLES: usize = 128;

/// Entries told at a time, and about how many bytes: a reply must stay far below 256 KiB.
const ENTRIES: usize = 128;
const ENTRY_BYTES: usize = 64 << 10;

/// The work directory as one client sees it.
pub(crate) struct Files {
    root: Dir,
    /// What the client takes for the root's path, and is told. Absolute paths must begin with it.
    base: PathBuf,
    open: BTreeMap<u32, Open>,
    next: u32,
}

enum Open {
    File { file: File, append: bool },
    Directory(Box<ReadDir>),
}

/// Why a request failed, as the client is told.
#[derive(Debug)]
struct Failure(Code, String);

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::NotFound => Code::NoSuchFile,
            io::ErrorKind::PermissionDenied => Code::Denied,
            _ => Code::Failure,
        };
        Self(code, error.to_string())
    }
}

impl Files {
    pub(crate) fn open(workdir: &Path) -> io::Result<Self> {
        Ok(Self {
            root: Dir::open_ambient_dir(workdir, ambient_authority())?,
            base: workdir.to_owned(),
            open: BTreeMap::new(),
            next: 0,
        })
    }

    /// The reply to one packet, or `None` if it breaks the protocol.
    pub(crate) fn answer(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        if wire::is_init(packet) {
            return Some(wire::version());
        }
        let (id, request) = wire::parse(packet).ok()?;
        let result = match request {
            Ok(request) => self.obey(id, request),
            Err(wire::Malformed) => Err(Failure(Code::BadMessage, "malformed request".to_owned())),
        };
        Some(result.unwrap_or_else(|Failure(code, message)| wire::status(id, code, &message)))
    }

    fn obey(&mut self, id: u32, request: Request<'_>) -> Result<Vec<u8>, Failure> {
        let done = || Ok(wire::status(id, Code::Ok, "ok"));
        match request {
            Request::Open {
                path,
                how,
                attributes,
            } => {
                let open = self.open_file(&self.path(path)?, how, attributes)?;
                self.keep(id, open)
            }
            Request::OpenDirectory { path } => {
                let entries = self.root.read_dir(self.path(path)?)?;
                self.keep(id, Open::Directory(Box::new(entries)))
            }
            Request::Close { handle } => {
                self.open.remove(&handle).ok_or_else(unknown_handle)?;
                done()
            }
            Request::Read {
                handle,
                offset,
                length,
            } => self.read(id, handle, offset, length),
            Request::Write {
                handle,
                offset,
                data,
            } => {
                self.write(handle, offset, data)?;
                done()
            }
            Request::Stat { path, follow } => {
                let path = self.path(path)?;
                let meta = if follow {
                    self.root.metadata(path)
                } else {
                    self.root.symlink_metadata(path)
                };
                Ok(wire::attributes(id, &attributes_of(&meta?)))
            }
            Request::StatOpen { handle } => {
                let meta = self.file(handle)?.metadata()?;
                Ok(wire::attributes(
                    id,
                    &attributes_of(&Metadata::from_just_metadata(meta)),
                ))
            }
            Request::SetStat { path, attributes } => {
                self.set_attributes(&self.path(path)?, attributes)?;
                done()
            }
            Request::SetStatOpen { handle, attributes } => {
                set_attributes(self.file(handle)?, attributes)?;
                done()
            }
            Request::ReadDirectory { handle } => self.read_directory(id, handle),
            Request::Remove { path } => {
                self.root.remove_file(self.path(path)?)?;
                done()
            }
            Request::MakeDirectory { path, attributes } => {
                let path = self.path(path)?;
                self.root.create_dir(&path)?;
                self.set_attributes(
                    &path,
                    Attributes {
                        mode: attributes.mode,
                        ..Attributes::default()
                    },
                )?;
                done()
            }
            Request::RemoveDirectory { path } => {
                self.root.remove_dir(self.path(path)?)?;
                done()
            }
            Request::RealPath { path } => {
                let path = bytes_of(&self.real_path(path)?);
                Ok(wire::names(
                    id,
                    &[(path.clone(), path, Attributes::default())],
                ))
            }
            Request::Rename { from, to, replace } => {
                let (from, to) = (self.path(from)?, self.path(to)?);
                if !replace && self.root.symlink_metadata(&to).is_ok() {
                    return Err(Failure(Code::Failure, "the new name exists".to_owned()));
                }
                self.root.rename(from, &self.root, to)?;
                done()
            }
            Request::ReadLink { path } => {
                let target = bytes_of(&self.root.read_link_contents(self.path(path)?)?);
                Ok(wire::names(
                    id,
                    &[(target.clone(), target, Attributes::default())],
                ))
            }
            Request::Link { target, link } => {
                self.link(target, &self.path(link)?)?;
                done()
            }
            Request::Sync { handle } => {
                self.file(handle)?.sync_all()?;
                done()
            }
            Request::Limits => Ok(wire::limits(id, MAX_HANDLES)),
            Request::Unknown => Err(Failure(Code::Unsupported, "not supported".to_owned())),
        }
    }

    /// The path below the root. It may still climb by `..` or lead through links: walking it finds out.
    fn path(&self, path: &[u8]) -> Result<PathBuf, Failure> {
        let path = path_of(path)?;
        let below = if path.is_absolute() || path.has_root() {
            path.strip_prefix(&self.base).map_err(|_| self.outside())?
        } else {
            path
        };
        Ok(if below.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            below.to_owned()
        })
    }

    /// The absolute form of a path, by its text alone: `..` is taken back even behind a link. What is told here opens nothing.
    fn real_path(&self, path: &[u8]) -> Result<PathBuf, Failure> {
        use std::path::Component;

        let mut real = self.base.clone();
        let mut depth = 0_usize;
        for component in self.path(path)?.components() {
            match component {
                Component::CurDir => {}
                Component::Normal(name) => {
                    real.push(name);
                    depth += 1;
                }
                Component::ParentDir if depth > 0 => {
                    real.pop();
                    depth -= 1;
                }
                _ => {
                    return Err(self.outside());
                }
            }
        }
        Ok(real)
    }

    fn outside(&self) -> Failure {
        let base = self.base.display();
        Failure(
            Code::Denied,
            format!("only files below {base} can be reached"),
        )
    }

    fn keep(&mut self, id: u32, open: Open) -> Result<Vec<u8>, Failure> {
        if self.open.len() >= MAX_HANDLES {
            return Err(Failure(Code::Failure, "too many open files".to_owned()));
        }
        // After 2^32 of them some number is still free, with so few kept.
        while self.open.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let handle = self.next;
        self.next = self.next.wrapping_add(1);
        self.open.insert(handle, open);
        Ok(wire::handle(id, handle))
    }

    fn file(&self, handle: u32) -> Result<&File, Failure> {
        match self.open.get(&handle) {
            Some(Open::File { file, .. }) => Ok(file),
            Some(Open::Directory(_)) | None => Err(unknown_handle()),
        }
    }

    fn open_file(&self, path: &Path, how: How, attributes: Attributes) -> Result<Open, Failure> {
        let mut options = OpenOptions::new();
        options
            .read(how.read())
            .write(how.write())
            .append(how.append())
            .truncate(how.truncate() && !how.append());
        options
            .create(how.create())
            .create_new(how.create() && how.exclusive());
        #[cfg(unix)]
        cap_std::fs::OpenOptionsExt::mode(
            &mut options,
            attributes.mode.map_or(0o666, |mode| mode & 0o777),
        );
        #[cfg(not(unix))]
        let _ = attributes;
        waiting_for_nobody(&mut options);
        let file = self.root.open_with(path, &options)?.into_std();
        if !file.metadata()?.is_file() {
            return Err(Failure(Code::Failure, "not a regular file".to_owned()));
        }
        Ok(Open::File {
            file,
            append: how.append(),
        })
    }

    fn read(&self, id: u32, handle: u32, offset: u64, length: u32) -> Result<Vec<u8>, Failure> {
        let mut file = self.file(handle)?;
        let length = (length as usize).min(MAX_DATA);
        wire::data(id, length, |buffer| {
            file.seek(SeekFrom::Start(offset))?;
            match file.take(length as u64).read_to_end(buffer)? {
                0 if length > 0 => Err(Failure(Code::End, "end of file".to_owned())),
                _ => Ok(()),
            }
        })
    }

    fn write(&self, handle: u32, offset: u64, data: &[u8]) -> Result<(), Failure> {
        let Some(Open::File { file, append }) = self.open.get(&handle) else {
            return Err(unknown_handle());
        };
        let mut file = file;
        if !append {
            file.seek(SeekFrom::Start(offset))?;
        }
        Ok(file.write_all(data)?)
    }

    fn read_directory(&mut self, id: u32, handle: u32) -> Result<Vec<u8>, Failure> {
        let Some(Open::Directory(entries)) = self.open.get_mut(&handle) else {
            return Err(unknown_handle());
        };
        let (mut names, mut bytes) = (Vec::new(), 0);
        while names.len() < ENTRIES && bytes < ENTRY_BYTES {
            let Some(entry) = entries.next() else { break };
            let entry = entry?;
            // One that was removed just now is not listed.
            let Ok(meta) = entry.metadata() else { continue };
            let name = bytes_of(Path::new(&entry.file_name()));
            let attributes = attributes_of(&meta);
            let line = long_line(&name, &attributes);
            bytes += name.len() + line.len();
            names.push((name, line, attributes));
        }
        if names.is_empty() {
            return Err(Failure(Code::End, "end of directory".to_owned()));
        }
        Ok(wire::names(id, &names))
    }

    fn set_attributes(&self, path: &Path, attributes: Attributes) -> Result<(), Failure> {
        refuse_owner(attributes)?;
        if let Some(size) = attributes.size {
            self.root
                .open_with(path, waiting_for_nobody(OpenOptions::new().write(true)))?
                .set_len(size)?;
        }
        if let Some(permissions) = permissions(attributes) {
            self.root
                .set_permissions(path, Permissions::from_std(permissions))?;
        }
        if let Some(times) = times(attributes) {
            let file = self
                .root
                .open_with(path, waiting_for_nobody(OpenOptions::new().read(true)))?;
            file.into_std().set_times(times)?;
        }
        Ok(())
    }

    #[cfg(unix)]
    fn link(&self, target: &[u8], link: &Path) -> Result<(), Failure> {
        // An absolute target is refused, as it would be when followed.
        Ok(self.root.symlink(path_of(target)?, link)?)
    }

    #[cfg(not(unix))]
    fn link(&self, _: &[u8], _: &Path) -> Result<(), Failure> {
        Err(Failure(
            Code::Unsupported,
            "not supported on this system".to_owned(),
        ))
    }
}

fn set_attributes(file: &File, attributes: Attributes) -> Result<(), Failure> {
    refuse_owner(attributes)?;
    if let Some(size) = attributes.size {
        file.set_len(size)?;
    }
    if let Some(permissions) = permissions(attributes) {
        file.set_permissions(permissions)?;
    }
    if let Some(times) = times(attributes) {
        file.set_times(times)?;
    }
    Ok(())
}

/// A pipe would wait for its other end, and the session with it.
fn waiting_for_nobody(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    cap_std::fs::OpenOptionsExt::custom_flags(
        options,
        rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
    );
    options
}

/// All files belong to the buildlet's user.
fn refuse_owner(attributes: Attributes) -> Result<(), Failure> {
    match attributes.owner {
        Some(_) => Err(Failure(Code::Denied, "owners cannot be changed".to_owned())),
        None => Ok(()),
    }
}

#[cfg(unix)]
fn permissions(attributes: Attributes) -> Option<std::fs::Permissions> {
    use std::os::unix::fs::PermissionsExt as _;
    attributes
        .mode
        .map(|mode| std::fs::Permissions::from_mode(mode & 0o777))
}

/// Elsewhere they mean something else.
#[cfg(not(unix))]
fn permissions(_: Attributes) -> Option<std::fs::Permissions> {
    None
}

fn times(attributes: Attributes) -> Option<FileTimes> {
    let time = |seconds: u32| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.into());
    let (accessed, modified) = attributes.times?;
    Some(
        FileTimes::new()
            .set_accessed(time(accessed))
            .set_modified(time(modified)),
    )
}

fn attributes_of(meta: &Metadata) -> Attributes {
    let seconds = |time: io::Result<cap_std::time::SystemTime>| {
        let since = time
            .ok()?
            .into_std()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Some(u32::try_from(since.as_secs()).unwrap_or(u32::MAX))
    };
    #[cfg(unix)]
    let (owner, mode) = {
        use cap_std::fs::MetadataExt as _;
        (Some((meta.uid(), meta.gid())), meta.mode())
    };
    #[cfg(not(unix))]
    let (owner, mode) = (None, if meta.is_dir() { 0o40755 } else { 0o100_644 });
    let times = seconds(meta.accessed()).zip(seconds(meta.modified()));
    Attributes {
        size: Some(meta.len()),
        owner,
        mode: Some(mode),
        times,
    }
}

/// What `ls -l` prints, with the time in seconds since 1970: clients that show dates make them of the attributes.
fn long_line(name: &[u8], attributes: &Attributes) -> Vec<u8> {
    let mode = attributes.mode.unwrap_or_default();
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o010_000 => 'p',
        0o140_000 => 's',
        0o020_000 => 'c',
        0o060_000 => 'b',
        _ => '-',
    };
    let permissions: String = (0..9)
        .map(|bit| {
            if mode & (0o400 >> bit) == 0 {
                '-'
            } else {
                ['r', 'w', 'x'][bit % 3]
            }
        })
        .collect();
    let (user, group) = attributes.owner.unwrap_or_default();
    let (_, modified) = attributes.times.unwrap_or_default();
    let size = attributes.size.unwrap_or_default();
    let mut line = format!("{kind}{permissions} 1 {user} {group} {size} {modified} ").into_bytes();
    line.extend(name);
    line
}

fn unknown_handle() -> Failure {
    Failure(Code::Failure, "no such handle".to_owned())
}

#[cfg(unix)]
fn path_of(bytes: &[u8]) -> Result<&Path, Failure> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(Path::new(OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> Result<&Path, Failure> {
    match std::str::from_utf8(bytes) {
        Ok(path) => Ok(Path::new(OsStr::new(path))),
        Err(_) => Err(Failure(
            Code::NoSuchFile,
            "not a file name of this system".to_owned(),
        )),
    }
}

#[cfg(unix)]
fn bytes_of(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt as _;
    path.as_os_str().as_bytes().to_owned()
}

#[cfg(not(unix))]
fn bytes_of(path: &Path) -> Vec<u8> {
    path.to_string_lossy().replace('\\', "/").into_bytes()
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    const SECRET: &str = "nobody may read or change this";

    /// A name that no list may show.
    const HIDDEN: &str = "hidden-file";

    /// A work directory with ways out of it, and what lies outside.
    fn folders() -> (TempDir, TempDir) {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("secret"), SECRET).unwrap();
        fs::write(outside.path().join(HIDDEN), "").unwrap();
        fs::create_dir_all(inside.path().join("dir/deep")).unwrap();
        fs::write(inside.path().join("dir/file"), "mine").unwrap();
        symlink(outside.path(), inside.path().join("absolute")).unwrap();
        symlink(
            outside.path().join("secret"),
            inside.path().join("dir/secret"),
        )
        .unwrap();
        let up =
            Path::new("../../../../../../../..").join(outside.path().strip_prefix("/").unwrap());
        symlink(up, inside.path().join("relative")).unwrap();
        symlink("..", inside.path().join("parent")).unwrap();
        symlink("loop", inside.path().join("loop")).unwrap();
        symlink("dir", inside.path().join("good")).unwrap();
        (inside, outside)
    }

    /// A packet of this kind: a number, strings, and bytes behind them.
    fn packet(kind: u8, strings: &[&[u8]], tail: &[u8]) -> Vec<u8> {
        let mut packet = vec![kind, 0, 0, 0, 1];
        for string in strings {
            packet.extend(u32::try_from(string.len()).unwrap().to_be_bytes());
            packet.extend(*string);
        }
        packet.extend(tail);
        packet
    }

    /// A path as an attacker composes it of what there is: `%IN` and `%OUT` are the two directories.
    fn paths() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec![
            "..", "..", ".", "", "dir", "deep", "file", "absolute", "relative", "parent", "loop",
            "good", "secret", "new", "%IN", "%OUT",
        ]);
        let start = prop::sample::select(vec!["", "", "/", "%IN/", "%OUT/", "//"]);
        (start, prop::collection::vec(part, 0..7))
            .prop_map(|(start, parts)| format!("{start}{}", parts.join("/")))
    }

    #[test]
    fn what_is_inside_is_reached_by_any_path() {
        let (inside, _outside) = folders();
        let mut files = Files::open(inside.path()).unwrap();
        let absolute = format!("{}/good/file", inside.path().display());
        for path in [
            "dir/file",
            "good/file",
            "dir/../dir/./file",
            "good/deep/../file",
            &absolute,
        ] {
            let opened = files
                .answer(&packet(3, &[path.as_bytes()], &[0, 0, 0, 1, 0, 0, 0, 0]))
                .unwrap();
            assert_eq!(
                opened[4],
                102,
                "{path}: {}",
                String::from_utf8_lossy(&opened)
            );
            let read = files
                .answer(&packet(
                    5,
                    &[&opened[13..]],
                    &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
                ))
                .unwrap();
            assert!(contains(&read, b"mine"), "{path}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
        #[test]
        fn no_sequence_of_requests_touches_what_is_outside(steps in prop::collection::vec((0..14_u8, paths(), paths()), 1..12)) {
            let (inside, outside) = folders();
            let mut files = Files::open(inside.path()).unwrap();
            let before = outside.path().metadata().unwrap().permissions();
            for (step, one, two) in steps {
                let fill = |path: String| path.replace("%IN", inside.path().to_str().unwrap()).replace("%OUT", outside.path().to_str().unwrap()).into_bytes();
                let (one, two) = (fill(one), fill(two));
                let none = &[0; 4][..];
                // Size 3, mode 0777, and a time.
                let all = [&13_u32.to_be_bytes()[..], &3_u64.to_be_bytes(), &0o777_u32.to_be_bytes(), &[0; 8]].concat();
                let request = match step {
                    0 => packet(3, &[&one], &[0, 0, 0, 1, 0, 0, 0, 0]),
                    1 => packet(3, &[&one], &[0, 0, 0, 2 | 8 | 16, 0, 0, 0, 0]),
                    2 => packet(3, &[&one], &[0, 0, 0, 2 | 4, 0, 0, 0, 0]),
                    3 => packet(7, &[&one], &[]),
                    4 => packet(9, &[&one], &all),
                    5 => packet(11, &[&one], &[]),
                    6 => packet(13, &[&one], &[]),
                    7 => packet(14, &[&one], none),
                    8 => packet(15, &[&one], &[]),
                    9 => packet(17, &[&one], &[]),
                    10 => packet(18, &[&one, &two], &[]),
                    11 => packet(200, &[b"posix-rename@openssh.com", &one, &two], &[]),
                    12 => packet(20, &[&one, &two], &[]),
                    _ => packet(16, &[&one], &[]),
                };
                let reply = files.answer(&request).unwrap();
                prop_assert!(!contains(&reply, SECRET.as_bytes()));
                // Whatever could be opened is read, written over and listed.
                if let [_, _, _, _, 102, ..] = reply[..] {
                    let handle = &reply[13..];
                    let read = files.answer(&packet(5, &[handle], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0])).unwrap();
                    prop_assert!(!contains(&read, SECRET.as_bytes()));
                    let mut overwrite = packet(6, &[handle], &[0; 8]);
                    overwrite.extend([0, 0, 0, 4]);
                    overwrite.extend(b"evil");
                    files.answer(&overwrite).unwrap();
                    let listed = files.answer(&packet(12, &[handle], &[])).unwrap();
                    prop_assert!(!contains(&listed, HIDDEN.as_bytes()));
                }
                if step == 13 && let [_, _, _, _, 104, ..] = reply[..] {
                    prop_assert!(reply[17..].starts_with(inside.path().as_os_str().as_encoded_bytes()));
                }
            }
            prop_assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), SECRET);
            prop_assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 2);
            prop_assert_eq!(outside.path().metadata().unwrap().permissions(), before);
        }

        #[test]
        fn no_packet_panics(packets in prop::collection::vec((0_u8..22, prop::collection::vec(any::<u8>(), 0..64)), 0..20)) {
            let (inside, _outside) = folders();
            let mut files = Files::open(inside.path()).unwrap();
            for (kind, rest) in packets {
                let _ = files.answer(&[&[kind][..], &rest].concat());
            }
        }
    }

    fn contains(haystack: &[u8], needle: &[u8]) -> bool {
        haystack
            .windows(needle.len())
            .any(|window| window == needle)
    }
}
