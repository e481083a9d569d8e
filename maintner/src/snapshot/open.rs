use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::load;
use crate::snapshot::SnapshotError;
use crate::snapshot::fingerprint::fingerprint;
use crate::snapshot::header::{Header, PAGE, PIECE};
use crate::state::{SegmentRead, Writer};
use crate::store::Map;

/// Fewer bytes are not worth a thread.
const SERIAL_BELOW: usize = 16 << 20;

/// What a snapshot has: a corpus, and how far each segment of the log was read for it.
pub(crate) type Opened = (Writer, Vec<(String, u64)>);

/// Opens a snapshot that is whole and of this log, whose segments are `log`, by name; `None` if there is none.
pub(crate) fn open(
    path: &Path,
    log: &[(String, load::Part)],
    threads: usize,
) -> Result<Option<Opened>, SnapshotError> {
    let failed = |source| SnapshotError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(SnapshotError::Foreign);
    }
    if metadata.len() < PAGE as u64 {
        return Err(SnapshotError::Torn); // and an empty one cannot be mapped
    }
    let len = usize::try_from(metadata.len())
        .map_err(io::Error::other)
        .map_err(failed)?;
    let map = Map::of(&file, 0, len).map_err(failed)?;
    let header = Header::of(map.bytes())?;
    let (data, rest) = map.bytes().split_at(header.sums().start);
    check(&data[PAGE..], &rest[..header.sums().len()], threads)?;
    let restored = Writer::restore(&map, header.hasher(), |part| header.part(part));
    let (writer, segments) = restored.ok_or(SnapshotError::Senseless)?;

    let last = segments.len().saturating_sub(1);
    for (at, segment) in segments.iter().enumerate() {
        let is_it = log.get(at).is_some_and(|(name, part)| {
            let len_fits = match at == last {
                true => part.to >= segment.read,
                false => part.to == segment.read,
            };
            len_fits && *name == segment.name && has_fingerprint(part, segment)
        });
        if !is_it {
            let segment = segment.name.clone();
            return Err(SnapshotError::Log { segment });
        }
    }
    let read = segments
        .into_iter()
        .map(|segment| (segment.name, segment.read));
    Ok(Some((writer, read.collect())))
}

/// Whether a segment is what it was. One that cannot be read is not; reading the log will tell why.
fn has_fingerprint(part: &load::Part, segment: &SegmentRead) -> bool {
    fingerprint(part, segment.read).is_ok_and(|found| found == segment.fingerprint)
}

/// Compares the sums of the pieces of `data`, on all cores.
fn check(data: &[u8], sums: &[u8], threads: usize) -> Result<(), SnapshotError> {
    let pieces = data.len().div_ceil(PIECE);
    if sums.len() != pieces * size_of::<u32>() {
        return Err(SnapshotError::Senseless);
    }
    let next = AtomicUsize::new(0);
    let check_pieces = || loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        if at >= pieces {
            return Ok(());
        }
        let start = at * PIECE;
        let piece = &data[start..data.len().min(start + PIECE)];
        if crc32fast::hash(piece).to_ne_bytes() != sums[at * 4..][..4] {
            let offset = (PAGE + start) as u64;
            return Err(SnapshotError::Damaged { offset });
        }
    };
    if threads < 2 || data.len() < SERIAL_BELOW {
        return check_pieces();
    }
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(check_pieces)).collect();
        let mut result = check_pieces();
        for other in others {
            // A panic of one is a panic of this.
            let other = other
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(other);
        }
        result
    })
}
