//! Loading a log, and asking what it says: upstream's package and ours, each in a process of its own.

use std::path::Path;
use std::process::{self, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use maintner::{Config, Corpus};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::load::process::{peak, private};
use crate::maintner::queries;
use crate::maintner::results::Results;

/// What the process does that is measured: it loads a log and prints, as an object, what that cost and how long queries take.
pub(crate) fn load(log: &Path) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut corpus = Corpus::at(log, Config::default());
    corpus.update()?;
    let wall = start.elapsed();
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let cpu = Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32);
    let this = process::id();
    let (peak, private) = (peak(this)?, private(this)?);
    let queries = queries::run(&corpus.view())?;
    let object = json!({
        "load_seconds": wall.as_secs_f64(), "cpu_seconds": cpu.as_secs_f64(), "peak_kib": peak >> 10, "private_kib": private >> 10,
        "queries": queries,
    });
    println!("{object}");
    Ok(())
}

/// Both, in turns, each time the other one first.
pub(super) fn measure(
    log: &Path,
    mib: u64,
    rounds: u32,
    results: &mut Results,
) -> anyhow::Result<()> {
    let this = std::env::current_exe().context("cannot find this program itself")?;
    let go = harness::peer("gomaintner")?;
    for round in 0..rounds {
        eprintln!("  loading {mib} MiB, round {} of {rounds}", round + 1);
        let ours = || {
            let mut ours = Command::new(&this);
            ours.arg("maintner-load").arg(log);
            run(ours)
        };
        let theirs = || {
            let mut theirs = go.command();
            theirs.arg("load").arg(log);
            run(theirs)
        };
        let (ours, theirs) = match round % 2 {
            0 => {
                let theirs = theirs()?;
                (ours()?, theirs)
            }
            _ => (ours()?, theirs()?),
        };
        for (who, object) in [("ours", &ours), ("go", &theirs)] {
            let number = |value: &Value| value.as_f64().context("a program left something out");
            for name in ["load_seconds", "cpu_seconds", "peak_kib", "private_kib"] {
                results.add(&format!("load/{mib}/{who}/{name}"), number(&object[name])?)?;
            }
            for (name, _) in queries::QUERIES {
                let nanos = number(&object["queries"][name]["nanos"])?;
                results.add(&format!("query/{mib}/{who}/{name}"), nanos)?;
            }
        }
        for (name, _) in queries::QUERIES {
            let answer = |object: &Value| object["queries"][name]["answer"].clone();
            let (ours, theirs) = (answer(&ours), answer(&theirs));
            ensure!(ours == theirs, "{name}: {ours}, and {theirs} in Go");
        }
    }
    Ok(())
}

/// The object that a program prints.
pub(super) fn run(mut command: Command) -> anyhow::Result<Value> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed, {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    serde_json::from_slice(&output.stdout).with_context(|| format!("what {command:?} says"))
}
