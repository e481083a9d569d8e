//! Parts of `pargzip` by themselves.
//!
//! - `compress/BACKEND/bare` is the limit: the same chunks through the same library, by threads that do nothing else. What
//!   `one-write` takes beyond it is what the pipeline costs.
//! - `compress/BACKEND/64-byte-writes` is a program that writes lines.
//! - `decompress/BACKEND` reads what the writer wrote.

use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pargzip::{Backend, Config, Reader, ReaderConfig, Writer};
use zlib_rs::{Deflate, DeflateFlush, Status};

const THREADS: usize = 2;
const CHUNK: usize = 1 << 20;
const LEVEL: u32 = 6;
const BACKENDS: [(&str, Backend); 2] = [
    ("zlib-rs", Backend::ZlibRs),
    ("libdeflate", Backend::Libdeflate),
];

/// Source code. A bench that is only run once, as tests are, gets less, since its profile does not optimise.
fn data() -> Vec<u8> {
    let measures = std::env::args().any(|arg| arg == "--bench");
    let mib = if measures { 64 } else { 3 };
    benches::data::source_bytes(&harness::target_dir().join("benches"), mib << 20)
        .expect("this machine has source code")
}

fn compress(c: &mut Criterion) {
    let data = data();
    for (name, backend) in BACKENDS {
        let mut group = c.benchmark_group(format!("compress/{name}"));
        group.throughput(Throughput::Bytes(data.len() as u64));
        group
            .sample_size(10)
            .measurement_time(Duration::from_secs(10));
        group.bench_function("bare", |b| b.iter(|| bare(backend, black_box(&data))));
        group.bench_function("one-write", |b| {
            b.iter(|| write(backend, black_box(&data), data.len()));
        });
        group.bench_function("64-byte-writes", |b| {
            b.iter(|| write(backend, black_box(&data), 64));
        });
        group.finish();
    }
}

fn decompress(c: &mut Criterion) {
    let data = data();
    let gz = compressed(&data);
    let mut group = c.benchmark_group("decompress");
    group.throughput(Throughput::Bytes(data.len() as u64));
    group.sample_size(10);
    for (name, backend) in BACKENDS {
        group.bench_with_input(
            BenchmarkId::from_parameter(name),
            &backend,
            |b, &backend| {
                b.iter(|| {
                    let config = ReaderConfig::default().threads(THREADS).backend(backend);
                    let mut reader = Reader::with_config(io::Cursor::new(gz.clone()), config)
                        .expect("a valid configuration");
                    let mut buffer = vec![0; 256 << 10];
                    let mut len = 0;
                    loop {
                        match reader.read(&mut buffer).expect("what the writer wrote") {
                            0 => break,
                            n => len += black_box(&buffer[..n]).len(),
                        }
                    }
                    assert_eq!(len, data.len());
                });
            },
        );
    }
    group.finish();
}

fn config(backend: Backend) -> Config {
    Config::default()
        .level(LEVEL)
        .threads(THREADS)
        .chunk_size(CHUNK)
        .backend(backend)
}

/// Through the library, in writes of `piece` bytes.
fn write(backend: Backend, data: &[u8], piece: usize) {
    let mut writer = Writer::new(io::sink(), config(backend)).expect("a valid configuration");
    for piece in data.chunks(piece) {
        writer.write_all(piece).expect("the sink takes everything");
    }
    writer.finish().expect("the sink takes everything");
}

fn compressed(data: &[u8]) -> Vec<u8> {
    let mut writer =
        Writer::new(Vec::new(), config(Backend::ZlibRs)).expect("a valid configuration");
    writer.write_all(data).expect("memory takes everything");
    writer.finish().expect("memory takes everything")
}

/// The limit: nothing but the library's compression and checksum of each chunk, on as many threads.
fn bare(backend: Backend, data: &[u8]) {
    let chunks = Mutex::new(data.chunks(CHUNK));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut output = vec![0; CHUNK + CHUNK / 64];
                let mut one = one_chunk(backend);
                loop {
                    let chunk = chunks.lock().expect("no other thread panicked").next();
                    let Some(chunk) = chunk else { break };
                    black_box(one(chunk, &mut output));
                }
            });
        }
    });
}

/// Compresses a chunk into a buffer with room for it, and returns the size and the checksum.
type OneChunk = Box<dyn FnMut(&[u8], &mut [u8]) -> (usize, u32)>;

/// One compressor for many chunks, as a thread of the library has.
fn one_chunk(backend: Backend) -> OneChunk {
    match backend {
        Backend::Libdeflate => {
            let level =
                libdeflater::CompressionLvl::new(LEVEL as i32).expect("a level of libdeflate");
            let mut compressor = libdeflater::Compressor::new(level);
            Box::new(move |chunk, output| {
                let len = compressor
                    .deflate_compress(chunk, output)
                    .expect("room for the chunk");
                (len, libdeflater::crc32(chunk))
            })
        }
        _ => {
            let mut deflate = Deflate::new(LEVEL as i32, false, 15);
            Box::new(move |chunk, output| {
                deflate.reset();
                let status = deflate
                    .compress(chunk, output, DeflateFlush::Finish)
                    .expect("a stream that was just reset");
                assert_eq!(status, Status::StreamEnd, "room for the chunk");
                (
                    deflate.total_out() as usize,
                    zlib_rs::crc32::crc32(0, chunk),
                )
            })
        }
    }
}

criterion_group!(benches, compress, decompress);
criterion_main!(benches);
