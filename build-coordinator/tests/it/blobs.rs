//! Blobs in files, and logs in blobs.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use build_coordinator::blobs::{BlobError, BlobName, Blobs, FileBlobs, Logs, TimeMark};
use build_coordinator::model::Timestamp;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

#[tokio::test]
async fn a_blob_is_there_as_a_whole_or_not_at_all() {
    let (dir, blobs) = scratch().await;
    let name: BlobName = "logs/1/1.gz".parse().unwrap();
    assert_eq!(
        blobs.put(&name, &mut &b"0123456789"[..], 10).await.unwrap(),
        10
    );
    assert_eq!(read(&blobs, &name, 0..u64::MAX).await, b"0123456789");
    assert_eq!(read(&blobs, &name, 3..5).await, b"34");
    assert_eq!(read(&blobs, &name, 8..20).await, b"89");
    assert_eq!(read(&blobs, &name, 20..30).await, b"");
    let part = blobs.get(&name, 8..20).await.unwrap();
    assert_eq!((part.range(), part.total()), (8..10, 10));

    // What fails leaves the old one, and nothing else.
    let error = blobs
        .put(&name, &mut &b"too long"[..], 7)
        .await
        .unwrap_err();
    assert!(matches!(error, BlobError::TooLarge { limit: 7, .. }));
    let error = blobs.put(&name, &mut Failing(5), 100).await.unwrap_err();
    assert!(matches!(error, BlobError::Source { .. }));
    assert_eq!(read(&blobs, &name, 0..u64::MAX).await, b"0123456789");
    assert_eq!(
        std::fs::read_dir(dir.path().join("blobs/.tmp"))
            .unwrap()
            .count(),
        0
    );

    blobs.put(&name, &mut &b"new"[..], 7).await.unwrap();
    assert_eq!(read(&blobs, &name, 0..u64::MAX).await, b"new");
    blobs.remove(&name).await.unwrap();
    blobs.remove(&name).await.unwrap();
    let error = blobs.get(&name, 0..1).await.unwrap_err();
    assert!(matches!(error, BlobError::NotFound(_)));
    // A folder is no blob.
    let error = blobs
        .get(&"logs/1".parse().unwrap(), 0..1)
        .await
        .unwrap_err();
    assert!(matches!(error, BlobError::NotFound(_)));
}

#[tokio::test]
async fn what_was_half_written_is_gone_when_the_folder_is_opened_again() {
    let (dir, blobs) = scratch().await;
    let name: BlobName = "a".parse().unwrap();
    // A call that is dropped while it waits for more.
    let (mut ours, mut theirs) = tokio::io::duplex(16);
    tokio::io::AsyncWriteExt::write_all(&mut ours, b"half")
        .await
        .unwrap();
    let put = blobs.put(&name, &mut theirs, 100);
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(50), put)
            .await
            .is_err()
    );
    let temporary = dir.path().join("blobs/.tmp");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    std::fs::write(temporary.join("of-a-killed-process"), "x").unwrap();
    FileBlobs::open(dir.path().join("blobs")).await.unwrap();
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    assert!(matches!(
        blobs.get(&name, 0..1).await,
        Err(BlobError::NotFound(_))
    ));
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_blobs() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, blobs) = scratch().await;
    blobs
        .put(&"a/b".parse().unwrap(), &mut &b"x"[..], 1)
        .await
        .unwrap();
    for (path, mode) in [("blobs", 0o700), ("blobs/a", 0o700), ("blobs/a/b", 0o600)] {
        let metadata = std::fs::metadata(dir.path().join(path)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{path}");
    }
}

#[tokio::test]
async fn any_part_of_a_log_can_be_read() {
    let (_dir, logs) = scratch_logs().await;
    let name: BlobName = "logs/1/1.gz".parse().unwrap();
    let text: Vec<u8> = (0..200_000)
        .flat_map(|n| format!("line {n}\n").into_bytes())
        .collect();
    assert_eq!(
        logs.store(&name, &text[..]).await.unwrap(),
        text.len() as u64
    );
    let end = text.len();
    for range in [
        0..10,
        0..end,
        end - 5..end,
        end - 5..end + 5,
        end..end + 5,
        end + 5..end + 10,
        262_143..262_145,
        262_144..524_289,
        1_000_000..1_000_001,
        7..7,
        1_000_000..1_000_000,
    ] {
        let expected = &text[range.start.min(end)..range.end.min(end)];
        assert_eq!(part(&logs, &name, &range).await, expected, "{range:?}");
    }
    // It is gzip as any other.
    let mut compressed = Vec::new();
    let mut stored = logs.compressed(&name).await.unwrap();
    stored.read_to_end(&mut compressed).await.unwrap();
    let mut plain = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(&compressed[..]);
    io::Read::read_to_end(&mut reader, &mut plain).unwrap();
    assert!(plain == text);
}

