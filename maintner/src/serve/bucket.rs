//! The segments that are listed in a bucket, and whether they go on from what was served before.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha224};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::segment_name;
use crate::serve::blobs::{BlobStream, LogBlob, LogBlobs};
use crate::serve::error::ServeError;
use crate::serve::log::{Place, Segment};
use crate::sum::Sum;

/// Blobs that are listed at most; a follower takes as many segments.
pub(crate) const MAX_BLOBS: usize = 100_000;
/// For all of a list, of which a thousand objects come at once.
const LIST_LIMIT: Duration = Duration::from_secs(300);
/// Until a blob's bytes begin, and between them.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(60);
/// Bytes of a blob that are read at once.
pub(super) const PIECE: usize = 64 << 10;

/// What there is now, which goes on from `before`.
pub(super) async fn segments(
    blobs: &dyn LogBlobs,
    before: &[Segment],
) -> Result<Vec<Segment>, ServeError> {
    let listing = timeout(LIST_LIMIT, blobs.list(MAX_BLOBS)).await;
    let listed = listing
        .unwrap_or_else(|late| Err(late.into()))
        .map_err(|source| ServeError::Blobs { source })?;
    let kept = newest(listed).map_err(|number| ServeError::Missing { number })?;
    let segments: Vec<Segment> = kept.segments.into_iter().map(Kept::into_segment).collect();
    let changed = |segment: &Segment| ServeError::Changed {
        segment: segment.place.path().to_owned(),
    };
    for (number, known) in before.iter().enumerate() {
        let Some(now) = segments.get(number) else {
            return Err(changed(known));
        };
        if now.size == known.size && now.sum == known.sum {
            continue;
        }
        let is_last = number + 1 == before.len();
        if !is_last || now.size <= known.size || !begins_with(blobs, now, known).await? {
            return Err(changed(known));
        }
    }
    Ok(segments)
}

/// What a place has of a log.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The newest blob of each segment.
    pub(crate) segments: Vec<Kept>,
    /// Others of a segment, with its number.
    #[cfg_attr(
        not(all(feature = "leader", feature = "_buckets")),
        expect(dead_code, reason = "only who writes removes them")
    )]
    pub(crate) older: Vec<(usize, Kept)>,
}

/// A blob that is a segment.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) sum: Sum,
}

impl Kept {
    fn into_segment(self) -> Segment {
        Segment {
            place: Place::Blob(self.name),
            size: self.size,
            sum: self.sum,
        }
    }
}

/// The newest blob of each segment, and the others; or the number of one that is missing.
pub(crate) fn newest(listed: Vec<LogBlob>) -> Result<Listing, u64> {
    let mut newest: BTreeMap<u64, (SystemTime, Kept)> = BTreeMap::new();
    let mut others = Vec::new();
    for blob in listed {
        // One without bytes is none yet.
        let Some((number, sum)) = segment_name::parse(&blob.name).filter(|_| blob.size > 0) else {
            continue;
        };
        let age = (blob.modified, blob.size);
        let is_newer = |(modified, other): &(_, Kept)| (*modified, other.size) < age;
        let kept = Kept {
            name: blob.name,
            size: blob.size,
            sum,
        };
        let other = if newest.get(&number).is_none_or(is_newer) {
            let before = newest.insert(number, (blob.modified, kept));
            before.map(|(_, kept)| kept)
        } else {
            Some(kept)
        };
        others.extend(other.map(|kept| (number, kept)));
    }
    let mut segments = Vec::with_capacity(newest.len());
    for (number, (_, kept)) in newest {
        let expected = segments.len() as u64;
        if number != expected {
            return Err(expected);
        }
        segments.push(kept);
    }
    // Every number is one of a segment, so it fits.
    let older = others
        .into_iter()
        .filter_map(|(number, kept)| Some((usize::try_from(number).ok()?, kept)))
        .collect();
    Ok(Listing { segments, older })
}

/// Whether a segment begins with what another one was, which takes to read it.
async fn begins_with(
    blobs: &dyn LogBlobs,
    segment: &Segment,
    known: &Segment,
) -> Result<bool, ServeError> {
    let hashing = async {
        let mut stream = open(blobs, segment, 0, known.size).await?;
        let mut hasher = Sha224::new();
        let mut piece = vec![0; PIECE];
        let mut left = known.size;
        while left > 0 {
            let reading = stream.read(&mut piece);
            let read = timeout(READ_LIMIT, reading).await??;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            hasher.update(&piece[..read]);
            left = left.saturating_sub(read as u64);
        }
        Ok(Sum::of(&hasher))
    };
    let sum: io::Result<Sum> = hashing.await;
    sum.map(|sum| sum == known.sum)
        .map_err(|source| ServeError::Blobs { source })
}

/// So many bytes of a segment's blob, from one on.
pub(super) async fn open(
    blobs: &dyn LogBlobs,
    segment: &Segment,
    at: u64,
    len: u64,
) -> io::Result<BlobStream> {
    let Place::Blob(name) = &segment.place else {
        return Err(io::ErrorKind::NotFound.into()); // a file is no blob
    };
    timeout(READ_LIMIT, blobs.read(name, at..at + len)).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(number: u32, content: &[u8], modified: u64) -> LogBlob {
        let sum = Sum::of(&Sha224::new_with_prefix(content));
        LogBlob {
            name: format!("{number:04}.{sum}.mutlog"),
            size: content.len() as u64,
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(modified),
        }
    }

    #[test]
    fn of_each_segment_the_newest_blob_counts_whatever_the_order() {
        let mut other = blob(1, b"x", 9);
        other.name = "README".to_owned();
        let mut listed = vec![
            blob(1, b"one and more", 4),
            blob(0, b"zero", 1),
            blob(1, b"one", 3),
            // At the same time, the longer one.
            blob(2, b"two", 5),
            blob(2, b"two and", 5),
            blob(3, b"", 5),
            other,
        ];
        for _ in 0..2 {
            let listing = newest(listed.clone()).unwrap();
            let sizes: Vec<_> = (listing.segments.iter())
                .map(|segment| segment.size)
                .collect();
            assert_eq!(sizes, [4, 12, 7]);
            let mut older: Vec<_> = (listing.older.iter())
                .map(|(number, kept)| (*number, kept.size))
                .collect();
            older.sort_unstable();
            assert_eq!(older, [(1, 3), (2, 3)]);
            listed.reverse();
        }
        listed.retain(|blob| !blob.name.starts_with("0001"));
        assert_eq!(newest(listed).unwrap_err(), 1);
        assert!(newest(Vec::new()).unwrap().segments.is_empty());
    }
}
