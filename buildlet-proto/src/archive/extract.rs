use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use cap_std::fs::Dir;

use super::Encoding;
use super::entries::{Entries, Entry, Fault, fill, unexpected_end};
use super::error::{ExtractError, ExtractErrorKind, Limit};
use super::folder::{Folder, Links, Missing, names};
use super::fs_error::FsError;
use super::header::Kind;
use super::link_target;
use super::parents::Parents;
use super::policy::{Duplicates, Existing, HardLinks, Modes, Names, Policy, Specials, Symlinks};
use super::sys;
use super::timestamp::Timestamp;
use super::writers::{NewFile, PIECE, Rules, Shared, Writers, last_name};
use crate::types::{FileMode, PathStyle, RelativePath};

/// How much was unpacked, or archived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Entries of the archive, with those that were skipped.
    pub entries: u64,
    /// Bytes of all files' contents.
    pub bytes: u64,
    /// Symbolic links that were not made.
    pub skipped_symlinks: u64,
    /// Pipes and devices that were not made; sockets that were not archived.
    pub skipped_specials: u64,
    /// Files and directories whose time could not be set.
    pub times_not_set: u64,
}

/// Unpacks an archive into `folder`, as `policy` says.
///
/// Reads on the calling thread and writes on others, in bounded memory: 256 KiB for each of at most six pieces of work a thread, and
/// what [`pargzip::Reader`](https://docs.rs/pargzip) takes. gzip members are decompressed in parallel. The stream is read to its
/// end, so that its checksums hold when this returns; what stands behind the end of the archive is ignored otherwise.
///
/// Nothing is undone after an error. All entries before the one that failed are unpacked, and a few behind it may be.
///
/// # Errors
///
/// The first error, in the order of the archive.
pub fn extract<R: Read>(
    source: R,
    encoding: Encoding,
    folder: &Folder,
    policy: &Policy,
) -> Result<Summary, ExtractError> {
    match encoding {
        Encoding::Tar => unpack(BufReader::with_capacity(PIECE, source), folder, policy),
        Encoding::Gzip => {
            let config = pargzip::ReaderConfig::default()
                .threads(threads(policy))
                .backend(pargzip::Backend::fastest());
            let mut reader = pargzip::Reader::with_config(source, config).map_err(|error| {
                ExtractError::new(ExtractErrorKind::Read(error.into()), None, 0)
            })?;
            if let Err(error) = fill(&mut reader)
                && reader.header().is_none()
            {
                let kind = match pargzip::ReadError::of(&error) {
                    Some(_) => ExtractErrorKind::NotGzip(error),
                    None => ExtractErrorKind::Read(error),
                };
                return Err(ExtractError::new(kind, None, 0));
            }
            unpack(reader, folder, policy)
        }
    }
}

fn threads(policy: &Policy) -> usize {
    policy.threads.unwrap_or_else(super::cpus)
}

fn unpack<R: BufRead>(
    source: R,
    folder: &Folder,
    policy: &Policy,
) -> Result<Summary, ExtractError> {
    let shared = Shared::new(Rules {
        base: folder.clone(),
        existing: policy.existing,
        modes: policy.modes,
    });
    let mut summary = thread::scope(|scope| {
        let mut unpacker = Unpacker {
            entries: Entries::new(source, stream_limit(policy)),
            entry: Entry::default(),
            folder,
            policy,
            writers: Writers::new(scope, &shared, threads(policy)),
            parents: Parents::new(folder, links(policy)),
            hasher: RandomState::new(),
            unsettled: HashSet::new(),
            settle_next: false,
            seen: HashSet::new(),
            directories: Vec::new(),
            begin: Timestamp::now(),
            summary: Summary::default(),
        };
        let result = unpacker.run();
        // What was written may have failed at an earlier entry than what was read.
        unpacker.writers.settle()?;
        result?;
        unpacker.finish_directories()?;
        Ok(unpacker.summary)
    })?;
    summary.times_not_set += shared.times_not_set();
    Ok(summary)
}

fn links(policy: &Policy) -> Links {
    match policy.existing {
        Existing::WriteThrough => Links::FollowInside,
        Existing::Replace => Links::Refuse,
    }
}

