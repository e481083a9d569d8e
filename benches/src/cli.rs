//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::archive::{self, ArchiveArgs};
use crate::load::{self, LoadArgs};
use crate::maintner::{self, MaintnerArgs};
use crate::{livelog, report, revdial, rival};

/// Measures this project's programs beside their rivals
#[derive(Debug, Parser)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures pargzip, upstream's pargzip in Go, pigz, gzip and others as whole processes
    Report(ReportArgs),
    /// Measures writes to livelog, with readers, beside the Go package
    Livelog {
        /// Turns of each; the table shows the median
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },
    /// Measures revdial beside the TLS below it and the Go package, and what registered workers take
    Revdial(RevdialArgs),
    /// A coordinator that keeps the workers which register
    #[command(hide = true)]
    RevdialCoordinator,
    /// Workers that register and do nothing
    #[command(hide = true)]
    RevdialWorkers {
        #[arg(long)]
        addr: String,
        #[arg(long)]
        count: u32,
    },
    /// Measures a coordinator with a thousand machines and ten thousand builds, and with real buildlets beside Buildbot
    Load(LoadArgs),
    /// Measures unpacking and archiving a source tree, beside the Go buildlet
    Archive(ArchiveArgs),
    /// A buildlet that listens on a port of the system's choice, and prints it
    #[command(hide = true)]
    ArchiveBuildlet { workdir: PathBuf },
    /// Measures maintner beside the Go package: loading, queries, following, appending, serving
    Maintner(MaintnerArgs),
    /// Loads a log and prints what that cost
    #[command(hide = true)]
    MaintnerLoad { log: PathBuf },
    /// Loads a log with a snapshot and prints what that cost
    #[command(hide = true)]
    MaintnerStart { log: PathBuf, snapshot: PathBuf },
    /// Serves a log on a port of the system's choice, and says so on standard error
    #[command(hide = true)]
    MaintnerServe { log: PathBuf },
    /// Compresses standard input to standard output with the crate gzp, as a program of its own would
    #[command(hide = true)]
    GzpCompress {
        #[arg(long, value_enum)]
        format: GzpFormat,
        #[arg(long)]
        threads: usize,
        #[arg(long)]
        level: u32,
    },
}

/// What `report` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Little data and one run: shows that it works, measures nothing
    #[arg(long)]
    pub(crate) quick: bool,
    /// Runs of each subject; the tables show the median
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// MiB of source code, as one tar file
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) source: u64,
    /// MiB of executables and libraries
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) binaries: u64,
    /// Where the chart goes
    #[arg(long, value_name = "FILE", default_value = "benches/pargzip.svg")]
    pub(crate) svg: PathBuf,
    /// Write the tables here too
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Our program [default: built from this workspace]
    #[arg(long, value_name = "FILE")]
    pub(crate) pargzip: Option<PathBuf>,
    /// A rapidgzip to measure [default: the one on PATH, if any]
    #[arg(long, value_name = "FILE")]
    pub(crate) rapidgzip: Option<PathBuf>,
}

/// What `revdial` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct RevdialArgs {
    /// Little of everything: shows that it works, measures nothing
    #[arg(long)]
    pub(crate) quick: bool,
    /// Turns of each; the table shows the median
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// MiB through one connection
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) mib: u32,
    /// Workers that are registered at once
    #[arg(long, value_name = "WORKERS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) registered: u32,
}

/// The crate gzp writes gzip in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GzpFormat {
    /// One member, flushed between blocks, as pigz does
    Gzip,
    /// A member for each block, with its size in the header; compressed by libdeflate
    Mgzip,
}

impl Args {
    /// Does what the command line says.
    ///
    /// # Errors
    ///
    /// When data cannot be made or found, a subject fails or writes what does not decompress to its input, or the results
    /// cannot be written.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Report(args) => report::report(&args),
            Command::Livelog { rounds } => livelog::report(rounds),
            Command::Revdial(args) => revdial::report(&args),
            Command::RevdialCoordinator => revdial::coordinator(),
            Command::RevdialWorkers { addr, count } => revdial::workers(&addr, count),
            Command::Load(args) => load::report(&args),
            Command::Archive(args) => archive::report(&args),
            Command::ArchiveBuildlet { workdir } => archive::buildlet(&workdir),
            Command::Maintner(args) => maintner::report(&args),
            Command::MaintnerLoad { log } => maintner::load(&log),
            Command::MaintnerStart { log, snapshot } => maintner::start(&log, &snapshot),
            Command::MaintnerServe { log } => maintner::serve(&log),
            Command::GzpCompress {
                format,
                threads,
                level,
            } => rival::gzp_compress(format, threads, level),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }
}
