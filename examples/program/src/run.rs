use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser};
use tracing_subscriber::EnvFilter;

use crate::flags::go_style;

/// What a shell expects of a command line that makes no sense; upstream's programs exit with it too.
const USAGE: u8 = 2;

/// How much a program logs, to standard error.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// Log more: once for what is done with each request, twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Log warnings and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

impl LogArgs {
    /// Starts logging to standard error. `RUST_LOG`, if set, decides instead of the flags.
    pub fn start(&self) {
        self.start_at("info");
    }

    /// As [`start`](Self::start), for programs that print by themselves what they do: without flags, they log warnings and errors only.
    pub fn start_quietly(&self) {
        self.start_at("warn");
    }

    fn start_at(&self, default: &str) {
        let level = match (self.quiet, self.verbose) {
            (true, _) => "warn",
            (_, 0) => default,
            (_, 1) => "debug",
            _ => "trace",
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .init();
    }
}

/// Parses the command line, with Go's single dashes too, and runs the program.
///
/// An error is printed as `NAME: outer: inner: cause`, and ends the program with status 1; a command line that makes no sense
/// with status 2.
pub fn run<A: Parser + CommandFactory>(
    program: impl FnOnce(A) -> anyhow::Result<ExitCode>,
) -> ExitCode {
    run_with(env::args_os(), program)
}

/// As [`run`], with another command line, of which the first word is the program's name.
pub fn run_with<A: Parser + CommandFactory>(
    args: impl Iterator<Item = OsString>,
    program: impl FnOnce(A) -> anyhow::Result<ExitCode>,
) -> ExitCode {
    let command = A::command();
    let args = match A::try_parse_from(go_style(&command, args)) {
        Ok(args) => args,
        Err(error) => {
            // To standard output or standard error, as it is help or an error; neither can be reported elsewhere.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(USAGE),
            };
        }
    };
    crate::process::return_freed_memory();
    program(args).unwrap_or_else(|error| {
        eprintln!("{}: {error:#}", command.get_name());
        ExitCode::FAILURE
    })
}