/// Bytes of tar stream that any archive within the limits can do with, unless its names are strangely long.
fn stream_limit(policy: &Policy) -> u64 {
    const HEADERS: u64 = 4096;
    policy
        .max_entries
        .saturating_mul(HEADERS)
        .saturating_add(policy.max_bytes)
        .saturating_add(1 << 20)
}

/// Paths that are not settled are kept until there are so many, then all work is waited for.
const MAX_UNSETTLED: usize = 1 << 16;

struct Unpacker<'a, 'scope, 'env, R> {
    entries: Entries<R>,
    entry: Entry,
    folder: &'a Folder,
    policy: &'a Policy,
    writers: Writers<'scope, 'env>,
    parents: Parents<'a>,
    hasher: RandomState,
    /// Hashes of the paths that were given to the writers since all work was done. Whatever concerns one of them must wait.
    unsettled: HashSet<u64>,
    /// What the present entry gives to the writers must be done before the next one.
    settle_next: bool,
    /// Hashes of all paths but directories, where duplicates are refused.
    seen: HashSet<u64>,
    /// Directories whose modes and times are set at the end.
    directories: Vec<Directory>,
    begin: Timestamp,
    summary: Summary,
}

struct Directory {
    path: PathBuf,
    offset: u64,
    mode: u32,
    mtime: Timestamp,
}

