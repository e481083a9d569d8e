use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::mutation::MutationRef;
use crate::reclog::lock::lock;
use crate::reclog::record::decode_header;
use crate::reclog::recover::create_beside;
use crate::reclog::writer::{LOCK_FILE, sync_dir};
use crate::reclog::{
    MAX_HEADER_LEN, OpenError, ReadError, Reader, Record, RecordError, encode_into,
};

/// What a file of a log is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Examined {
    /// The file's length in bytes.
    pub len: u64,
    /// Whole records.
    pub records: u64,
    /// What is none, in order.
    pub damage: Vec<Damage>,
}

impl Examined {
    /// Whether the last record is cut off, and all is well before it: what a crash leaves behind.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        matches!(&self.damage[..], [only] if only.bytes.end == self.len)
    }
}

/// Bytes that are no record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// Where they lie in the file.
    pub bytes: Range<u64>,
    /// Why they are none.
    pub error: RecordError,
}

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// What there was.
    pub examined: Examined,
    /// Where the bytes of each damage are now.
    pub moved_to: Vec<PathBuf>,
    /// The file as it was, if it had to be written anew because records stand behind the damage.
    pub kept: Option<PathBuf>,
}

/// Reads a file of a log through, over what is damaged, and gives each whole record to `visit`.
///
/// Behind damage, a record counts as one if its header states where it stands, if all of it is there, if the file ends behind it or
/// another header begins, and if it is a mutation.
///
/// It holds one record at a time. In a file that somebody damaged on purpose it may look at the same bytes often.
///
/// # Errors
///
/// [`OpenError::Io`].
pub fn examine(path: &Path, visit: impl FnMut(Record<'_>)) -> Result<Examined, OpenError> {
    let file = File::open(path).map_err(|source| in_file(path, source))?;
    examine_file(&file, visit).map_err(|source| in_file(path, source))
}

/// Moves what is damaged in a file of a log to files beside it, `SEGMENT.torn-OFFSET`, and keeps all whole records.
///
/// A torn end is cut off. If records stand behind damage, the file is written anew without it, which changes offsets, and the old one is
/// kept as `SEGMENT.damaged`: those who have read the log must read it from the beginning then. No byte is lost either way, also not by
/// a crash. The folder's lock is held meanwhile, as a [`Writer`](crate::reclog::Writer) holds it.
///
/// # Errors
///
/// [`OpenError::Locked`] if there is a writer, and [`OpenError::Io`].
pub fn repair(path: &Path) -> Result<Repaired, OpenError> {
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    let locked = lock(dir, LOCK_FILE).map_err(|source| in_file(dir, source))?;
    let Some(_lock) = locked else {
        return Err(OpenError::Locked {
            dir: dir.to_owned(),
        });
    };
    repair_locked(dir, path).map_err(|source| in_file(path, source))
}

fn in_file(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io {
        path: path.to_owned(),
        source,
    }
}

fn repair_locked(dir: &Path, path: &Path) -> io::Result<Repaired> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let examined = examine_file(&file, |_| {})?;
    let mut moved_to = Vec::new();
    for Damage { bytes, .. } in &examined.damage {
        let (beside, mut aside) = create_beside(path, &format!("torn-{}", bytes.start))?;
        copy(&file, bytes, &mut aside)?;
        aside.sync_all()?;
        moved_to.push(beside);
    }
    let mut kept = None;
    if examined.is_torn() {
        // The copy's name must last before what it is a copy of goes.
        sync_dir(dir)?;
        file.set_len(examined.damage[0].bytes.start)?;
        file.sync_all()?;
    } else if !examined.damage.is_empty() {
        let (new_path, new) = create_beside(path, "repaired")?;
        write_anew(&file, &new)?;
        let (old, copy_of_old) = create_beside(path, "damaged")?;
        copy(&file, &(0..examined.len), &mut &copy_of_old)?;
        copy_of_old.sync_all()?;
        sync_dir(dir)?;
        fs::set_permissions(&new_path, file.metadata()?.permissions())?;
        fs::rename(&new_path, path)?;
        kept = Some(old);
    }
    sync_dir(dir)?;
    Ok(Repaired {
        examined,
        moved_to,
        kept,
    })
}

