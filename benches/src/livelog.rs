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

use anyhow::Context as _;
use livelog::{Buffer, Reader};
use tokio::runtime::Runtime;

use crate::table::{Align, markdown};

/// Bytes of a write.
pub const WRITE_SIZE: usize = 100;
/// Writes to one log.
pub const WRITES_PER_LOG: u64 = 20_000;
/// The numbers of readers that the Go peer measures.
const READERS: [usize; 5] = [0, 1, 10, 100, 1000];
/// How long a case is measured in a round.
const TURN: Duration = Duration::from_millis(300);

/// What the readers do.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// They exist.
    Idle,
    /// They read in threads.
    Threads,
    /// They read in tasks.
    Tasks(&'a Runtime),
}

/// How long the writes to one new log take.
///
/// # Panics
///
/// When a reader does.
#[must_use]
pub fn fill_log(readers: usize, mode: Mode<'_>) -> Duration {
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

/// Measures the Go package and ours in turns, and prints a table.
pub(crate) fn report(rounds: u32) -> anyhow::Result<()> {
    let go = harness::peer("livelogbench")?;
    let runtime = runtime()?;
    let mut cases = Vec::new();
    for (mode, name) in [(Mode::Idle, "idle"), (Mode::Tasks(&runtime), "following")] {
        for readers in READERS {
            cases.push(Case {
                mode,
                name,
                readers,
                ours: Vec::new(),
                theirs: Vec::new(),
            });
        }
    }
    for round in 1..=rounds {
        eprintln!("  round {round} of {rounds}");
        let time = format!("{}ms", TURN.as_millis());
        let output = go
            .command()
            .args(["-time", &time])
            .output()
            .context("cannot run the Go peer")?;
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        for case in &mut cases {
            case.theirs.push(
                case.of_peer(&output)
                    .context("the Go peer left out a case")?,
            );
        }
        for case in &mut cases {
            case.ours.push(case.measure());
        }
    }
    let rows: Vec<_> = cases.iter_mut().map(Case::row).collect();
    let columns = [
        ("readers", Align::Left),
        ("Go, ns a write", Align::Right),
        ("ours", Align::Right),
        ("times as fast", Align::Right),
    ];
    println!("{}", markdown(&columns, &rows));
    Ok(())
}

/// A runtime for readers that are tasks.
///
/// # Errors
///
/// When the system gives no threads.
pub fn runtime() -> anyhow::Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build();
    runtime.context("cannot start a runtime")
}

/// One number of readers that do one thing, and what was measured for it, in nanoseconds a write, a round.
struct Case<'a> {
    mode: Mode<'a>,
    name: &'static str,
    readers: usize,
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Case<'_> {
    /// The peer's number for this case among its lines.
    fn of_peer(&self, output: &str) -> Option<f64> {
        let prefix = format!(
            "write100 readers={} mode={} ns_per_op=",
            self.readers, self.name
        );
        output
            .lines()
            .find_map(|line| line.strip_prefix(&prefix)?.parse().ok())
    }

    /// The median log of a turn, as the peer takes it.
    fn measure(&self) -> f64 {
        let (mut logs, mut spent) = (Vec::new(), Duration::ZERO);
        while spent < TURN {
            let log = fill_log(self.readers, self.mode);
            spent += log;
            logs.push(log.as_nanos() as f64 / WRITES_PER_LOG as f64);
        }
        median(&mut logs)
    }

    fn row(&mut self) -> Vec<String> {
        let (ours, theirs) = (median(&mut self.ours), median(&mut self.theirs));
        vec![
            format!("{} {}", self.readers, self.name),
            format!("{theirs:.0}"),
            format!("{ours:.0}"),
            format!("{:.1}", theirs / ours),
        ]
    }
}

pub(crate) fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_lines_are_told_apart() {
        let output = "write100 readers=1 mode=idle ns_per_op=3.5\nwrite100 readers=10 mode=idle ns_per_op=4\n";
        let case = |readers| Case {
            mode: Mode::Idle,
            name: "idle",
            readers,
            ours: vec![],
            theirs: vec![],
        };
        assert_eq!(case(1).of_peer(output), Some(3.5));
        assert_eq!(case(10).of_peer(output), Some(4.0));
        assert_eq!(case(100).of_peer(output), None);
    }
}
