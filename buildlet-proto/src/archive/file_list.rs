use std::fmt;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;

use super::Encoding;
use super::create::{BUFFER, gzip};
use super::error::CreateError;
use super::extract::Summary;
use super::fs_error::FsError;
use super::header::Kind;
use super::tar_writer::{Item, TarWriter};

/// Files that are put together to an archive, without being a directory anywhere.
///
/// Entries come in the order they were added, with names, modes and times as given, and owned by 0 without a name: an archive depends on
/// nothing else. It can be written many times.
///
/// ```
/// use buildlet_proto::archive::{Encoding, FileList};
///
/// let mut files = FileList::new();
/// files.directory("d/", 0o755, 1_000_000_000);
/// files.file("d/hello", 0o644, 1_000_000_000, 5, b"hello");
/// let mut tgz = Vec::new();
/// files.write(&mut tgz, Encoding::Gzip)?;
/// # Ok::<(), buildlet_proto::archive::CreateError>(())
/// ```
#[derive(Default)]
pub struct FileList {
    files: Vec<Listed>,
}

struct Listed {
    item: Item<'static>,
    name: Vec<u8>,
    link: Vec<u8>,
    content: Option<Box<dyn Content>>,
}

/// Content of a file that can be read from its beginning as often as wanted.
pub trait Content: Send + Sync {
    /// Begins to read.
    ///
    /// # Errors
    ///
    /// When it cannot be had.
    fn open(&self) -> io::Result<Box<dyn Read + '_>>;
}

impl Content for Vec<u8> {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.as_slice()))
    }
}

impl Content for &'static [u8] {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(*self))
    }
}

impl<const N: usize> Content for &'static [u8; N] {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.as_slice()))
    }
}

/// A file, by its path, as it is when the archive is written.
impl Content for PathBuf {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(std::fs::File::open(self)?))
    }
}

impl FileList {
    /// No files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory; `name` ends with a slash by custom. `mode` has the twelve permission bits, `mtime` are seconds since
    /// 1970.
    pub fn directory(&mut self, name: impl Into<Vec<u8>>, mode: u32, mtime: i64) {
        self.add(Kind::Directory, name, mode, mtime);
    }

    /// Adds a symbolic link.
    pub fn symlink(
        &mut self,
        name: impl Into<Vec<u8>>,
        target: impl Into<Vec<u8>>,
        mode: u32,
        mtime: i64,
    ) {
        self.add(Kind::Symlink, name, mode, mtime).link = target.into();
    }

    /// Adds a file of `size` bytes. Content that has fewer or more is an error when the archive is written.
    pub fn file(
        &mut self,
        name: impl Into<Vec<u8>>,
        mode: u32,
        mtime: i64,
        size: u64,
        content: impl Content + 'static,
    ) {
        let listed = self.add(Kind::Regular, name, mode, mtime);
        listed.item.size = size;
        listed.content = Some(Box::new(content));
    }

    fn add(&mut self, kind: Kind, name: impl Into<Vec<u8>>, mode: u32, mtime: i64) -> &mut Listed {
        let item = Item {
            kind,
            mode: mode & 0o7777,
            mtime,
            ..Item::default()
        };
        self.files.push(Listed {
            item,
            name: name.into(),
            link: Vec::new(),
            content: None,
        });
        self.files.last_mut().expect("one was just added")
    }

    /// Writes the archive.
    ///
    /// # Errors
    ///
    /// When a file's content cannot be read or has not as many bytes as was said, or `sink` fails. What was written then has no
    /// end: do not end the stream as if it were complete.
    pub fn write<W: Write>(&self, sink: W, encoding: Encoding) -> Result<Summary, CreateError> {
        match encoding {
            Encoding::Tar => {
                let (mut sink, summary) = self.write_tar(BufWriter::with_capacity(BUFFER, sink))?;
                sink.flush().map_err(CreateError::Sink)?;
                Ok(summary)
            }
            Encoding::Gzip => {
                let (gz, summary) = self.write_tar(gzip(sink, pargzip::Config::default())?)?;
                gz.finish()
                    .map_err(|error| CreateError::Sink(error.into()))?;
                Ok(summary)
            }
        }
    }

    fn write_tar<W: Write>(&self, sink: W) -> Result<(W, Summary), CreateError> {
        let mut tar = TarWriter::new(sink);
        let mut summary = Summary::default();
        let mut buffer = vec![0; BUFFER];
        for listed in &self.files {
            let item = Item {
                name: &listed.name,
                link: &listed.link,
                ..listed.item.clone()
            };
            tar.begin(&item).map_err(CreateError::Sink)?;
            summary.entries += 1;
            let Some(content) = &listed.content else {
                continue;
            };
            let read_error = |error| CreateError::Fs(FsError::new("read", listed.path(), error));
            let mut content = content.open().map_err(read_error)?;
            let mut left = item.size;
            loop {
                let len = match content.read(&mut buffer) {
                    Ok(len) => len as u64,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(read_error(error)),
                };
                if len > left {
                    return Err(CreateError::Surplus {
                        path: listed.path(),
                    });
                }
                if len == 0 {
                    break;
                }
                tar.content(&buffer[..len as usize])
                    .map_err(CreateError::Sink)?;
                left -= len;
            }
            if left > 0 {
                return Err(CreateError::Shrunk {
                    path: listed.path(),
                    missing: left,
                });
            }
            summary.bytes += item.size;
        }
        Ok((tar.finish().map_err(CreateError::Sink)?, summary))
    }
}

impl Listed {
    fn path(&self) -> PathBuf {
        super::sys::os_string(&self.name).into()
    }
}

impl fmt::Debug for FileList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.files.iter().map(|listed| listed.name.escape_ascii());
        f.debug_list()
            .entries(names.map(|name| name.to_string()))
            .finish()
    }
}
