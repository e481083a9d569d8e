//! What an event costs `build-scheduler`, by how much work waits and how many machines there are.

use std::time::Duration;

use build_scheduler::{
    Config, Decision, Event, MachineId, Priority, Scheduler, Time, Work, WorkId,
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const NOW: Time = Time::from_unix_millis(1_790_000_000_000);

/// Work of four classes for five host types, of twenty builders and fifty shares.
fn work(n: u64) -> Work {
    let host = n % 5;
    let mut work = Work::new(
        WorkId(n),
        format!("host-{host}"),
        format!("builder-{}", n % 20),
    );
    work.priority = match n % 16 {
        0 => Priority::Interactive,
        1..4 => Priority::Automated,
        _ => Priority::Batch,
    };
    work.share = format!("share-{}", n * 7 % 50).into();
    work.commit_time = Some(Time::from_unix_millis((n * 7919 % 1_000_003) as i64));
    work
}

fn offer(machine: u64) -> Event {
    Event::MachineOffered {
        machine: MachineId(machine),
        host_type: format!("host-{}", machine % 5).into(),
    }
}

/// A scheduler with all machines at work and as much work in the queue, with what runs where.
struct Busy {
    scheduler: Scheduler,
    running: Vec<(WorkId, MachineId)>,
    next: u64,
}

impl Busy {
    fn new(waiting: u64, machines: u64) -> Self {
        let mut busy = Self {
            scheduler: Scheduler::new(Config::default()).expect("the configuration is sound"),
            running: Vec::new(),
            next: 0,
        };
        for machine in 0..machines {
            busy.handle(offer(machine));
        }
        for _ in 0..waiting + machines {
            busy.add();
        }
        assert_eq!(busy.running.len() as u64, machines);
        busy
    }

    fn handle(&mut self, event: Event) {
        for decision in self
            .scheduler
            .handle(NOW, event)
            .expect("the event fits what is known")
        {
            if let Decision::Assign { work, machine } = decision {
                self.running.push((work, machine));
            }
        }
    }

    fn add(&mut self) {
        self.handle(Event::WorkAdded(work(self.next)));
        self.next += 1;
    }

    /// A work ends, its machine is offered again and takes another, and more work comes: three events, one assignment.
    fn turn(&mut self) {
        let (work, machine) = self
            .running
            .swap_remove(self.next as usize * 31 % self.running.len());
        let took = Some(Duration::from_secs(60));
        self.handle(Event::WorkFinished { work, took });
        self.handle(offer(machine.0));
        self.add();
    }
}

fn turns(c: &mut Criterion) {
    let mut group = c.benchmark_group("scheduler/turn");
    group.throughput(Throughput::Elements(1)); // decisions
    for waiting in [1_000, 10_000, 100_000] {
        let mut busy = Busy::new(waiting, waiting / 10);
        group.bench_function(BenchmarkId::from_parameter(waiting), |b| {
            b.iter(|| busy.turn());
        });
    }
    group.finish();
}

/// All work comes first, then all machines.
fn fill(c: &mut Criterion) {
    let mut group = c.benchmark_group("scheduler/fill");
    group.sample_size(10);
    for waiting in [1_000, 10_000, 100_000] {
        let machines = waiting / 10;
        group.throughput(Throughput::Elements(waiting + machines)); // events
        group.bench_function(BenchmarkId::from_parameter(waiting), |b| {
            let events = || -> Vec<Event> {
                let works = (0..waiting).map(|n| Event::WorkAdded(work(n)));
                works.chain((0..machines).map(offer)).collect()
            };
            b.iter_batched(
                || {
                    (
                        Scheduler::new(Config::default()).expect("the configuration is sound"),
                        events(),
                    )
                },
                |(mut scheduler, events)| {
                    for event in events {
                        scheduler
                            .handle(NOW, event)
                            .expect("the event fits what is known");
                    }
                    scheduler
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn explain(c: &mut Criterion) {
    let mut group = c.benchmark_group("scheduler/explain");
    for waiting in [1_000, 10_000, 100_000] {
        let mut busy = Busy::new(waiting, waiting / 10);
        busy.turn();
        let queue = busy
            .scheduler
            .queue(&"host-3".into(), Scheduler::LOOK_AHEAD);
        let last = *queue.last().expect("work waits");
        group.bench_function(BenchmarkId::new("last", waiting), |b| {
            b.iter(|| busy.scheduler.explain(last));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = turns, fill, explain
}
criterion_main!(benches);
