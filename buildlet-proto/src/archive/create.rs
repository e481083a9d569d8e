use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;

use super::Encoding;
use super::ahead::{Ahead, InOrder};
use super::error::CreateError;
use super::extract::Summary;
use super::folder::Folder;
use super::fs_error::FsError;
use super::header::Kind;
use super::owners::Owners;
use super::sys::{self, Meta};
use super::tar_writer::{Item, TarWriter};
use super::walk::{self, Found, Walk, path_bytes};
use crate::types::RelativePath;

/// How an archive is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateOptions {
    pub(crate) level: u32,
    pub(crate) backend: pargzip::Backend,
    pub(crate) threads: Option<usize>,
    pub(crate) reproducible: Option<i64>,
}

impl Default for CreateOptions {
    /// Owners and times as they are; gzip level 6 by the fastest backend that is compiled in, on every CPU.
    ///
    /// Which that is depends on the feature `libdeflate` (of this crate or, in the same program, of pargzip), and so do the compressed
    /// bytes; the tar stream in them does not.
    fn default() -> Self {
        Self {
            level: 6,
            backend: pargzip::Backend::fastest(),
            threads: None,
            reproducible: None,
        }
    }
}

impl CreateOptions {
    /// gzip's level, 0 to 9, 6 by default; larger ones count as 9.
    #[must_use]
    pub fn level(mut self, level: u32) -> Self {
        self.level = level.min(9);
        self
    }

    /// Threads that compress, and as many that read files: 1 to 64; numbers beyond count as these. By default the number of CPUs,
    /// at most 8 for reading.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.clamp(1, super::Policy::MAX_THREADS));
        self
    }

    /// See [`threads`](Self::threads).
    fn reading_threads(&self) -> usize {
        self.threads.unwrap_or_else(super::cpus)
    }

    /// Makes the archive depend on nothing but names, kinds, contents and whether somebody may execute a file: every time is `seconds`
    /// since 1970, owners are 0 without names, permissions are 0755 or 0644, and gzip is made by zlib-rs whatever features are on.
    #[must_use]
    pub fn reproducible(mut self, seconds: i64) -> Self {
        self.reproducible = Some(seconds);
        self.backend = pargzip::Backend::ZlibRs;
        self
    }
}

/// A directory, or a single file, that was found and can be archived.
///
/// The entries come in the byte order of their names, each directory before what is in it, relative to the directory and
/// without it. Links are not followed, sockets are left out. A file or link alone has its own name (golang/go 64195).
#[derive(Debug)]
pub struct Source {
    walk: Walk,
    /// Name of the entry, if it is no directory.
    name: PathBuf,
    options: CreateOptions,
}

/// Bytes read of a file, and written of a plain tar stream, at a time.
pub(crate) const BUFFER: usize = 256 << 10;

impl Source {
    /// Finds `path` in `folder`. Links to its parents are followed inside; one at its end is what is archived.
    ///
    /// # Errors
    ///
    /// When it does not exist or cannot be read.
    pub fn open(
        folder: &Folder,
        path: &RelativePath,
        options: CreateOptions,
    ) -> Result<Self, CreateError> {
        let path = path.as_path();
        Ok(Self {
            walk: Walk::new(folder, path)?,
            name: path.file_name().map(PathBuf::from).unwrap_or_default(),
            options,
        })
    }

    /// Writes the archive. gzip comes in members of 1 MiB of tar, as the Go buildlet makes them.
    ///
    /// A file that grows meanwhile is archived as long as it was when it was opened.
    ///
    /// # Errors
    ///
    /// When something cannot be read, or has become shorter while it was read, or `sink` fails. What was written then has no
    /// end, so that it cannot be taken for an archive that is complete: do not end the stream as if it were.
    pub fn write<W: Write>(self, sink: W, encoding: Encoding) -> Result<Summary, CreateError> {
        match encoding {
            Encoding::Tar => {
                let sink = BufWriter::with_capacity(BUFFER, sink);
                let (mut sink, summary) = self.write_tar(sink)?;
                sink.flush().map_err(CreateError::Sink)?;
                Ok(summary)
            }
            Encoding::Gzip => {
                let mut config = pargzip::Config::default()
                    .level(self.options.level)
                    .backend(self.options.backend);
                if let Some(threads) = self.options.threads {
                    config = config.threads(threads);
                }
                let (gz, summary) = self.write_tar(gzip(sink, config)?)?;
                gz.finish()
                    .map_err(|error| CreateError::Sink(error.into()))?;
                Ok(summary)
            }
        }
    }

