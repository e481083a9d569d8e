//! The writer: its bytes, its errors, its memory.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pargzip::{Backend, Config, ConfigError, Writer};

use crate::data::{backends, compress, noise, oracle, single, text};

/// Takes so many bytes and fails then.
#[derive(Debug)]
struct FailsAfter {
    taken: Vec<u8>,
    room: usize,
}

impl Write for FailsAfter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.room == 0 && !buf.is_empty() {
            return Err(io::Error::new(ErrorKind::StorageFull, "no room"));
        }
        let len = buf.len().min(self.room);
        self.taken.extend(&buf[..len]);
        self.room -= len;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn members_are_upstreams_chunks() {
    let data = text((2 << 20) + 1);
    let gz = compress(&data, Config::default());
    let starts: Vec<usize> = gz
        .windows(10)
        .enumerate()
        .filter(|(_, w)| *w == [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff])
        .map(|(at, _)| at)
        .collect();
    assert_eq!(starts.len(), 3, "one member a MiB");
    let ends = starts[1..].iter().copied().chain([gz.len()]);
    for ((start, end), chunk) in starts.iter().zip(ends).zip(data.chunks(1 << 20)) {
        assert_eq!(oracle(&gz[*start..end]).unwrap(), chunk);
    }
}

#[test]
fn nothing_written_is_an_empty_file_of_gzip() {
    for backend in backends() {
        let gz = compress(b"", Config::default().backend(backend));
        assert_eq!(oracle(&gz).unwrap(), b"");
        assert!(gz.len() >= 20);
    }
    let gz = compress(b"", single(Config::default()));
    assert_eq!(oracle(&gz).unwrap(), b"");
}

#[test]
fn full_chunks_are_followed_by_no_empty_member() {
    let gz = compress(&text(8192), Config::default().chunk_size(4096));
    assert_eq!(gz.windows(3).filter(|w| *w == [0x1f, 0x8b, 8]).count(), 2);
}

#[test]
fn the_index_states_the_size_of_each_member() {
    let data = text(100_000);
    for backend in backends() {
        let gz = compress(
            &data,
            Config::default()
                .chunk_size(10_000)
                .index(true)
                .backend(backend),
        );
        let (mut at, mut members) = (0, 0);
        while at < gz.len() {
            assert_eq!(gz[at..at + 4], [0x1f, 0x8b, 8, 4]);
            assert_eq!(gz[at + 10..at + 16], *b"\x08\x00IG\x04\x00");
            at += u32::from_le_bytes(gz[at + 16..at + 20].try_into().unwrap()) as usize;
            members += 1;
        }
        assert_eq!((at, members), (gz.len(), 10));
    }
}

