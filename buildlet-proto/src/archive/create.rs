use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::Encoding;
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

    /// Makes the archive depend on nothing but names, kinds, contents and whether somebody may execute a file: every time is `seconds`
    /// since 1970, owners are 0 without names, permissions are 0755 or 0644.
    #[must_use]
    pub fn reproducible(mut self, seconds: i64) -> Self {
        self.reproducible = Some(seconds);
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
        let mut archiver = Archiver {
            tar: TarWriter::new(sink),
            owners: match self.options.reproducible {
                Some(_) => Owners::default(),
                None => Owners::of_the_system(),
            },
            options: &self.options,
            shown: self.walk.beginning().to_owned(),
            name: &self.name,
            buffer: vec![0; BUFFER],
            summary: Summary::default(),
        };
        while let Some(found) = self.walk.next() {
            let kind = archiver.add(&found)?;
            if kind == Some(Kind::Directory) {
                self.walk.enter(&found)?;
            }
        }
        let summary = archiver.summary;
        let sink = archiver.tar.finish().map_err(CreateError::Sink)?;
        Ok((sink, summary))
    }
}

struct Archiver<'a, W> {
    tar: TarWriter<W>,
    owners: Owners,
    options: &'a CreateOptions,
    /// The path of the beginning.
    shown: PathBuf,
    /// Name of the beginning, if it is no directory.
    name: &'a Path,
    buffer: Vec<u8>,
    summary: Summary,
}

impl<W: Write> Archiver<'_, W> {
    /// Writes an entry; tells what it was, `None` for what no archive holds.
    fn add(&mut self, found: &Found) -> Result<Option<Kind>, CreateError> {
        if found.kind == Some(Kind::Regular) {
            self.file(found)?;
            return Ok(found.kind);
        }
        let meta = found
            .stat()
            .map_err(|error| self.failed("lstat", found, error))?;
        let Some(kind) = meta.kind() else {
            self.summary.skipped_specials += 1;
            return Ok(None);
        };
        match kind {
            Kind::Regular => self.file(found)?,
            Kind::Symlink => {
                let target = sys::read_link(&found.dir, &found.name)
                    .map_err(|error| self.failed("readlink", found, error))?;
                self.begin(found, kind, &meta, sys::bytes(&target))?;
            }
            _ => self.begin(found, kind, &meta, b"")?,
        }
        Ok(Some(kind))
    }

    fn file(&mut self, found: &Found) -> Result<(), CreateError> {
        let open = |error| self.failed("open", found, error);
        let file = sys::open_read(&found.dir, &found.name).map_err(open)?;
        let meta = sys::stat_file(&file).map_err(open)?;
        if !meta.is_regular() {
            let error = io::Error::other("it was a regular file a moment ago");
            return Err(self.failed("open", found, error));
        }
        self.begin(found, Kind::Regular, &meta, b"")?;
        self.content(found, &file, meta.size)
    }

    fn content(&mut self, found: &Found, mut file: &File, size: u64) -> Result<(), CreateError> {
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
            let len = match file.read(&mut self.buffer[..most]) {
                Ok(0) => {
                    return Err(CreateError::Shrunk {
                        path: walk::shown(&self.shown, &found.path),
                        missing: left,
                    });
                }
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failed("read", found, error)),
            };
            self.tar
                .content(&self.buffer[..len])
                .map_err(CreateError::Sink)?;
            left -= len as u64;
        }
        self.summary.bytes += size;
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

    fn failed(&self, operation: &'static str, found: &Found, error: io::Error) -> CreateError {
        let path = walk::shown(&self.shown, &found.path);
        CreateError::Fs(FsError::new(operation, path, error))
    }
}

/// Begins a gzip stream.
pub(crate) fn gzip<W: Write>(
    sink: W,
    config: pargzip::Config,
) -> Result<pargzip::Writer<W>, CreateError> {
    pargzip::Writer::new(sink, config).map_err(|error| CreateError::Sink(error.into()))
}
