//! What attempts left, and what those that run write: logs and files, as streams.

use std::io;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::blobs::{BlobError, BlobName};
use crate::coordinator::Coordinator;
use crate::model::AttemptId;
use crate::web::backend::{BackendError, ByteStream, File, Log, TimeMark};

/// Bytes of a stored log or file that are read at once.
const PIECE: usize = 64 << 10;

/// The log of an attempt from an offset on: of one that runs, as it comes.
pub(super) async fn log(
    coordinator: &Coordinator,
    id: AttemptId,
    from: u64,
) -> Result<Option<Log>, BackendError> {
    if let Some(live) = coordinator.live_log(id) {
        let marks = live
            .times()
            .iter()
            .map(|mark| TimeMark {
                offset: mark.offset,
                time: mark.time.into(),
            })
            .collect();
        let len = live.end();
        let bytes = stream::unfold(live.reader_at(from), |mut reader| async move {
            let chunk = reader
                .next_chunk()
                .await
                .map_err(io::Error::other)
                .transpose()?;
            Some((chunk, reader))
        });
        return Ok(Some(Log {
            bytes: Box::pin(bytes),
            len,
            is_live: true,
            marks,
        }));
    }
    let detail = coordinator
        .store()
        .detail(id.build)
        .await
        .map_err(BackendError::new)?;
    let stored = detail.and_then(|detail| {
        detail
            .attempts
            .into_iter()
            .find(|known| known.id == id)?
            .log
    });
    let Some(stored) = stored else {
        return Ok(None);
    };
    let name: BlobName = stored.blob.parse().map_err(BackendError::new)?;
    match coordinator.logs().read(&name, from..u64::MAX).await {
        Ok(text) => Ok(Some(Log {
            bytes: pieces(text),
            len: stored.bytes,
            is_live: false,
            marks: coordinator
                .logs()
                .times(&name)
                .await
                .map_err(BackendError::new)?,
        })),
        Err(BlobError::NotFound { .. }) => Ok(None),
        Err(error) => Err(BackendError::new(error)),
    }
}

/// A file that an attempt left.
pub(super) async fn artifact(
    coordinator: &Coordinator,
    id: AttemptId,
    name: &str,
) -> Result<Option<File>, BackendError> {
    let detail = coordinator
        .store()
        .detail(id.build)
        .await
        .map_err(BackendError::new)?;
    let kept = detail.and_then(|detail| {
        let attempt = detail.attempts.into_iter().find(|known| known.id == id)?;
        attempt.artifacts.into_iter().find(|kept| kept.name == name)
    });
    let Some(kept) = kept else { return Ok(None) };
    let blob: BlobName = kept.blob.parse().map_err(BackendError::new)?;
    let everything: Range<u64> = 0..u64::MAX;
    match coordinator.logs().blobs().get(&blob, everything).await {
        Ok(reader) => Ok(Some(File {
            len: reader.total(),
            bytes: pieces(reader),
        })),
        Err(BlobError::NotFound { .. }) => Ok(None),
        Err(error) => Err(BackendError::new(error)),
    }
}

/// What a reader gives, in pieces.
fn pieces(reader: impl AsyncRead + Send + 'static) -> ByteStream {
    Box::pin(stream::unfold(
        Some(Box::pin(reader)),
        |reader| async move {
            let mut reader = reader?;
            let mut piece = BytesMut::with_capacity(PIECE);
            match reader.read_buf(&mut piece).await {
                Ok(0) => None,
                Ok(_) => Some((Ok::<Bytes, io::Error>(piece.freeze()), Some(reader))),
                Err(error) => Some((Err(error), None)),
            }
        },
    ))
}
