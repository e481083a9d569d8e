//! How long a 100-byte write to a `livelog` takes, with readers that are idle and with readers that follow.
//!
//! The Go peer is `interop/cmd/livelogbench`, which does the same:
//!
//! - A log is filled with 20,000 writes of 100 bytes, which it takes without truncation, then a new one is made.
//! - Idle readers exist and do not read.
//! - Following readers are blocked in a read when the writes begin; each reads until the end. They are threads
//!   (`following_threads`) or tasks of one tokio runtime of two workers (`following_tasks`).
//! - Only the writes are timed.
//!
//! Most of the time of a write without followers is the kernel's: glibc gives the memory of each finished log back, and
//! the next one's pages are new. `MALLOC_TRIM_THRESHOLD_=1000000000 MALLOC_TOP_PAD_=67108864` keeps it and shows the
//! write alone. Threads that follow are woken one by one and then compete with the writer for the CPUs.

use std::hint::black_box;
use std::io::Read as _;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use livelog::{Buffer, Reader};
use tokio::runtime::Runtime;

const WRITE_SIZE: usize = 100;
const WRITES_PER_LOG: u64 = 20_000;

fn write100(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("the runtime starts");
    let mut group = c.benchmark_group("livelog/write100");
    group.throughput(Throughput::Bytes(WRITE_SIZE as u64));
    for readers in [0, 1, 10, 100, 1000] {
        group.bench_with_input(BenchmarkId::new("idle", readers), &readers, |b, &n| {
            b.iter_custom(|writes| fill_logs(writes, n, Mode::Idle));
        });
    }
    // A thousand threads would measure the kernel's scheduler.
    for readers in [1, 10, 100] {
        group.bench_with_input(
            BenchmarkId::new("following_threads", readers),
            &readers,
            |b, &n| {
                b.iter_custom(|writes| fill_logs(writes, n, Mode::Threads));
            },
        );
    }
    for readers in [1, 10, 100, 1000] {
        group.bench_with_input(
            BenchmarkId::new("following_tasks", readers),
            &readers,
            |b, &n| {
                b.iter_custom(|writes| fill_logs(writes, n, Mode::Tasks(&runtime)));
            },
        );
    }
    group.finish();
}

#[derive(Clone, Copy)]
enum Mode<'a> {
    Idle,
    Threads,
    Tasks(&'a Runtime),
}

/// How long `writes` writes take when logs are filled: of the time for as many full logs as that takes, the due part.
///
/// Part of a log would not do: its first write wakes all readers, and the small chunks come first.
fn fill_logs(writes: u64, readers: usize, mode: Mode<'_>) -> Duration {
    let logs = writes.div_ceil(WRITES_PER_LOG);
    let spent: Duration = (0..logs).map(|_| fill_log(readers, mode)).sum();
    spent.mul_f64(writes as f64 / (logs * WRITES_PER_LOG) as f64)
}

fn fill_log(readers: usize, mode: Mode<'_>) -> Duration {
    let log = Buffer::new();
    let line = [b'x'; WRITE_SIZE];
    let mut idle = Vec::new();
    let mut threads = Vec::new();
    let mut tasks = Vec::new();
    for _ in 0..readers {
        let reader = log.reader();
        match mode {
            Mode::Idle => idle.push(reader),
            Mode::Threads => threads.push(thread::spawn(|| follow(reader))),
            Mode::Tasks(runtime) => tasks.push(runtime.spawn(follow_async(reader))),
        }
    }
    while log.waiting_readers() < threads.len() + tasks.len() {
        thread::yield_now();
    }

    let start = Instant::now();
    for _ in 0..WRITES_PER_LOG {
        log.append(black_box(&line));
    }
    let spent = start.elapsed();

    log.close();
    for thread in threads {
        thread.join().expect("the reader does not panic");
    }
    if let Mode::Tasks(runtime) = mode {
        for task in tasks {
            runtime.block_on(task).expect("the reader does not panic");
        }
    }
    drop(idle);
    spent
}

fn follow(mut reader: Reader) {
    let mut dst = vec![0; 64 << 10];
    while reader.read(&mut dst).expect("this log is in memory") > 0 {
        black_box(&mut dst);
    }
}

async fn follow_async(mut reader: Reader) {
    while let Some(chunk) = reader.next_chunk().await.expect("this log is in memory") {
        black_box(chunk);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = write100
}
criterion_main!(benches);
