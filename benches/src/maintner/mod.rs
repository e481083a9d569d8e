//! Logs of several sizes, loaded, queried, followed, appended to and served: Go's maintner beside ours.
//!
//! Upstream's package runs in `interop/cmd/gomaintner`, ours in this program, started anew: each a process of its own, in turns.

mod append;
mod follow;
mod load;
mod logs;
mod queries;
mod results;
mod scan;
mod serve;
mod show;
mod start;
mod sync;

use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;

pub(crate) use self::load::load;
use self::logs::{Logs, warm};
use self::results::Results;
pub(crate) use self::serve::serve;
pub(crate) use self::start::start;

/// The log that is followed, appended to and served, in MiB.
const SMALL: u64 = 64;
/// Changes of the project that is followed from nothing.
const CHANGES: u32 = 10_000;
/// What `--quick` has in place of it all.
const QUICK: u64 = 1;

/// What `maintner` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct MaintnerArgs {
    /// A small log and one turn of all: shows that it works, measures nothing
    #[arg(long)]
    quick: bool,
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::value_variants().iter().copied())]
    parts: Vec<Part>,
    /// MiB of the logs that are loaded and queried
    #[arg(long, value_name = "MIB", value_delimiter = ',', default_values_t = [64, 256, 1024, 2304])]
    sizes: Vec<u64>,
    /// Turns of each; the tables show medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Where chance begins, of which the logs are made
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Begin the logs with the history of this git repository
    #[arg(long, value_name = "DIR")]
    git: Option<PathBuf>,
    /// The program that makes the logs [default: built from this workspace]
    #[arg(long, value_name = "FILE")]
    maintq: Option<PathBuf>,
    /// Keep what is measured in this file, and count what is there already
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Measure nothing: show what the results say
    #[arg(long, requires = "results")]
    show: bool,
    /// The folder for the charts
    #[arg(long, value_name = "DIR", default_value = "benches")]
    svg: PathBuf,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Loading, memory and queries
    Load,
    /// Finding records
    Scan,
    /// Starting with a snapshot
    Start,
    /// From a mutation's last byte to a query that sees it
    Follow,
    /// Appending
    Append,
    /// Serving to many who have nothing yet
    Serve,
    /// Following a project of a Gerrit server from nothing
    Sync,
}

/// Measures, and prints tables.
pub(crate) fn report(args: &MaintnerArgs) -> anyhow::Result<()> {
    let mut results = Results::open(args.results.as_deref())?;
    if !args.show {
        measure(args, &mut results)?;
    }
    let mut text = show::tables(&results)?;
    if args.quick {
        text.insert_str(
            0,
            "**A quick run: it shows that the program works, and its times mean nothing.**\n\n",
        );
    }
    show::charts(&results, &args.svg)?;
    io::Write::write_all(&mut io::stdout(), text.as_bytes()).context("cannot print the tables")
}

fn measure(args: &MaintnerArgs, results: &mut Results) -> anyhow::Result<()> {
    let mut logs = Logs::new(args.seed, args.git.clone(), args.maintq.clone());
    let (sizes, small, rounds) = match args.quick {
        true => (&[QUICK][..], QUICK, 1),
        false => (&*args.sizes, SMALL, args.rounds),
    };
    let (mutations, followers) = if args.quick { (20, 5) } else { (1000, 100) };
    let does = |part| args.parts.contains(&part);
    for &mib in sizes {
        if ![Part::Load, Part::Scan, Part::Start].into_iter().any(does) {
            break;
        }
        let log = logs.get(mib)?;
        warm(&log)?;
        if does(Part::Load) {
            load::measure(&log, mib, rounds, results)?;
        }
        if does(Part::Scan) {
            scan::measure(&log, mib, rounds, results)?;
        }
        if does(Part::Start) {
            let snapshot = logs.dir().join("snapshot");
            start::measure(&log, mib, &snapshot, rounds, results)?;
        }
    }
    if [Part::Follow, Part::Append, Part::Serve]
        .into_iter()
        .any(does)
    {
        let log = logs.get(small)?;
        let bytes = warm(&log)?;
        eprintln!("  the small log has {bytes} bytes");
        let dir = logs.dir();
        if does(Part::Follow) {
            follow::measure(&log, dir, mutations, results)?;
        }
        if does(Part::Append) {
            append::measure(&log, dir, rounds, results)?;
        }
        if does(Part::Serve) {
            serve::measure(&log, followers, rounds, results)?;
        }
    }
    if does(Part::Sync) {
        sync::measure(if args.quick { 30 } else { CHANGES }, rounds, results)?;
    }
    Ok(())
}
