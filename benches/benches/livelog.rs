//! How long a 100-byte write to a `livelog` takes: see [`benches::livelog`], which also compares it with Go's.

use std::time::Duration;

use benches::livelog::{Mode, WRITE_SIZE, WRITES_PER_LOG, fill_log, runtime};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn write100(c: &mut Criterion) {
    let runtime = runtime().expect("the runtime starts");
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

/// How long `writes` writes take when logs are filled: of the time for as many full logs as that takes, the due part.
///
/// Part of a log would not do: its first write wakes all readers, and the small chunks come first.
fn fill_logs(writes: u64, readers: usize, mode: Mode<'_>) -> Duration {
    let logs = writes.div_ceil(WRITES_PER_LOG);
    let spent: Duration = (0..logs).map(|_| fill_log(readers, mode)).sum();
    spent.mul_f64(writes as f64 / (logs * WRITES_PER_LOG) as f64)
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = write100
}
criterion_main!(benches);