#[test]
fn the_name_and_time_stand_in_the_first_header_only() {
    let config = Config::default()
        .chunk_size(100)
        .file_name("log")
        .comment("of a build")
        .mtime(1_000_000_000);
    let gz = compress(&text(300), config);
    assert_eq!(gz[3], 0b1_1000);
    assert_eq!(gz[4..8], 1_000_000_000u32.to_le_bytes());
    assert_eq!(gz[10..25], *b"log\0of a build\0");
    let mut decoder = flate2::bufread::GzDecoder::new(&gz[..]);
    io::copy(&mut decoder, &mut io::sink()).unwrap();
    let rest = decoder.into_inner();
    assert_eq!(rest[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
}

#[test]
fn a_sink_failing_at_any_byte_is_reported_and_stays_reported() {
    let data = noise(5000);
    let config = Config::default().chunk_size(1000).threads(2);
    let whole = compress(&data, config.clone());
    for room in 0..whole.len() {
        let sink = FailsAfter {
            taken: Vec::new(),
            room,
        };
        let mut writer = Writer::new(sink, config.clone()).unwrap();
        if let Err(error) = writer.write_all(&data) {
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            let again = writer.write(b"more").unwrap_err();
            assert_eq!(again.kind(), ErrorKind::StorageFull);
            assert_eq!(writer.flush().unwrap_err().kind(), ErrorKind::StorageFull);
        }
        let error = writer.finish().unwrap_err();
        assert_eq!(error.error().kind(), ErrorKind::StorageFull);
        let mut source: &dyn std::error::Error = &error;
        while let Some(cause) = source.source() {
            source = cause;
        }
        assert_eq!(source.to_string(), "no room");
        let (_, sink) = error.into_parts();
        assert_eq!(
            sink.taken,
            whole[..room],
            "what was written is what a good sink would have got"
        );
    }
    let sink = FailsAfter {
        taken: Vec::new(),
        room: whole.len(),
    };
    let mut writer = Writer::new(sink, config).unwrap();
    writer.write_all(&data).unwrap();
    assert_eq!(writer.finish().unwrap().taken, whole);
}

#[test]
fn errors_become_io_errors_by_question_mark() {
    fn write() -> io::Result<()> {
        let sink = FailsAfter {
            taken: Vec::new(),
            room: 3,
        };
        let mut writer = Writer::new(sink, Config::default())?;
        writer.write_all(b"hello")?;
        writer.finish()?;
        Ok(())
    }
    assert_eq!(write().unwrap_err().kind(), ErrorKind::StorageFull);
}

#[test]
fn dropping_without_finish_neither_hangs_nor_panics() {
    for chunks in [0, 1, 3, 20] {
        let mut writer =
            Writer::new(io::sink(), Config::default().chunk_size(10_000).threads(3)).unwrap();
        writer.write_all(&noise(10_000 * chunks + 5)).unwrap();
        drop(writer);
    }
    let mut writer = Writer::new(
        FailsAfter {
            taken: Vec::new(),
            room: 0,
        },
        Config::default().chunk_size(10),
    )
    .unwrap();
    writer.write_all(&noise(1000)).unwrap_err();
    drop(writer);
}

/// Counts what it was given.
struct Count(Arc<AtomicUsize>);

impl Write for Count {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(buf.len(), Ordering::SeqCst);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_more_chunks_are_held_than_promised() {
    let written = Arc::new(AtomicUsize::new(0));
    let (chunk, threads) = (10_000, 3);
    let config = Config::default()
        .chunk_size(chunk)
        .threads(threads)
        .level(0);
    let mut writer = Writer::new(Count(Arc::clone(&written)), config).unwrap();
    for chunks in 1..=50 {
        writer.write_all(&noise(chunk)).unwrap();
        // Level 0 makes each chunk a little longer, so what is not in the sink is held here.
        let held = (chunk * chunks).saturating_sub(written.load(Ordering::SeqCst));
        assert!(
            held <= (threads + 3) * chunk,
            "{held} bytes are held after {chunks} chunks"
        );
    }
    writer.finish().unwrap();
}

#[test]
fn a_flush_writes_complete_chunks_and_changes_no_byte() {
    let data = text(25_000);
    let config = Config::default().chunk_size(10_000).threads(2);
    let mut writer = Writer::new(Vec::new(), config.clone()).unwrap();
    for piece in data.chunks(777) {
        writer.write_all(piece).unwrap();
        writer.flush().unwrap();
    }
    // The second chunk is complete: bytes of the third follow it.
    let flushed = writer.get_ref().len();
    let gz = writer.finish().unwrap();
    assert_eq!(gz, compress(&data, config));
    assert_eq!(oracle(&gz[..flushed]).unwrap(), data[..20_000]);
}

#[test]
fn what_cannot_be_configured_is_said() {
    let error = |config: Config| Writer::new(io::sink(), config).unwrap_err();
    assert_eq!(
        error(Config::default().level(10)),
        ConfigError::Level { level: 10, max: 9 }
    );
    assert_eq!(
        error(Config::default().chunk_size(0)),
        ConfigError::ChunkSize { bytes: 0 }
    );
    assert_eq!(
        error(Config::default().threads(0)),
        ConfigError::Threads { threads: 0 }
    );
    assert_eq!(
        error(single(Config::default()).index(true)),
        ConfigError::IndexOfSingleMember
    );
    assert_eq!(
        error(Config::default().file_name(*b"a\0b")),
        ConfigError::HeaderText { field: "file name" }
    );
    assert_eq!(Backend::ZlibRs.to_string(), "zlib-rs");
}

#[cfg(feature = "libdeflate")]
#[test]
fn libdeflate_says_that_it_cannot_write_a_single_member() {
    let config = single(Config::default()).backend(Backend::Libdeflate);
    let error = Writer::new(io::sink(), config).unwrap_err();
    assert_eq!(
        error,
        ConfigError::SingleMemberBackend {
            backend: Backend::Libdeflate
        }
    );
    assert_eq!(
        error.to_string(),
        "libdeflate cannot write a single member in parallel; use zlib-rs"
    );
}
