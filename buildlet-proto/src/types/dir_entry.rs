use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use super::form::lossy;
use super::{FileMode, GoQuoted, timestamp};

/// An entry of a directory: one line of `/ls`.
///
/// ```
/// use buildlet_proto::types::DirEntry;
/// let entry = DirEntry::parse(b"-rw-r--r--\tsrc/a b\t3\t2001-09-09T01:46:40Z")?;
/// assert_eq!((entry.name().as_ref(), entry.size()), ("src/a b", Some(3)));
/// assert_eq!(DirEntry::parse(b"drwxr-xr-x\tsrc/")?.name(), "src");
/// # Ok::<(), buildlet_proto::types::ParseDirEntryError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    mode: FileMode,
    name: Vec<u8>,
    file: Option<FileInfo>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FileInfo {
    size: u64,
    modified: SystemTime,
    digest: Option<String>,
}

impl DirEntry {
    /// An entry of any kind but a regular file: a directory, a link, a device.
    ///
    /// `name` is relative to the listed directory, with `/` for separator.
    #[must_use]
    pub fn new(mode: FileMode, name: impl Into<Vec<u8>>) -> Self {
        Self {
            mode,
            name: name.into(),
            file: None,
        }
    }

    /// A regular file of `size` bytes.
    #[must_use]
    pub fn file(mode: FileMode, name: impl Into<Vec<u8>>, size: u64, modified: SystemTime) -> Self {
        let file = FileInfo {
            size,
            modified,
            digest: None,
        };
        Self {
            file: Some(file),
            ..Self::new(mode, name)
        }
    }

    /// Adds the SHA-1 of the content, in lower-case hexadecimal digits. Only files have one.
    #[must_use]
    pub fn with_digest(mut self, sha1: impl Into<String>) -> Self {
        if let Some(file) = &mut self.file {
            file.digest = Some(sha1.into());
        }
        self
    }

    /// Reads a line, without its end.
    ///
    /// # Errors
    ///
    /// When the fields have another form. Names are not escaped in the format, so a name with a line feed or a TAB in it has
    /// this effect too.
    pub fn parse(line: &[u8]) -> Result<Self, ParseDirEntryError> {
        let refused = |problem| ParseDirEntryError {
            line: lossy(&line[..line.len().min(SHOWN)]).into_owned(),
            problem,
        };
        let mut fields = line.split(|byte| *byte == b'\t');
        let mode: FileMode = fields
            .next()
            .and_then(|mode| lossy(mode).parse().ok())
            .ok_or_else(|| refused(Problem::Mode))?;
        let name = fields.next().ok_or_else(|| refused(Problem::Name))?;
        let name = if mode.is_dir() {
            name.strip_suffix(b"/").unwrap_or(name)
        } else {
            name
        };
        let mut fields = fields.map(lossy);
        let file = match fields.next() {
            None => None,
            Some(size) => Some(FileInfo {
                size: size.parse().map_err(|_| refused(Problem::Size))?,
                modified: fields
                    .next()
                    .and_then(|time| timestamp::parse(&time))
                    .ok_or_else(|| refused(Problem::Time))?,
                digest: fields.next().map(Cow::into_owned),
            }),
        };
        if fields.next().is_some() {
            return Err(refused(Problem::Surplus));
        }
        Ok(Self {
            mode,
            name: name.to_vec(),
            file,
        })
    }

    /// Appends the line, with its end.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.mode.to_string().as_bytes());
        out.push(b'\t');
        out.extend_from_slice(&self.name);
        if self.mode.is_dir() {
            out.push(b'/');
        }
        if let Some(file) = &self.file {
            let time = timestamp::format(file.modified);
            out.extend_from_slice(format!("\t{}\t{time}", file.size).as_bytes());
            if let Some(digest) = &file.digest {
                out.push(b'\t');
                out.extend_from_slice(digest.as_bytes());
            }
        }
        out.push(b'\n');
    }

    /// Kind and permissions.
    #[must_use]
    pub fn mode(&self) -> FileMode {
        self.mode
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.mode.is_dir()
    }

    /// The path relative to the listed directory, with `/` for separator and none at the end; what is no UTF-8 in it is
    /// replaced. Empty if the listed path is itself no directory.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        lossy(&self.name)
    }

    /// The bytes of [`name`](Self::name).
    #[must_use]
    pub fn name_bytes(&self) -> &[u8] {
        &self.name
    }

    /// Length in bytes, of a regular file.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.file.as_ref().map(|file| file.size)
    }

    /// When a regular file was last written to, in whole seconds.
    #[must_use]
    pub fn modified(&self) -> Option<SystemTime> {
        self.file.as_ref().map(|file| file.modified)
    }

    /// SHA-1 of a regular file's content, in lower-case hexadecimal digits, if it was asked for.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.file.as_ref()?.digest.as_deref()
    }
}

/// So much of a bad line is kept to be shown.
const SHOWN: usize = 200;

/// A line of `/ls` has a form of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseDirEntryError {
    line: String,
    problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    Mode,
    Name,
    Size,
    Time,
    Surplus,
}

impl fmt::Display for ParseDirEntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.problem {
            Problem::Mode => "has no file mode",
            Problem::Name => "has no name",
            Problem::Size => "has a bad size",
            Problem::Time => "has a bad time",
            Problem::Surplus => "has too many fields",
        };
        write!(f, "line {} {problem}", GoQuoted(self.line.as_bytes()))
    }
}

impl std::error::Error for ParseDirEntryError {}
