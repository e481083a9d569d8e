use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::reclog::reader::MAX_RECORD;
use crate::reclog::record::decode_header;
use crate::reclog::{OpenError, ReadError, Reader, RecordError};

/// What a [`Writer`](crate::reclog::Writer) does about a last record that a crash cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TornTail {
    /// Copies the torn bytes to a file beside the segment, `SEGMENT.torn-OFFSET`, and cuts them off. Nobody was told that the record was
    /// there, if its writer waited for the sync.
    #[default]
    SetAside,
    /// Opens nothing, and changes nothing.
    Refuse,
}

/// Where a record was cut off.
#[derive(Debug)]
pub(super) struct Tear {
    pub(super) error: RecordError,
    bytes: Vec<u8>,
}

/// Reads a segment through, and says where it ends: cleanly, or torn.
pub(super) fn check(path: &Path) -> Result<(u64, Option<Tear>), OpenError> {
    let io = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(io)?;
    let len = file.metadata().map_err(io)?.len();
    let mut reader = Reader::new(&mut file, 0).max_record(usize::MAX);
    let error = loop {
        match reader.next_record() {
            Ok(Some(_)) => {}
            Ok(None) => return Ok((reader.offset(), None)),
            Err(ReadError::Record(error)) => break error,
            Err(ReadError::Io { source, .. }) => return Err(io(source)),
            Err(ReadError::TooLong {
                offset, len: want, ..
            }) => {
                break RecordError::Truncated {
                    offset,
                    want,
                    have: len - offset,
                };
            }
        }
    };
    let offset = error.offset();
    let damaged = OpenError::Damaged {
        segment: path.to_owned(),
        error: error.clone(),
    };
    // A longer one cannot be a single record that was torn.
    if len - offset > MAX_RECORD as u64 {
        return Err(damaged);
    }
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset)).map_err(io)?;
    file.read_to_end(&mut bytes).map_err(io)?;
    // Some file systems lengthen a file before they have what belongs there.
    let explained = error.is_incomplete() || bytes.iter().all(|&byte| byte == 0);
    if explained && !has_header(&bytes, offset) {
        Ok((offset, Some(Tear { error, bytes })))
    } else {
        Err(damaged)
    }
}

/// Whether a record begins behind the first byte: then the first one was not torn by the end of the log.
fn has_header(bytes: &[u8], offset: u64) -> bool {
    memchr::memmem::find_iter(bytes, b"REC@")
        .filter(|&at| at > 0)
        .any(|at| decode_header(&bytes[at..], offset + at as u64).is_ok())
}

/// Moves what is torn to a file of its own, and returns where that is.
pub(super) fn set_aside(segment: &Path, end: u64, tear: &Tear) -> io::Result<PathBuf> {
    let (path, mut aside) = create_beside(segment, &format!("torn-{end}"))?;
    aside.write_all(&tear.bytes)?;
    aside.sync_all()?;
    let file = OpenOptions::new().write(true).open(segment)?;
    file.set_len(end)?;
    file.sync_all()?;
    Ok(path)
}

/// A new file `SEGMENT.WHAT`; if an earlier recovery left one, with a number behind it.
pub(super) fn create_beside(segment: &Path, what: &str) -> io::Result<(PathBuf, File)> {
    for attempt in 0_u32.. {
        let mut name = segment.as_os_str().to_owned();
        name.push(format!(".{what}"));
        if attempt > 0 {
            name.push(format!(".{attempt}"));
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&name) {
            Ok(file) => return Ok((name.into(), file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
