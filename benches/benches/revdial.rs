//! Connections that were dialed in reverse, and the same over bare TLS: see [`benches::revdial`], which also compares with Go's.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::revdial::{Bare, Configs, Link, Reverse, round_trip, runtime, throughput, warm_dial};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

/// MiB of one measurement of throughput.
const MIB: u32 = 32;
/// How long one median is taken over.
const TURN: Duration = Duration::from_millis(20);

fn revdial(c: &mut Criterion) {
    let runtime = |threads| runtime(threads).expect("the runtime starts");
    // A thread for each end of a connection that much goes through; dials are made by whichever thread is free.
    let (dialing, working, together) = (runtime(1), runtime(1), runtime(2));
    let (tls, ours) = pair(&dialing, &working, false);
    bench_connection(c, &dialing, "tls", &tls);
    bench_connection(c, &dialing, "revdial", &ours);
    for (sessions, resume) in [("full", false), ("resumed", true)] {
        let (tls, ours) = pair(&together, &together, resume);
        bench_dial(c, &together, BenchmarkId::new("tls", sessions), &tls);
        bench_dial(c, &together, BenchmarkId::new("revdial", sessions), &ours);
    }
    let warm =
        together.block_on(async { Reverse::new(&Configs::new(true)?, 8, together.handle()).await });
    let warm = Arc::new(warm.expect("a worker registers"));
    c.bench_function("revdial/dial/revdial/warm", |b| {
        b.iter_custom(|dials| {
            let link = Arc::clone(&warm);
            let dial = run(&together, async move { warm_dial(&link, TURN).await });
            Duration::from_nanos(dial.wall as u64) * dials as u32
        });
    });
}

/// Both ways to open connections.
fn pair(dialing: &Runtime, working: &Runtime, resume: bool) -> (Arc<Bare>, Arc<Reverse>) {
    let made = dialing.block_on(async {
        let (configs, worker) = (Configs::new(resume)?, working.handle());
        let tls = Bare::new(&configs, worker).await?;
        anyhow::Ok((tls, Reverse::new(&configs, 0, worker).await?))
    });
    let (tls, ours) = made.expect("a worker registers");
    (Arc::new(tls), Arc::new(ours))
}

/// What is done on one connection.
fn bench_connection<L: Link>(c: &mut Criterion, runtime: &Runtime, subject: &str, link: &Arc<L>) {
    let mut group = c.benchmark_group("revdial/throughput");
    group.throughput(Throughput::Bytes(u64::from(MIB) << 20));
    group.bench_function(subject, |b| {
        b.iter_custom(|times| {
            let link = Arc::clone(link);
            run(runtime, async move {
                let mut spent = 0.0;
                for _ in 0..times {
                    spent += f64::from(MIB) * throughput(&*link, MIB).await?.wall;
                }
                Ok(Duration::from_nanos(spent as u64))
            })
        });
    });
    group.finish();
    c.bench_function(&format!("revdial/rtt64/{subject}"), |b| {
        b.iter_custom(|trips| {
            let link = Arc::clone(link);
            let trip = run(runtime, async move { round_trip(&*link, TURN).await });
            Duration::from_nanos(trip.wall as u64) * trips as u32
        });
    });
}

fn bench_dial<L: Link>(c: &mut Criterion, runtime: &Runtime, id: BenchmarkId, link: &Arc<L>) {
    c.benchmark_group("revdial/dial").bench_function(id, |b| {
        b.iter_custom(|dials| {
            let link = Arc::clone(link);
            run(runtime, async move {
                let began = Instant::now();
                for _ in 0..dials {
                    drop(link.dial().await?);
                }
                Ok(began.elapsed())
            })
        });
    });
}

/// As a task: what runs on this thread instead would have to be woken by the runtime's.
fn run<T: Send + 'static>(
    runtime: &Runtime,
    task: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> T {
    let done = runtime.block_on(runtime.spawn(task));
    done.expect("it does not panic").expect("connections hold")
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = revdial
}
criterion_main!(benches);
