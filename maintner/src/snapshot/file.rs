use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use zerocopy::IntoBytes as _;

use crate::load;
use crate::reclog::{Lock, lock};
use crate::snapshot::SnapshotError;
use crate::snapshot::fingerprint::fingerprint;
use crate::snapshot::header::{Header, PAGE, PIECE, Place};
use crate::state::{Part, SegmentRead, Writer};
use crate::store::{Map, Save, Texts};

/// A snapshot that is being made, under another name. It is gone when this is dropped before it is [finished](Self::finish).
#[derive(Debug)]
pub(crate) struct NewFile {
    path: PathBuf,
    dir: PathBuf,
    /// The other name.
    new: PathBuf,
    sink: Sink,
    _lock: Lock,
}

impl NewFile {
    pub(crate) fn create(path: &Path) -> Result<Self, SnapshotError> {
        let failed = |source| write_error(path, source);
        let (dir, name) = dir_and_name(path).map_err(failed)?;
        fs::create_dir_all(&dir).map_err(failed)?;
        let Some(lock) = lock(&dir, &format!("{name}.lock")).map_err(failed)? else {
            let path = path.to_owned();
            return Err(SnapshotError::Busy { path });
        };
        let new = dir.join(format!("{name}.new"));
        // What a process left that was killed. It may be read-only, so that it cannot be written again.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(&new);
        let sink = file.and_then(Sink::new).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            dir,
            new,
            sink,
            _lock: lock,
        })
    }

    /// Writes texts that will not change any more, and maps them in the place of memory.
    pub(crate) fn spill(&mut self, texts: &mut Texts) -> Result<(), SnapshotError> {
        let failed = |source| write_error(&self.path, source);
        let len = texts.spill(PIECE, &mut self.sink).map_err(failed)?;
        if len > texts.in_file() {
            let map = Map::of(&self.sink.file, PAGE as u64, len).map_err(failed)?;
            texts.now_stored(map.section(0..len).expect("is all that was mapped"));
        }
        Ok(())
    }

    /// Writes the rest, of a corpus that was read from `log`, segments by name, and gives the file its name when it is on the disk.
    pub(crate) fn finish(
        mut self,
        writer: &Writer,
        log: &[(String, load::Part)],
    ) -> Result<(), SnapshotError> {
        let finished = write(&mut self.sink, writer, log)
            .and_then(|()| fs::rename(&self.new, &self.path))
            .and_then(|()| sync_dir(&self.dir));
        finished.map_err(|source| write_error(&self.path, source))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Not there when it got its name. What is left otherwise only takes room, and the next one removes it too.
        drop(fs::remove_file(&self.new));
    }
}

fn write_error(path: &Path, source: io::Error) -> SnapshotError {
    let path = path.to_owned();
    SnapshotError::Write { path, source }
}

#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Elsewhere folders cannot be synced.
#[cfg(not(unix))]
fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

fn dir_and_name(path: &Path) -> io::Result<(PathBuf, String)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| io::Error::other("its name is no text"))?;
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok((dir, name.to_owned()))
}

fn write(sink: &mut Sink, writer: &Writer, log: &[(String, load::Part)]) -> io::Result<()> {
    let segments = log.iter().map(|(name, part)| {
        Ok(SegmentRead {
            name: name.clone(),
            read: part.to,
            fingerprint: fingerprint(part, part.to)?,
        })
    });
    let segments = segments.collect::<io::Result<Vec<_>>>()?;

    let mut parts = [Place::default(); Part::ALL.len()];
    let mut open: Option<Part> = None;
    let spilled = sink.at > PAGE as u64;
    writer.save(&segments, spilled, sink, |sink, part| {
        if let Some(before) = open.replace(part) {
            sink.end(&mut parts[before as usize])?;
        }
        // Texts that were spilled are the beginning of theirs.
        let start = if part == Part::Texts {
            PAGE as u64
        } else {
            sink.at
        };
        parts[part as usize].start = start;
        Ok(())
    })?;
    if let Some(last) = open {
        sink.end(&mut parts[last as usize])?;
    }
    let hasher = &writer.core.hasher;
    sink.finish(|sums| Header::new(hasher, parts, sums))
}

/// A file that is written from the first part on, and summed.
#[derive(Debug)]
struct Sink {
    file: File,
    /// What was not written yet.
    piece: Vec<u8>,
    sums: Vec<u32>,
    at: u64,
}

impl Sink {
    fn new(mut file: File) -> io::Result<Self> {
        file.seek(SeekFrom::Start(PAGE as u64))?;
        Ok(Self {
            file,
            piece: Vec::with_capacity(PIECE),
            sums: Vec::new(),
            at: PAGE as u64,
        })
    }

    /// Ends a part, and goes on to where the next one can begin.
    fn end(&mut self, part: &mut Place) -> io::Result<()> {
        part.len = self.at - part.start;
        let gap = self.at.next_multiple_of(PAGE as u64) - self.at;
        self.put(&[0; PAGE][..gap as usize])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sums.push(crc32fast::hash(&self.piece));
        self.file.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }

    fn finish(&mut self, header: impl FnOnce(Place) -> Header) -> io::Result<()> {
        if !self.piece.is_empty() {
            self.flush()?;
        }
        self.file.write_all(self.sums.as_bytes())?;
        let header = header(Place {
            start: self.at,
            len: size_of_val(&self.sums[..]) as u64,
        });
        // So that no header stands before what it says is there.
        self.file.sync_data()?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(header.as_bytes())?;
        let mut permissions = self.file.metadata()?.permissions();
        permissions.set_readonly(true);
        self.file.set_permissions(permissions)?;
        self.file.sync_all()
    }
}

impl Save for Sink {
    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = PIECE - self.piece.len();
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.piece.extend_from_slice(now);
            bytes = rest;
            if self.piece.len() == PIECE {
                self.flush()?;
            }
        }
        Ok(())
    }
}
