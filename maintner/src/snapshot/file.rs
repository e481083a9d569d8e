use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use zerocopy::IntoBytes as _;

use crate::load;
use crate::reclog::lock;
use crate::snapshot::SnapshotError;
use crate::snapshot::fingerprint::fingerprint;
use crate::snapshot::header::{Header, PAGE, PIECE, Place};
use crate::state::{Part, SegmentRead, Writer};
use crate::store::Save;

/// Writes a snapshot of what was read of `log`, segments by name, and gives it its name when it is whole and on the disk.
pub(crate) fn save(
    path: &Path,
    writer: &Writer,
    log: &[(String, load::Part)],
) -> Result<(), SnapshotError> {
    let failed = |source| SnapshotError::Write {
        path: path.to_owned(),
        source,
    };
    let (dir, name) = dir_and_name(path).map_err(failed)?;
    fs::create_dir_all(&dir).map_err(failed)?;
    let Some(_lock) = lock(&dir, &format!("{name}.lock")).map_err(failed)? else {
        let path = path.to_owned();
        return Err(SnapshotError::Busy { path });
    };
    let new = dir.join(format!("{name}.new"));
    // What a process left that was killed. It may be read-only, so that it cannot be written again.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let written = write(&new, writer, log).and_then(|()| fs::rename(&new, path));
    if let Err(error) = written {
        // It would only take room; the next one removes it too.
        drop(fs::remove_file(&new));
        return Err(failed(error));
    }
    #[cfg(unix)]
    File::open(&dir)
        .and_then(|dir| dir.sync_all())
        .map_err(failed)?;
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

fn write(path: &Path, writer: &Writer, log: &[(String, load::Part)]) -> io::Result<()> {
    let segments = log.iter().map(|(name, part)| {
        Ok(SegmentRead {
            name: name.clone(),
            read: part.to,
            fingerprint: fingerprint(part, part.to)?,
        })
    });
    let segments = segments.collect::<io::Result<Vec<_>>>()?;

    let mut file = Sink::new(File::create_new(path)?)?;
    let mut parts = [Place::default(); Part::ALL.len()];
    let mut open: Option<Part> = None;
    writer.save(&segments, &mut file, |file, part| {
        if let Some(before) = open.replace(part) {
            file.end(&mut parts[before as usize])?;
        }
        parts[part as usize].start = file.at;
        Ok(())
    })?;
    if let Some(last) = open {
        file.end(&mut parts[last as usize])?;
    }
    let hasher = &writer.core.hasher;
    file.finish(|sums| Header::new(hasher, parts, sums))
}

/// A file that is written from the first part on, and summed.
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

    fn finish(mut self, header: impl FnOnce(Place) -> Header) -> io::Result<()> {
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
