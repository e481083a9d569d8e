use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use crc32fast::Hasher;

use crate::load::Part;

/// Pieces of a segment that are looked at: the first, the last, and some between.
const PIECES: u64 = 8;
const PIECE: u64 = 4096;

/// Of the first `len` bytes of a segment: a checksum of pieces of them, of all where those are few.
///
/// Logs are appended to, so that another history is another from some byte on, up to the end; and each commit has hashes of all that it
/// came from.
pub(super) fn fingerprint(part: &Part, len: u64) -> io::Result<u32> {
    let opened;
    let mut file = match &part.file {
        Some(file) => &**file,
        None => {
            opened = File::open(&part.path)?;
            &opened
        }
    };
    let mut sum = Hasher::new();
    let mut piece = [0; PIECE as usize];
    let last = len.saturating_sub(PIECE);
    for n in 0..PIECES {
        let start = last / (PIECES - 1) * n;
        let start = if n == PIECES - 1 { last } else { start };
        let piece = &mut piece[..PIECE.min(len) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(piece)?;
        sum.update(piece);
    }
    Ok(sum.finalize())
}
