//! The frame codec, over any payloads and any bytes.

use std::io::{self, Read};

use maintner::reclog::{
    Files, ReadError, Reader, Records, Sync, Writer, WriterConfig, encode_into, segments,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Gives at most so many bytes at a time, and fails now and then.
struct Pieces<'a> {
    log: &'a [u8],
    piece: usize,
    failing: bool,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.failing = !self.failing;
        if self.failing {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let piece = self.piece.min(buf.len());
        self.log.read(&mut buf[..piece])
    }
}

type Outcome = (Vec<(u64, Vec<u8>)>, Option<String>);

fn by_slice(log: &[u8], offset: u64) -> Outcome {
    let mut seen = Vec::new();
    for record in Records::new(log, offset) {
        match record {
            Ok(record) => seen.push((record.offset, record.payload.to_vec())),
            Err(error) => return (seen, Some(error.to_string())),
        }
    }
    (seen, None)
}

fn by_stream(log: &[u8], offset: u64, piece: usize) -> Outcome {
    let source = Pieces {
        log,
        piece,
        failing: false,
    };
    let mut reader = Reader::new(source, offset).block_size(0);
    let mut seen = Vec::new();
    loop {
        match reader.next_record() {
            Ok(Some(record)) => seen.push((record.offset, record.payload.to_vec())),
            Ok(None) => return (seen, None),
            Err(ReadError::Io { .. }) => {} // and the same call again
            Err(error) => return (seen, Some(error.to_string())),
        }
    }
}

/// The asynchronous reader, whose calls are dropped whenever the source has nothing at once.
#[cfg(feature = "tokio")]
fn by_async_stream(log: &[u8], offset: u64, piece: usize) -> Outcome {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use maintner::reclog::AsyncReader;
    use tokio::io::{AsyncRead, ReadBuf};

    struct Slow<'a>(Pieces<'a>);

    impl AsyncRead for Slow<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            match self.0.read(buf.initialize_unfilled()) {
                Ok(read) => {
                    buf.advance(read);
                    Poll::Ready(Ok(()))
                }
                Err(_) => Poll::Pending,
            }
        }
    }

    let source = Slow(Pieces {
        log,
        piece,
        failing: false,
    });
    let mut reader = AsyncReader::new(source, offset).block_size(0);
    let mut seen = Vec::new();
    loop {
        let mut next = Box::pin(reader.next_record());
        match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => {} // dropped, and called again
            Poll::Ready(Ok(Some(record))) => seen.push((record.offset, record.payload.to_vec())),
            Poll::Ready(Ok(None)) => return (seen, None),
            Poll::Ready(Err(error)) => return (seen, Some(error.to_string())),
        }
    }
}

/// Without the feature there is none.
#[cfg(not(feature = "tokio"))]
fn by_async_stream(log: &[u8], offset: u64, piece: usize) -> Outcome {
    by_stream(log, offset, piece)
}

proptest! {
    #[test]
    fn what_was_encoded_is_read_in_whatever_pieces_it_comes(
        payloads in vec(vec(any::<u8>(), 0..3000), 0..20),
        offset in 0..u64::from(u32::MAX),
        piece in 1..5000_usize,
    ) {
        let mut log = Vec::new();
        for payload in &payloads {
            encode_into(&mut log, offset, payload);
        }
        let (seen, error) = by_slice(&log, offset);
        prop_assert_eq!(&error, &None);
        prop_assert_eq!(seen.iter().map(|(_, payload)| payload).collect::<Vec<_>>(), payloads.iter().collect::<Vec<_>>());
        prop_assert_eq!(by_async_stream(&log, offset, piece), (seen.clone(), None));
        prop_assert_eq!(by_stream(&log, offset, piece), (seen, None));
    }

    #[test]
    fn a_log_with_any_damage_is_read_alike_from_slice_and_stream(
        payloads in vec(vec(any::<u8>(), 0..600), 1..8),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        piece in 1..2000_usize,
    ) {
        let mut log = Vec::new();
        for payload in &payloads {
            encode_into(&mut log, 0, payload);
        }
        for (at, byte) in damage {
            let at = at.index(log.len());
            log[at] = byte;
        }
        log.truncate(cut.index(log.len() + 1));
        prop_assert_eq!(by_slice(&log, 0), by_stream(&log, 0, piece));
        prop_assert_eq!(by_slice(&log, 0), by_async_stream(&log, 0, piece));
    }

    #[test]
    fn any_bytes_are_read_without_panic(log in vec(any::<u8>(), 0..6000), offset in any::<u64>()) {
        let mut headed = format!("REC@{offset:x}+10=").into_bytes();
        headed.extend_from_slice(&log);
        by_slice(&log, offset);
        by_slice(&headed, offset);
    }
}