    fn write_tar<W: Write>(mut self, sink: W) -> Result<(W, Summary), CreateError> {
        let threads = self.options.reading_threads();
        let beginning = self.walk.beginning().to_owned();
        let ahead = Ahead::new(|batch: Batch| batch.read(&beginning));
        thread::scope(|scope| {
            let mut batches = InOrder::new(scope, &ahead, threads);
            let mut archiver = Archiver {
                tar: TarWriter::new(sink),
                owners: match self.options.reproducible {
                    Some(_) => Owners::default(),
                    None => Owners::of_the_system(),
                },
                options: &self.options,
                shown: &beginning,
                name: &self.name,
                buffer: vec![0; BUFFER],
                spare: Vec::new(),
                summary: Summary::default(),
            };
            // As many wait as are worked on.
            let most = 2 * threads + 2;
            let mut walking = true;
            loop {
                while walking && batches.len() < most {
                    let batch = Batch::collect(&mut self.walk, archiver.spare.pop());
                    walking = batch.error.is_none() && !batch.found.is_empty();
                    batches.push(batch);
                }
                match batches.pop() {
                    Some(read) => archiver.add(read)?,
                    None if batches.len() == 0 => break,
                    // The archive must not look complete while the panic is on its way.
                    None => {
                        let error = io::Error::other("a thread that read files panicked");
                        return Err(CreateError::Sink(error));
                    }
                }
            }
            let summary = archiver.summary;
            let sink = archiver.tar.finish().map_err(CreateError::Sink)?;
            Ok((sink, summary))
        })
    }
}

/// Entries in a batch, directories they are in (which are held open), and bytes of content that are read with them: so the memory of a
/// batch is bounded, and handing it over costs nothing beside opening files.
const BATCH_ENTRIES: usize = 64;
const BATCH_DIRECTORIES: usize = 8;
const BATCH_BYTES: usize = 512 << 10;

/// Content up to which a file is read with its batch. Larger ones are read when they are written.
const SMALL: u64 = 128 << 10;

/// What a walk came by, in order.
#[derive(Debug, Default)]
struct Batch {
    found: Vec<Found>,
    /// What ended the walk, behind the last one found.
    error: Option<CreateError>,
    /// A buffer to be used again.
    bytes: Vec<u8>,
}

/// A batch with all that was learned of it.
#[derive(Debug)]
struct ReadBatch {
    entries: Vec<(Found, Result<Seen, CreateError>)>,
    error: Option<CreateError>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum Seen {
    Entry(Kind, Meta),
    Link(Meta, OsString),
    /// A file with its content.
    Small(Meta, Range<usize>),
    /// A file whose content is read later.
    Large,
    /// A socket, or the like.
    Special,
}

impl Batch {
    /// Goes on with the walk.
    fn collect(walk: &mut Walk, bytes: Option<Vec<u8>>) -> Self {
        let mut batch = Self {
            bytes: bytes.unwrap_or_default(),
            ..Self::default()
        };
        let mut directories = 0;
        while batch.found.len() < BATCH_ENTRIES && directories < BATCH_DIRECTORIES {
            let Some(mut found) = walk.next() else { break };
            if found.kind.is_none() {
                // The file system did not say, and the walk must know.
                match found.stat() {
                    Ok(meta) => found.kind = meta.kind(),
                    Err(error) => {
                        batch.error = Some(failed("lstat", walk.beginning(), &found, error));
                        break;
                    }
                }
            }
            if found.kind == Some(Kind::Directory) {
                directories += 1;
                if let Err(error) = walk.enter(&found) {
                    batch.error = Some(error);
                    break;
                }
            }
            batch.found.push(found);
        }
        batch
    }

    fn read(self, beginning: &Path) -> ReadBatch {
        let mut bytes = self.bytes;
        bytes.clear();
        let mut entries = Vec::with_capacity(self.found.len());
        for found in self.found {
            let seen = see(&found, beginning, &mut bytes);
            let end = seen.is_err();
            entries.push((found, seen));
            if end {
                break;
            }
        }
        ReadBatch {
            entries,
            error: self.error,
            bytes,
        }
    }
}

fn see(found: &Found, beginning: &Path, bytes: &mut Vec<u8>) -> Result<Seen, CreateError> {
    let failed = |operation, error| failed(operation, beginning, found, error);
    if found.kind == Some(Kind::Regular) {
        return see_file(found, beginning, bytes);
    }
    let meta = found.stat().map_err(|error| failed("lstat", error))?;
    match meta.kind() {
        None => Ok(Seen::Special),
        Some(Kind::Regular) => see_file(found, beginning, bytes),
        Some(Kind::Symlink) => {
            let target = sys::read_link(&found.dir, &found.name)
                .map_err(|error| failed("readlink", error))?;
            Ok(Seen::Link(meta, target))
        }
        // It became one since the walk was there.
        Some(Kind::Directory) if found.kind != Some(Kind::Directory) => Err(failed(
            "lstat",
            io::Error::other("it was no directory a moment ago"),
        )),
        Some(kind) => Ok(Seen::Entry(kind, meta)),
    }
}

fn see_file(found: &Found, beginning: &Path, bytes: &mut Vec<u8>) -> Result<Seen, CreateError> {
    let (mut file, meta) = open_file(found, beginning)?;
    let begin = bytes.len();
    if meta.size > SMALL || begin >= BATCH_BYTES {
        return Ok(Seen::Large);
    }
    // No more than that, and no question whether there is more.
    let end = begin + meta.size as usize;
    bytes.resize(end, 0);
    let mut at = begin;
    while at < end {
        match file.read(&mut bytes[at..end]) {
            Ok(0) => {
                return Err(CreateError::Shrunk {
                    path: walk::shown(beginning, &found.path),
                    missing: (end - at) as u64,
                });
            }
            Ok(len) => at += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read", beginning, found, error)),
        }
    }
    Ok(Seen::Small(meta, begin..end))
}

fn open_file(found: &Found, beginning: &Path) -> Result<(File, Meta), CreateError> {
    let failed = |error| failed("open", beginning, found, error);
    let file = sys::open_read(&found.dir, &found.name).map_err(failed)?;
    let meta = sys::stat_file(&file).map_err(failed)?;
    if !meta.is_regular() {
        return Err(failed(io::Error::other(
            "it was a regular file a moment ago",
        )));
    }
    Ok((file, meta))
}

fn failed(
    operation: &'static str,
    beginning: &Path,
    found: &Found,
    error: io::Error,
) -> CreateError {
    let path = walk::shown(beginning, &found.path);
    CreateError::Fs(FsError::new(operation, path, error))
}

struct Archiver<'a, W> {
    tar: TarWriter<W>,
    owners: Owners,
    options: &'a CreateOptions,
    /// The path of the beginning.
    shown: &'a Path,
    /// Name of the beginning, if it is no directory.
    name: &'a Path,
    buffer: Vec<u8>,
    /// Buffers of batches that are done.
    spare: Vec<Vec<u8>>,
    summary: Summary,
}

