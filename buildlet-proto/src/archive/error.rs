use std::path::{Path, PathBuf};
use std::{error, fmt, io};

use super::fs_error::{FsError, OsText};
use crate::types::{FileMode, GoQuoted, PathError};

/// An archive could not be unpacked, or not to its end. What was unpacked stays.
///
/// Displays the text that a Go buildlet answers in the same case.
#[derive(Debug)]
pub struct ExtractError {
    pub(crate) kind: ExtractErrorKind,
    entry: Option<Vec<u8>>,
    offset: u64,
}

/// What ended an extraction.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ExtractErrorKind {
    /// The input is not gzip.
    NotGzip(io::Error),
    /// The input is not tar.
    Header(HeaderFault),
    /// The input cannot be read where a header should be: it is cut short, does not have its checksum, or its source failed.
    Read(io::Error),
    /// The input cannot be read inside a file's content.
    ReadContent { path: PathBuf, error: io::Error },
    /// The name is not allowed.
    Name(PathError),
    /// The name has what the rules of [`Names::Stage0`](super::Names::Stage0) refuse.
    Stage0Name,
    /// The entry is a link, device or the like that the policy refuses; `mode` shows its type.
    Type { mode: FileMode },
    /// The target of a link is not allowed.
    Target { target: Vec<u8> },
    /// There was an entry of this name before.
    Duplicate,
    /// The archive is larger than the policy allows.
    Limit { what: Limit, most: u64 },
    /// The folder to unpack into could not be made.
    Base(FsError),
    /// A file or directory could not be made.
    Fs(FsError),
    /// Content could not be written.
    Write(FsError),
}

/// What a [`Policy`](super::Policy) limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// The number of entries.
    Entries,
    /// Bytes of all files.
    Bytes,
    /// Bytes of one file.
    FileBytes,
    /// Names in a path.
    Depth,
    /// Bytes of the tar stream, by a multitude of headers.
    Stream,
}

/// Why a header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum HeaderFault {
    /// The bytes do not have the checksum that stands in them.
    Checksum,
    /// A number cannot be read, is negative or too large.
    Number(&'static str),
    /// A pax record has another form than `LENGTH KEY=VALUE`, or a zero byte in its value.
    PaxRecord,
    /// Two records of one kind are about the same entry: programs differ in which one counts.
    TwoRecords,
    /// A record about the next entry is too long.
    LongRecord { limit: u64 },
    /// The entry is a sparse file, in a form of GNU tar.
    Sparse,
    /// There is a single zero block, which does not end an archive.
    LoneZeroBlock,
}

impl ExtractError {
    pub(crate) fn new(kind: ExtractErrorKind, entry: Option<&[u8]>, offset: u64) -> Self {
        Self {
            kind,
            entry: entry.map(<[u8]>::to_vec),
            offset,
        }
    }

    /// The folder to unpack into could not be made.
    pub(crate) fn base(error: FsError) -> Self {
        Self::new(ExtractErrorKind::Base(error), None, 0)
    }

    /// What was wrong.
    #[must_use]
    pub fn kind(&self) -> &ExtractErrorKind {
        &self.kind
    }

    /// Name of the entry that could not be unpacked, as it stands in the archive; `None` between entries.
    #[must_use]
    pub fn entry(&self) -> Option<&[u8]> {
        self.entry.as_deref()
    }

    /// Where the entry's header, or what should have been one, begins: bytes of the uncompressed stream.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The status that a buildlet answers: 400 for an archive that cannot be, 413 for one that is too large, 500 for the rest.
    #[must_use]
    pub fn status(&self) -> u16 {
        use ExtractErrorKind as Kind;
        match self.kind {
            Kind::NotGzip(_)
            | Kind::Header(_)
            | Kind::Read(_)
            | Kind::Name(_)
            | Kind::Stage0Name
            | Kind::Type { .. }
            | Kind::Target { .. }
            | Kind::Duplicate => 400,
            Kind::Limit { .. } => 413,
            Kind::ReadContent { .. } | Kind::Base(_) | Kind::Fs(_) | Kind::Write(_) => 500,
        }
    }

    /// The error of the input or of the operating system, if it was one.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        use ExtractErrorKind as Kind;
        match &self.kind {
            Kind::NotGzip(error) | Kind::Read(error) | Kind::ReadContent { error, .. } => {
                Some(error)
            }
            Kind::Base(error) | Kind::Fs(error) | Kind::Write(error) => Some(error.io_error()),
            _ => None,
        }
    }
}