/// The whole records of a damaged file, each at its new place.
fn write_anew(from: &File, to: &File) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, to);
    let (mut at, mut failed, mut buffer) = (0, None, Vec::new());
    examine_file(from, |record| {
        if failed.is_none() {
            buffer.clear();
            encode_into(&mut buffer, at, record.payload);
            at += buffer.len() as u64;
            failed = out.write_all(&buffer).err();
        }
    })?;
    match failed {
        Some(error) => Err(error),
        None => out.flush().and_then(|()| to.sync_all()),
    }
}

fn copy(mut from: &File, bytes: &Range<u64>, to: &mut impl io::Write) -> io::Result<()> {
    from.seek(SeekFrom::Start(bytes.start))?;
    let len = bytes.end - bytes.start;
    if io::copy(&mut from.take(len), to)? < len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

fn examine_file(mut file: &File, mut visit: impl FnMut(Record<'_>)) -> io::Result<Examined> {
    let mut examined = Examined {
        len: file.metadata()?.len(),
        ..Examined::default()
    };
    let mut at = 0;
    loop {
        file.seek(SeekFrom::Start(at))?;
        let mut reader = Reader::new(file.take(examined.len - at), at).max_record(usize::MAX);
        let error = loop {
            match reader.next_record() {
                Ok(Some(record)) => {
                    examined.records += 1;
                    visit(record);
                }
                Ok(None) => return Ok(examined),
                Err(ReadError::Record(error)) => break error,
                Err(ReadError::Io { source, .. }) => return Err(source),
                Err(ReadError::TooLong {
                    offset, len: want, ..
                }) => {
                    let have = examined.len - offset;
                    break RecordError::Truncated { offset, want, have };
                }
            }
        };
        let start = error.offset();
        let next = find_record(file, start + 1, examined.len)?;
        let bytes = start..next.unwrap_or(examined.len);
        examined.damage.push(Damage { bytes, error });
        match next {
            Some(next) => at = next,
            None => return Ok(examined),
        }
    }
}

/// Where the next whole record begins, from `at` on.
fn find_record(mut file: &File, mut at: u64, len: u64) -> io::Result<Option<u64>> {
    const STEP: usize = 1 << 20;
    let mut window = Vec::new();
    while at < len {
        // A header that begins in the last bytes of a step is seen whole.
        window.clear();
        file.seek(SeekFrom::Start(at))?;
        file.take((STEP + MAX_HEADER_LEN) as u64)
            .read_to_end(&mut window)?;
        for found in memchr::memmem::find_iter(&window, b"REC@").take_while(|found| *found < STEP) {
            let offset = at + found as u64;
            if is_record(file, &window[found..], offset, len)? {
                return Ok(Some(offset));
            }
        }
        at += STEP as u64;
    }
    Ok(None)
}

fn is_record(mut file: &File, header: &[u8], offset: u64, len: u64) -> io::Result<bool> {
    const NEXT: &[u8] = b"REC@";
    let Ok((header_len, payload_len)) = decode_header(header, offset) else {
        return Ok(false);
    };
    let start = offset + header_len as u64;
    let end = start + payload_len;
    if end > len {
        return Ok(false);
    }
    let mut next = Vec::new();
    file.seek(SeekFrom::Start(end))?;
    file.take(NEXT.len() as u64).read_to_end(&mut next)?;
    if !NEXT.starts_with(&next) {
        return Ok(false);
    }
    let mut payload = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(payload_len).read_to_end(&mut payload)?;
    Ok(MutationRef::decode(&payload).is_ok())
}