#[tokio::test]
async fn a_log_of_another_program_is_read_from_its_beginning() {
    let (_dir, logs) = scratch_logs().await;
    let name: BlobName = "logs/1/1.gz".parse().unwrap();
    let text = "0123456789".repeat(60_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut gzip, text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    logs.blobs()
        .put(&name, &mut &gzip[..], u64::MAX)
        .await
        .unwrap();
    assert_eq!(part(&logs, &name, &(599_995..700_000)).await, b"56789");
}

#[tokio::test]
async fn an_empty_log_is_a_log() {
    let (_dir, logs) = scratch_logs().await;
    let name: BlobName = "logs/1/1.gz".parse().unwrap();
    assert_eq!(logs.store(&name, tokio::io::empty()).await.unwrap(), 0);
    assert_eq!(part(&logs, &name, &(0..10)).await, b"");
    assert_eq!(part(&logs, &name, &(1_000_000..1_000_010)).await, b"");
}

#[tokio::test]
async fn a_log_that_breaks_off_is_not_stored() {
    let (_dir, logs) = scratch_logs().await;
    let name: BlobName = "logs/1/1.gz".parse().unwrap();
    let error = logs.store(&name, Failing(1_000_000)).await.unwrap_err();
    assert!(matches!(error, BlobError::Source { .. }), "{error}");
    let error = logs.read(&name, 0..1).await.unwrap_err();
    assert!(matches!(error, BlobError::NotFound(_)));
}

#[tokio::test]
async fn a_damaged_log_is_an_error_and_no_text() {
    let (_dir, logs) = scratch_logs().await;
    let name: BlobName = "logs/1/1.gz".parse().unwrap();
    let text = "0123456789".repeat(60_000);
    logs.store(&name, text.as_bytes()).await.unwrap();
    let mut stored = Vec::new();
    logs.compressed(&name)
        .await
        .unwrap()
        .read_to_end(&mut stored)
        .await
        .unwrap();
    for cut in [1, 9, stored.len() / 2, stored.len() - 1] {
        logs.remove(&name).await.unwrap();
        logs.blobs()
            .put(&name, &mut &stored[..cut], u64::MAX)
            .await
            .unwrap();
        for start in [0, 599_000] {
            let read = async {
                let mut text = Vec::new();
                let mut part = logs
                    .read(&name, start..700_000)
                    .await
                    .map_err(io::Error::other)?;
                part.read_to_end(&mut text).await
            };
            assert!(read.await.is_err(), "cut at {cut}, from {start}");
        }
    }
}

async fn scratch() -> (TempDir, FileBlobs) {
    let dir = tempfile::tempdir().unwrap();
    let blobs = FileBlobs::open(dir.path().join("blobs")).await.unwrap();
    (dir, blobs)
}

async fn scratch_logs() -> (TempDir, Logs) {
    let (dir, blobs) = scratch().await;
    (dir, Logs::new(Arc::new(blobs)))
}

async fn read(blobs: &FileBlobs, name: &BlobName, range: std::ops::Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut blob = blobs.get(name, range).await.unwrap();
    blob.read_to_end(&mut bytes).await.unwrap();
    bytes
}

async fn part(logs: &Logs, name: &BlobName, range: &std::ops::Range<usize>) -> Vec<u8> {
    let mut text = Vec::new();
    let range = range.start as u64..range.end as u64;
    let mut part = logs.read(name, range).await.unwrap();
    part.read_to_end(&mut text).await.unwrap();
    text
}

/// Gives so many bytes, then fails.
struct Failing(usize);

impl AsyncRead for Failing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = self.0.min(buf.remaining()).min(1000);
        if bytes == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        buf.put_slice(&vec![b'x'; bytes]);
        self.0 -= bytes;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_log_keeps_when_it_was_written_and_is_read_as_ever() {
    let (_dir, blobs) = scratch().await;
    let logs = Logs::new(Arc::new(blobs));
    let name: BlobName = "logs/9/1.gz".parse().unwrap();
    let mark = |offset, seconds: i64| TimeMark {
        offset,
        time: Timestamp::from_micros(seconds * 1_000_000),
    };
    let marks = [
        mark(0, 1_700_000_000),
        mark(4, 1_700_000_001),
        mark(600_000, 1_700_090_000),
    ];
    let text: Vec<u8> = (0..1_000_000_u32)
        .map(|n| b"abcdefghijklmnopqrstuvw"[n as usize % 23])
        .collect();
    assert_eq!(
        logs.store_timed(&name, &marks, &text[..]).await.unwrap(),
        1_000_000
    );
    assert_eq!(logs.times(&name).await.unwrap(), marks);
    for range in [
        0..10,
        300_000..300_010,
        999_990..2_000_000,
        262_143..262_145,
    ] {
        let mut part = Vec::new();
        let mut reader = logs.read(&name, range.clone()).await.unwrap();
        reader.read_to_end(&mut part).await.unwrap();
        let [start, end] =
            [range.start, range.end.min(1_000_000)].map(|at| usize::try_from(at).unwrap());
        assert_eq!(part, text[start..end], "{range:?}");
    }
    // Any other program reads it too.
    let mut compressed = Vec::new();
    logs.compressed(&name)
        .await
        .unwrap()
        .read_to_end(&mut compressed)
        .await
        .unwrap();
    let mut all = Vec::new();
    io::Read::read_to_end(
        &mut flate2::read::MultiGzDecoder::new(&compressed[..]),
        &mut all,
    )
    .unwrap();
    assert_eq!(all, text);

    // One that was stored without has none.
    logs.store(&name, &b"old"[..]).await.unwrap();
    assert_eq!(logs.times(&name).await.unwrap(), []);
    logs.store_timed(&name, &marks[..1], &b""[..])
        .await
        .unwrap();
    assert_eq!(logs.times(&name).await.unwrap(), marks[..1]);
}