impl<W: Write> Archiver<'_, W> {
    fn add(&mut self, batch: ReadBatch) -> Result<(), CreateError> {
        for (found, seen) in &batch.entries {
            match seen {
                Ok(Seen::Entry(kind, meta)) => self.begin(found, *kind, meta, b"")?,
                Ok(Seen::Link(meta, target)) => {
                    self.begin(found, Kind::Symlink, meta, sys::bytes(target))?;
                }
                Ok(Seen::Small(meta, range)) => {
                    self.begin(found, Kind::Regular, meta, b"")?;
                    self.tar
                        .content(&batch.bytes[range.clone()])
                        .map_err(CreateError::Sink)?;
                    self.summary.bytes += meta.size;
                }
                Ok(Seen::Large) => self.large(found)?,
                Ok(Seen::Special) => self.summary.skipped_specials += 1,
                Err(_) => {}
            }
        }
        let first = batch.entries.into_iter().find_map(|(_, seen)| seen.err());
        if let Some(error) = first.or(batch.error) {
            return Err(error);
        }
        self.spare.push(batch.bytes);
        Ok(())
    }

    fn large(&mut self, found: &Found) -> Result<(), CreateError> {
        let (mut file, meta) = open_file(found, self.shown)?;
        self.begin(found, Kind::Regular, &meta, b"")?;
        let mut left = meta.size;
        while left > 0 {
            let most = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
            let len = match file.read(&mut self.buffer[..most]) {
                Ok(0) => {
                    return Err(CreateError::Shrunk {
                        path: walk::shown(self.shown, &found.path),
                        missing: left,
                    });
                }
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed("read", self.shown, found, error)),
            };
            self.tar
                .content(&self.buffer[..len])
                .map_err(CreateError::Sink)?;
            left -= len as u64;
        }
        self.summary.bytes += meta.size;
        Ok(())
    }

    /// Writes a header.
    fn begin(
        &mut self,
        found: &Found,
        kind: Kind,
        meta: &Meta,
        link: &[u8],
    ) -> Result<(), CreateError> {
        let path = if found.path.as_os_str().is_empty() {
            self.name
        } else {
            &found.path
        };
        let mut name = path_bytes(path);
        if kind == Kind::Directory {
            name.push(b'/');
        }
        let mut item = Item {
            kind,
            name: &name,
            link,
            mode: meta.mode & 0o7777,
            size: if kind == Kind::Regular { meta.size } else { 0 },
            device: match kind {
                Kind::CharDevice | Kind::BlockDevice => meta.device,
                _ => (0, 0),
            },
            ..Item::default()
        };
        if let Some(mtime) = self.options.reproducible {
            item.mtime = mtime;
            item.mode = match kind {
                Kind::Symlink => 0o777,
                Kind::Directory => 0o755,
                _ if meta.mode & 0o111 != 0 => 0o755,
                _ => 0o644,
            };
        } else {
            item.mtime = meta.mtime.seconds;
            (item.uid, item.gid) = (meta.uid, meta.gid);
            item.user = self.owners.user(meta.uid);
            item.group = self.owners.group(meta.gid);
        }
        self.summary.entries += 1;
        self.tar.begin(&item).map_err(CreateError::Sink)
    }
}

/// Begins a gzip stream.
pub(crate) fn gzip<W: Write>(
    sink: W,
    config: pargzip::Config,
) -> Result<pargzip::Writer<W>, CreateError> {
    pargzip::Writer::new(sink, config).map_err(|error| CreateError::Sink(error.into()))
}
