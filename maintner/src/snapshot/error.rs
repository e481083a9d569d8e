use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;

/// Why a snapshot was not used, or not made. The log is read then, as if there were none.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum SnapshotError {
    /// The corpus has no log, or no file was named for its snapshot.
    NotConfigured,
    /// It could not be read.
    Read { path: PathBuf, source: io::Error },
    /// It could not be written; what was written of it is gone, and an older one is still there.
    Write { path: PathBuf, source: io::Error },
    /// Another process writes it just now.
    Busy { path: PathBuf },
    /// The file is something else.
    Foreign,
    /// It was written by a program with another layout.
    Version { version: u32 },
    /// It was written on another kind of machine, or with another version of a library.
    Machine,
    /// Its end is missing, or its beginning was never written.
    Torn,
    /// Some of its bytes are not what was written, in the MiB that begins here.
    Damaged { offset: u64 },
    /// Its checksums are right, but what it says cannot be.
    Senseless,
    /// The log is not the one that it was made from and some more: this segment is another, shorter, or gone.
    Log { segment: String },
}

impl Display for SnapshotError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConfigured => f.write_str(
                "the corpus has no log, or no file for its snapshot; see Config::snapshot",
            ),
            Self::Read { path, .. } => write!(f, "cannot read the snapshot {}", path.display()),
            Self::Write { path, .. } => write!(f, "cannot write the snapshot {}", path.display()),
            Self::Busy { path } => write!(
                f,
                "another process is writing the snapshot {}",
                path.display()
            ),
            Self::Foreign => f.write_str("the file is no snapshot"),
            Self::Version { version } => {
                write!(
                    f,
                    "the snapshot has layout {version}, which is not this program's"
                )
            }
            Self::Machine => f.write_str("the snapshot is of another kind of machine or program"),
            Self::Torn => f.write_str("the snapshot is not whole"),
            Self::Damaged { offset } => {
                write!(f, "the snapshot is damaged in the MiB from byte {offset}")
            }
            Self::Senseless => f.write_str("the snapshot makes no sense"),
            Self::Log { segment } => write!(
                f,
                "the snapshot is of another log: segment {segment} is not what it was"
            ),
        }
    }
}

impl Error for SnapshotError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => Some(source),
            _ => None,
        }
    }
}