#[test]
fn a_length_that_is_a_lie_allocates_nothing() {
    let log = b"REC@0+7fffffffffffff=short";
    let mut reader = Reader::new(log.as_slice(), 0);
    let error = reader.next_record().unwrap_err();
    assert!(
        matches!(
            error,
            ReadError::TooLong {
                offset: 0,
                len: 0x7f_ffff_ffff_ffff,
                ..
            }
        ),
        "{error}"
    );

    let log = b"REC@0+4000000=short"; // 64 MiB, which is allowed
    let mut reader = Reader::new(log.as_slice(), 0);
    assert!(reader.next_record().unwrap_err().is_incomplete());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Batches stay whole, files stay short, and nothing is lost or comes in another order, wherever a writer ends and another goes on.
    #[test]
    fn numbered_files_have_every_record_once(
        batches in vec((vec(vec(any::<u8>(), 0..60), 0..5), any::<bool>()), 0..40),
        max_bytes in 1_u64..200,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let config = WriterConfig::default().files(Files::Numbered { max_bytes }).sync(Sync::Never);
        let mut log = Writer::open(dir.path(), config.clone()).unwrap();
        for (batch, is_restart) in &batches {
            if *is_restart {
                drop(log);
                log = Writer::open(dir.path(), config.clone()).unwrap();
            }
            let appended = log.append(batch).unwrap();
            prop_assert_eq!(appended.records, batch.len());
            prop_assert!(appended.start == 0 || appended.end <= max_bytes || batch.is_empty());
            let file = std::fs::read(&appended.segment).unwrap();
            prop_assert_eq!(file.len() as u64, appended.end);
            let start = usize::try_from(appended.start).unwrap();
            let there: Vec<_> = (Records::new(&file[start..], appended.start))
                .map(|record| record.unwrap().payload.to_vec())
                .collect();
            prop_assert_eq!(&there, batch);
        }
        let mut seen = Vec::new();
        for (number, segment) in segments(dir.path()).unwrap().into_iter().enumerate() {
            prop_assert_eq!(&segment.name, &format!("maintner-{number:06}.mutlog"));
            let file = std::fs::read(segment.path).unwrap();
            seen.extend(Records::new(&file, 0).map(|record| record.unwrap().payload.to_vec()));
        }
        let expected: Vec<_> = batches.into_iter().flat_map(|(batch, _)| batch).collect();
        prop_assert_eq!(seen, expected);
    }
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_record_is_given_as_soon_as_it_is_whole() {
    use maintner::reclog::AsyncReader;
    use tokio::io::AsyncWriteExt as _;

    let (mut to, from) = tokio::io::duplex(64);
    let mut reader = AsyncReader::new(from, 0);
    to.write_all(b"REC@0+3=oneREC@b+3").await.unwrap();
    assert_eq!(reader.next_record().await.unwrap().unwrap().payload, b"one");
    to.write_all(b"=two").await.unwrap();
    assert_eq!(reader.next_record().await.unwrap().unwrap().payload, b"two");
    to.write_all(b"REC@").await.unwrap();
    drop(to);
    assert!(reader.next_record().await.unwrap_err().is_incomplete());
}

#[test]
fn a_stream_that_grows_is_followed() {
    use std::io::Write as _;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = Vec::new();
    encode_into(&mut log, 0, b"one");
    let first = log.len();
    encode_into(&mut log, 0, b"two");
    let mut file = std::fs::File::create(&path).unwrap();
    let mut reader = Reader::new(std::fs::File::open(&path).unwrap(), 0);
    assert_eq!(reader.next_record().unwrap(), None);
    file.write_all(&log[..first]).unwrap();
    assert_eq!(reader.next_record().unwrap().unwrap().payload, b"one");
    assert_eq!(reader.next_record().unwrap(), None);
    file.write_all(&log[first..first + 3]).unwrap();
    assert!(reader.next_record().unwrap_err().is_incomplete());
    file.write_all(&log[first + 3..]).unwrap();
    assert_eq!(reader.next_record().unwrap().unwrap().payload, b"two");
    assert_eq!(reader.offset(), log.len() as u64);
}
