//! The async adapters: the same bytes, and no byte lost to a cancelled or pending operation.

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pargzip::{AsyncReader, AsyncWriter, Config, ReadError, ReaderConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use crate::data::{backends, compress, noise, oracle, text};

#[tokio::test]
async fn an_async_writer_writes_what_a_writer_writes() {
    let data = [text(300_000), noise(50_000)].concat();
    for config in [
        Config::default().chunk_size(20_000),
        Config::default(),
        Config::default().index(true),
    ] {
        let mut writer = AsyncWriter::new(Vec::new(), config.clone().threads(2)).unwrap();
        for piece in data.chunks(7777) {
            writer.write_all(piece).await.unwrap();
        }
        writer.shutdown().await.unwrap();
        assert!(*writer.get_ref() == compress(&data, config));
    }
}

#[tokio::test]
async fn a_slow_sink_holds_the_writer_back() {
    let data = noise(1 << 20);
    // A pipe that takes little until its other end is read.
    let (ours, mut theirs) = tokio::io::duplex(100);
    let mut writer =
        AsyncWriter::new(ours, Config::default().chunk_size(10_000).threads(2)).unwrap();
    let mut taken = 0;
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(written) =
        tokio::io::AsyncWrite::poll_write(Pin::new(&mut writer), &mut cx, &data[taken..])
    {
        taken += written.unwrap();
        assert!(
            taken <= 6 * 10_000,
            "{taken} bytes were taken though no one reads"
        );
    }
    let rest = async {
        writer.write_all(&data[taken..]).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut gz = Vec::new();
    let (_, read) = tokio::join!(rest, theirs.read_to_end(&mut gz));
    read.unwrap();
    assert!(oracle(&gz).unwrap() == data);
}

#[tokio::test]
async fn an_async_reader_reads_what_a_reader_reads() {
    let data = [text(1_000_000), noise(100_000)].concat();
    for backend in backends() {
        for chunk in [5000, 200_000, 2_000_000] {
            let gz = compress(&data, Config::default().chunk_size(chunk));
            let config = ReaderConfig::default()
                .backend(backend)
                .threads(2)
                .member_limit(300_000);
            let (mut ours, theirs) = tokio::io::duplex(3000);
            let mut reader = AsyncReader::with_config(theirs, config).unwrap();
            let send = async {
                ours.write_all(&gz).await.unwrap();
                ours.shutdown().await.unwrap();
            };
            let mut read = Vec::new();
            let ((), received) = tokio::join!(send, reader.read_to_end(&mut read));
            received.unwrap();
            assert!(read == data);
        }
    }
}

#[tokio::test]
async fn an_async_reader_delivers_before_the_source_goes_on() {
    let data = text(100_000);
    let gz = compress(&data, Config::default().chunk_size(10_000));
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let mut reader = AsyncReader::new(theirs);
    ours.write_all(&gz[..gz.len() / 2]).await.unwrap();
    // The peer waits for us now.
    let mut got = vec![0; 30_000];
    reader.read_exact(&mut got).await.unwrap();
    assert_eq!(got, data[..30_000]);
    ours.write_all(&gz[gz.len() / 2..]).await.unwrap();
    ours.shutdown().await.unwrap();
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, data[30_000..]);
    assert_eq!(reader.header().unwrap().os, 255);
}

#[tokio::test]
async fn a_dropped_read_loses_nothing() {
    let data = text(500_000);
    let gz = compress(&data, Config::default().chunk_size(30_000));
    let (mut ours, theirs) = tokio::io::duplex(1000);
    let send = async move {
        ours.write_all(&gz).await.unwrap();
        ours.shutdown().await.unwrap();
    };
    let receive = async {
        let mut reader = AsyncReader::new(theirs);
        let mut read: Vec<u8> = Vec::new();
        let mut piece = [0; 777];
        loop {
            // A poll that is given up at once, then a whole one.
            let mut cx = Context::from_waker(Waker::noop());
            let mut space = ReadBuf::new(&mut piece);
            if let Poll::Ready(result) = Pin::new(&mut reader).poll_read(&mut cx, &mut space) {
                result.unwrap();
                if space.filled().is_empty() {
                    break;
                }
                read.extend(space.filled());
                continue;
            }
            let len = reader.read(&mut piece).await.unwrap();
            read.extend(&piece[..len]);
            if len == 0 {
                break;
            }
        }
        read
    };
    let ((), read) = tokio::join!(send, receive);
    assert!(read == data);
}

#[tokio::test]
async fn errors_come_through_and_stay() {
    let gz = compress(&text(1000), Config::default());
    let mut reader = AsyncReader::new(&gz[..gz.len() - 1]);
    let mut read = Vec::new();
    for _ in 0..2 {
        let error = reader.read_to_end(&mut read).await.unwrap_err();
        assert_eq!(
            ReadError::of(&error),
            Some(&ReadError::Truncated {
                offset: gz.len() as u64 - 1
            })
        );
    }
    let (ours, theirs) = tokio::io::duplex(10);
    drop(theirs);
    let mut writer = AsyncWriter::new(ours, Config::default().chunk_size(10)).unwrap();
    writer.write_all(&text(1000)).await.unwrap_err();
    assert_eq!(
        writer.shutdown().await.unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    assert_eq!(
        writer.write(b"x").await.unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
}