impl fmt::Display for ExtractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ExtractErrorKind as Kind;
        let entry = self.entry.as_deref().unwrap_or_default();
        let name = Name(entry);
        match &self.kind {
            Kind::NotGzip(error) => {
                write!(f, "requires gzip-compressed body: {}", GzipText(error))
            }
            Kind::Header(HeaderFault::Sparse) => {
                f.write_str("tar error: sparse files are not supported")
            }
            Kind::Header(_) => f.write_str("tar error: archive/tar: invalid tar header"),
            Kind::Read(error) => write!(f, "tar error: {}", GzipText(error)),
            Kind::ReadContent { path, error } => {
                write!(
                    f,
                    "error writing to {}: {}",
                    path.display(),
                    GzipText(error)
                )
            }
            Kind::Name(error) => write!(
                f,
                "tar file contained invalid name {}: {error}",
                GoQuoted(entry)
            ),
            Kind::Stage0Name => {
                write!(f, "tar contained invalid name error {}", GoQuoted(entry))
            }
            Kind::Type { mode } => write!(
                f,
                "tar file entry {name} contained unsupported file type {mode}"
            ),
            Kind::Target { target } => write!(
                f,
                "tar file entry {name} is a link to {}, which is not allowed",
                GoQuoted(target)
            ),
            Kind::Duplicate => write!(f, "tar file contained {} twice", GoQuoted(entry)),
            Kind::Limit { what, most } => match what {
                Limit::Entries => write!(f, "tar file has more than {most} entries"),
                Limit::Bytes => write!(f, "tar file has more than {most} bytes of content"),
                Limit::FileBytes => {
                    write!(f, "tar file entry {name} has more than {most} bytes")
                }
                Limit::Depth => write!(
                    f,
                    "tar file contained a name of more than {most} parts: {}",
                    GoQuoted(entry)
                ),
                Limit::Stream => write!(f, "tar file is longer than {most} bytes"),
            },
            Kind::Base(error) => write!(f, "mkdir of base: {error}"),
            Kind::Fs(error) => write!(f, "{error}"),
            Kind::Write(error) => {
                write!(f, "error writing to {}: {error}", error.path().display())
            }
        }
    }
}

impl error::Error for ExtractError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.kind {
            ExtractErrorKind::Header(fault) => Some(fault),
            _ => self.io_error()?.source(),
        }
    }
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checksum => f.write_str("its checksum does not hold"),
            Self::Number(field) => write!(f, "its {field} is no number that can be"),
            Self::PaxRecord => f.write_str("its pax record is malformed"),
            Self::TwoRecords => f.write_str("two records of a kind are about the same entry"),
            Self::LongRecord { limit } => {
                write!(f, "a record about it has more than {limit} bytes")
            }
            Self::Sparse => f.write_str("it is a sparse file"),
            Self::LoneZeroBlock => f.write_str("a single zero block comes before it"),
        }
    }
}

impl error::Error for HeaderFault {}

/// A name as upstream writes it, but quoted if it would break the line.
struct Name<'a>(&'a [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.iter().any(u8::is_ascii_control) {
            return write!(f, "{}", GoQuoted(self.0));
        }
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}

/// An error of reading, in the words of Go's gzip where they are known.
struct GzipText<'a>(&'a io::Error);

impl fmt::Display for GzipText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use pargzip::ReadError;
        f.write_str(match ReadError::of(self.0) {
            Some(ReadError::Truncated { offset: 0 }) => "EOF",
            Some(ReadError::Truncated { .. }) => "unexpected EOF",
            Some(
                ReadError::NotGzip { .. }
                | ReadError::UnknownMethod { .. }
                | ReadError::ReservedFlags { .. }
                | ReadError::HeaderChecksum { .. }
                | ReadError::TrailingGarbage { .. },
            ) => "gzip: invalid header",
            Some(ReadError::Checksum { .. } | ReadError::Length { .. }) => "gzip: invalid checksum",
            _ => return write!(f, "{}", OsText(self.0)),
        })
    }
}

/// A directory could not be archived.
///
/// Displays what a Go program says of the file; an archive that was begun is not complete.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum CreateError {
    /// A directory, file or link could not be read.
    Fs(FsError),
    /// A file has fewer bytes than when it was opened.
    Shrunk { path: PathBuf, missing: u64 },
    /// Content that was said to have a size has more bytes.
    Surplus { path: PathBuf },
    /// Directories lie deeper in one another than the walk goes.
    Depth { path: PathBuf, most: usize },
    /// The archive could not be written.
    Sink(io::Error),
}

impl CreateError {
    /// The status that a buildlet answers if nothing was sent yet: 404 for what does not exist, else 500.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Fs(error) if error.kind() == io::ErrorKind::NotFound => 404,
            _ => 500,
        }
    }

    /// What could not be archived; `None` if the archive could not be written.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Fs(error) => Some(error.path()),
            Self::Shrunk { path, .. } | Self::Surplus { path } | Self::Depth { path, .. } => {
                Some(path)
            }
            Self::Sink(_) => None,
        }
    }
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fs(error) => write!(f, "{error}"),
            Self::Shrunk { path, missing } => write!(
                f,
                "read {}: {missing} bytes fewer than were announced",
                path.display()
            ),
            Self::Depth { path, most } => {
                write!(
                    f,
                    "open {}: more than {most} directories deep",
                    path.display()
                )
            }
            Self::Surplus { path } => {
                write!(f, "read {}: more bytes than were announced", path.display())
            }
            Self::Sink(error) => write!(f, "cannot write the archive: {}", OsText(error)),
        }
    }
}

impl error::Error for CreateError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Fs(error) => error::Error::source(error),
            Self::Sink(error) => error::Error::source(error),
            _ => None,
        }
    }
}

impl From<FsError> for CreateError {
    fn from(error: FsError) -> Self {
        Self::Fs(error)
    }
}