impl<R: BufRead> Unpacker<'_, '_, '_, R> {
    fn run(&mut self) -> Result<(), ExtractError> {
        while !self.writers.failed() {
            match self.entries.next(&mut self.entry) {
                Ok(true) => {
                    self.unpack_entry()?;
                    if std::mem::take(&mut self.settle_next) {
                        self.settle()?;
                    }
                }
                Ok(false) if self.policy.end_required && !self.entries.ended() => {
                    return Err(self.fault(unexpected_end().into()));
                }
                Ok(false) => return self.read_to_end(),
                Err(fault) => return Err(self.fault(fault)),
            }
        }
        Ok(())
    }

    /// Reads what is behind the end of the archive, for the checksums.
    fn read_to_end(&mut self) -> Result<(), ExtractError> {
        let offset = self.entries.offset();
        let read = self.entries.read_to_end();
        match read {
            Err(Fault::Read(error))
                if matches!(
                    pargzip::ReadError::of(&error),
                    Some(pargzip::ReadError::TrailingGarbage { .. })
                ) =>
            {
                Ok(())
            }
            Err(fault) => Err(self.fault_at(fault, offset)),
            Ok(()) => Ok(()),
        }
    }

    fn fault(&self, fault: Fault) -> ExtractError {
        self.fault_at(fault, self.entry.offset)
    }

    fn fault_at(&self, fault: Fault, offset: u64) -> ExtractError {
        let kind = match fault {
            Fault::Header(fault) => ExtractErrorKind::Header(fault),
            Fault::Read(error) => ExtractErrorKind::Read(error),
            Fault::TooLong { most } => ExtractErrorKind::Limit {
                what: Limit::Stream,
                most,
            },
        };
        ExtractError::new(kind, None, offset)
    }

    fn failed(&self, kind: ExtractErrorKind) -> ExtractError {
        ExtractError::new(kind, Some(&self.entry.name), self.entry.offset)
    }

    fn limit(&self, what: Limit, most: u64) -> ExtractError {
        self.failed(ExtractErrorKind::Limit { what, most })
    }

    fn unpack_entry(&mut self) -> Result<(), ExtractError> {
        self.summary.entries += 1;
        if self.summary.entries > self.policy.max_entries {
            return Err(self.limit(Limit::Entries, self.policy.max_entries));
        }
        let path = self.path()?;
        let kind = self.entry.kind;
        match kind {
            Kind::Directory => self.directory(path),
            Kind::Regular => self.file(path),
            Kind::Contiguous if self.policy.contiguous => self.file(path),
            Kind::HardLink => match self.policy.hard_links {
                HardLinks::EmptyFile => self.file(path),
                HardLinks::Link => self.hard_link(&path),
                HardLinks::Copy => self.copy(path),
                HardLinks::Refuse => Err(self.refused_type()),
            },
            Kind::Symlink => match self.policy.symlinks {
                Symlinks::Inside => self.symlink(&path),
                Symlinks::Skip => {
                    self.summary.skipped_symlinks += 1;
                    Ok(())
                }
                Symlinks::Refuse => Err(self.refused_type()),
            },
            Kind::Fifo | Kind::CharDevice | Kind::BlockDevice
                if self.policy.specials == Specials::Skip =>
            {
                self.summary.skipped_specials += 1;
                Ok(())
            }
            _ => Err(self.refused_type()),
        }
    }

    fn refused_type(&self) -> ExtractError {
        let mode = FileMode::from_unix(self.entry.kind.unix_type() | self.entry.mode);
        self.failed(ExtractErrorKind::Type { mode })
    }

    /// The path of the entry, checked.
    fn path(&self) -> Result<PathBuf, ExtractError> {
        let name = &self.entry.name[..];
        if self.policy.names == Names::Stage0 {
            let parent = name.windows(3).any(|part| part == b"../");
            if name.is_empty() || name.contains(&b'\\') || name.starts_with(b"/") || parent {
                return Err(self.failed(ExtractErrorKind::Stage0Name));
            }
        }
        let path = RelativePath::parse(name, PathStyle::NATIVE)
            .map_err(|error| self.failed(ExtractErrorKind::Name(error)))?;
        let path = path.as_path();
        let depth = names(path).count();
        if depth > self.policy.max_depth {
            return Err(self.limit(Limit::Depth, self.policy.max_depth as u64));
        }
        Ok(path.to_owned())
    }

    fn directory(&mut self, path: PathBuf) -> Result<(), ExtractError> {
        self.wait_for(&path)?;
        self.wait_for_ancestors(&path)?;
        if self.seen.contains(&self.seen_hash(&path)) {
            return Err(self.failed(ExtractErrorKind::Duplicate));
        }
        self.parents
            .open(&path, Missing::Make)
            .map_err(|error| self.failed(ExtractErrorKind::Fs(error)))?;
        // The folder itself is the caller's.
        if self.policy.modes == Modes::Exact && names(&path).next().is_some() {
            self.directories.push(Directory {
                path,
                offset: self.entry.offset,
                mode: self.entry.mode & 0o777,
                mtime: self.mtime(),
            });
        }
        Ok(())
    }

    /// Modes and times of directories, the deepest first: a directory may forbid what is done below it, and what is done there
    /// would change its time.
    fn finish_directories(&mut self) -> Result<(), ExtractError> {
        let mut directories = std::mem::take(&mut self.directories);
        directories
            .sort_by_cached_key(|directory| std::cmp::Reverse(names(&directory.path).count()));
        for directory in directories {
            let failed = |error: FsError| {
                let name = sys::bytes(directory.path.as_os_str());
                ExtractError::new(ExtractErrorKind::Fs(error), Some(name), directory.offset)
            };
            let dir = self
                .parents
                .open(&directory.path, Missing::Fail)
                .map_err(failed)?
                .dir;
            if sys::set_dir_time(&dir, directory.mtime).is_err() {
                self.summary.times_not_set += 1;
            }
            sys::set_dir_mode(&dir, directory.mode).map_err(|error| {
                failed(FsError::new(
                    "chmod",
                    self.folder.shown(&directory.path),
                    error,
                ))
            })?;
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf) -> Result<(), ExtractError> {
        let size = self.entry.size;
        if size > self.policy.max_file_bytes {
            return Err(self.limit(Limit::FileBytes, self.policy.max_file_bytes));
        }
        self.count_bytes(size)?;
        let parent = self.claim(&path)?;
        self.unsettle(&path)?;
        let new = NewFile {
            entry: self.summary.entries,
            offset: self.entry.offset,
            parent,
            name: (self.entry.name != sys::bytes(path.as_os_str()))
                .then(|| self.entry.name.clone()),
            path,
            mode: self.entry.mode & 0o777,
            mtime: self.mtime(),
        };
        if size <= PIECE as u64 {
            self.small(new)
        } else {
            self.large(new)
        }
    }

    fn small(&mut self, new: NewFile) -> Result<(), ExtractError> {
        self.writers.add(new);
        // Its content may be in the source's buffer, at once.
        loop {
            match self.entries.content() {
                Ok([]) => return Ok(()),
                Ok(piece) => {
                    self.writers.content(piece);
                    let len = piece.len();
                    self.entries.consume(len);
                }
                Err(error) => return Err(self.cut(error)),
            }
        }
    }

    fn large(&mut self, new: NewFile) -> Result<(), ExtractError> {
        let file = self.writers.begin_large(new)?;
        let mut offset = 0;
        let mut bytes = Vec::new();
        let result = loop {
            let piece = match self.entries.content() {
                Ok(piece) => piece,
                Err(error) => break Err(error),
            };
            if piece.is_empty() || self.writers.failed() {
                break Ok(());
            }
            let len = piece.len().min(PIECE - bytes.len());
            bytes.extend_from_slice(&piece[..len]);
            self.entries.consume(len);
            if bytes.len() == PIECE {
                let next = self.writers.buffer();
                let full = std::mem::replace(&mut bytes, next);
                self.writers.piece(&file, offset, full);
                offset += PIECE as u64;
            }
        };
        if !bytes.is_empty() {
            self.writers.piece(&file, offset, bytes);
        }
        self.writers.end_large(&file);
        result.map_err(|error| self.cut(error))
    }

    /// The stream ended, or failed, inside the content of the entry.
    fn cut(&self, error: std::io::Error) -> ExtractError {
        match self.path() {
            Ok(path) => self.failed(ExtractErrorKind::ReadContent {
                path: self.folder.shown(&path),
                error,
            }),
            Err(bad_name) => bad_name,
        }
    }

    fn symlink(&mut self, path: &Path) -> Result<(), ExtractError> {
        let target = std::mem::take(&mut self.entry.link);
        if !link_target::stays_inside(path, &target) {
            return Err(self.failed(ExtractErrorKind::Target { target }));
        }
        let parent = self.claim(path)?;
        self.wait_for(path)?;
        let target = sys::os_string(&target);
        self.make_link("symlink", &parent, path, || {
            sys::make_symlink(&parent, last_name(path), &target)
        })
    }

    fn hard_link(&mut self, path: &Path) -> Result<(), ExtractError> {
        let (target, from) = self.link_source()?;
        if target == path {
            return Err(self.failed(ExtractErrorKind::Duplicate));
        }
        let parent = self.claim(path)?;
        self.wait_for(path)?;
        self.make_link("link", &parent, path, || {
            sys::make_hard_link((&from, last_name(&target)), (&parent, last_name(path)))
        })
    }

    /// Path and directory of the regular file that a hard link is to.
    fn link_source(&mut self) -> Result<(PathBuf, Arc<Dir>), ExtractError> {
        let refused = |this: &Self| {
            this.failed(ExtractErrorKind::Target {
                target: this.entry.link.clone(),
            })
        };
        let Ok(target) = RelativePath::parse(&self.entry.link, PathStyle::NATIVE) else {
            return Err(refused(self));
        };
        let target = target.as_path().to_owned();
        if names(&target).next().is_none() || names(&target).count() > self.policy.max_depth {
            return Err(refused(self));
        }
        self.wait_for(&target)?;
        let parent = self
            .parents
            .parent(&target, Missing::Fail)
            .map_err(|error| self.failed(ExtractErrorKind::Fs(error)))?
            .dir;
        let meta = sys::stat(&parent, last_name(&target)).map_err(|error| {
            let error = FsError::new("lstat", self.folder.shown(&target), error);
            self.failed(ExtractErrorKind::Fs(error))
        })?;
        // A link to a symbolic link would be one too, perhaps in a directory from where it leads outside.
        if !meta.is_regular() {
            return Err(refused(self));
        }
        Ok((target, parent))
    }

    fn copy(&mut self, path: PathBuf) -> Result<(), ExtractError> {
        let (target, from) = self.link_source()?;
        if target == path {
            return Err(self.failed(ExtractErrorKind::Duplicate));
        }
        let failed = |this: &Self, error| {
            let error = FsError::new("open", this.folder.shown(&target), error);
            this.failed(ExtractErrorKind::Fs(error))
        };
        let opened = sys::open_read(&from, last_name(&target))
            .and_then(|file| Ok((sys::stat_file(&file)?, file)));
        let (meta, file) = opened.map_err(|error| failed(self, error))?;
        if !meta.is_regular() {
            return Err(failed(self, std::io::Error::other("not a regular file")));
        }
        self.count_bytes(meta.size)?;
        let parent = self.claim(&path)?;
        self.unsettle(&path)?;
        let new = NewFile {
            entry: self.summary.entries,
            offset: self.entry.offset,
            parent,
            name: None,
            path,
            mode: self.entry.mode & 0o777,
            mtime: self.mtime(),
        };
        let large = self.writers.begin_large(new)?;
        let (mut left, mut offset) = (meta.size, 0);
        while left > 0 && !self.writers.failed() {
            let mut bytes = self.writers.buffer();
            let read = (&file).take(left.min(PIECE as u64)).read_to_end(&mut bytes);
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(failed(self, error)),
            }
            let len = bytes.len() as u64;
            self.writers.piece(&large, offset, bytes);
            offset += len;
            left -= len;
        }
        self.writers.end_large(&large);
        Ok(())
    }

    /// Makes a link, after removing what is there if the policy says so.
    fn make_link(
        &self,
        operation: &'static str,
        parent: &Dir,
        path: &Path,
        make: impl Fn() -> std::io::Result<()>,
    ) -> Result<(), ExtractError> {
        let mut made = make();
        if self.policy.existing == Existing::Replace
            && made
                .as_ref()
                .is_err_and(|error| error.kind() == std::io::ErrorKind::AlreadyExists)
        {
            made = sys::remove_file(parent, last_name(path)).and_then(|()| make());
        }
        made.map_err(|error| {
            let error = FsError::new(operation, self.folder.shown(path), error);
            self.failed(ExtractErrorKind::Fs(error))
        })
    }

    /// Makes sure that the path may be made, and opens its directory.
    fn claim(&mut self, path: &Path) -> Result<Arc<Dir>, ExtractError> {
        if names(path).next().is_none() {
            let error = FsError::new("open", self.folder.path(), sys::is_a_dir());
            return Err(self.failed(ExtractErrorKind::Fs(error)));
        }
        if self.policy.duplicates != Duplicates::LastWins && !self.seen.insert(self.seen_hash(path))
        {
            return Err(self.failed(ExtractErrorKind::Duplicate));
        }
        self.wait_for_ancestors(path)?;
        let parent = self
            .parents
            .parent(path, Missing::Make)
            .map_err(|error| self.failed(ExtractErrorKind::Fs(error)))?;
        let linked = || {
            !parent.made
                && self.policy.existing == Existing::WriteThrough
                && sys::stat(&parent.dir, last_name(path)).is_ok_and(|meta| meta.is_symlink())
        };
        if parent.linked || linked() {
            // What is written has another path too, by which other entries may go to the writers.
            self.settle()?;
            self.settle_next = true;
        }
        Ok(parent.dir)
    }

    /// Notes that the file at `path` goes to the writers.
    fn unsettle(&mut self, path: &Path) -> Result<(), ExtractError> {
        let hash = self.hasher.hash_one(path);
        if self.unsettled.len() >= MAX_UNSETTLED || self.unsettled.contains(&hash) {
            self.settle()?;
        }
        self.unsettled.insert(hash);
        Ok(())
    }

    /// Waits until earlier entries are there that are no directories, but stand where `path` needs some.
    fn wait_for_ancestors(&mut self, path: &Path) -> Result<(), ExtractError> {
        for ancestor in path.ancestors().skip(1) {
            if self.parents.holds(ancestor) {
                break;
            }
            self.wait_for(ancestor)?;
        }
        Ok(())
    }

    /// Waits until an earlier entry at `path` is there.
    fn wait_for(&mut self, path: &Path) -> Result<(), ExtractError> {
        if self.unsettled.contains(&self.hasher.hash_one(path)) {
            self.settle()?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), ExtractError> {
        self.unsettled.clear();
        self.writers.settle()
    }

    fn seen_hash(&self, path: &Path) -> u64 {
        match self.policy.duplicates {
            Duplicates::RefuseIgnoringCase => {
                let folded = path.to_string_lossy().to_lowercase();
                self.hasher.hash_one(Path::new(&folded))
            }
            _ => self.hasher.hash_one(path),
        }
    }

    fn count_bytes(&mut self, bytes: u64) -> Result<(), ExtractError> {
        self.summary.bytes = self.summary.bytes.saturating_add(bytes);
        if self.summary.bytes > self.policy.max_bytes {
            return Err(self.limit(Limit::Bytes, self.policy.max_bytes));
        }
        Ok(())
    }

    fn mtime(&self) -> Timestamp {
        self.entry.mtime.min(self.begin)
    }
}
