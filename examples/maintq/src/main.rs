//! Queries years of git, Gerrit and GitHub history from the shell: lists with filters over the crate `maintner`.

mod args;
mod ask;
#[cfg(feature = "export")]
mod export;
mod fields;
mod filter;
mod interrupt;
mod kinds;
mod list;
mod log;
mod output;
mod source;
mod stats;
mod usage;
mod value;

use std::io;
use std::process::ExitCode;

use crate::args::{Args, Command};
use crate::usage::Usage;

/// What a shell expects of a command line that makes no sense.
const USAGE: u8 = 2;
/// What a shell reports of a program that a closed pipe ended: 128 and the number of SIGPIPE.
const CLOSED_PIPE: u8 = 141;

fn main() -> ExitCode {
    program::run(|args: Args| match run(&args) {
        Ok(code) => Ok(code),
        Err(error) if is_closed_pipe(&error) => Ok(ExitCode::from(CLOSED_PIPE)),
        Err(error) if error.is::<Usage>() => {
            eprintln!("maintq: {error}");
            Ok(ExitCode::from(USAGE))
        }
        Err(error) => Err(error),
    })
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    interrupt::listen()?;
    match &args.command {
        Command::Log(log) => return log::run(args.format, log),
        Command::OpenCls(cls) => list::cls(args, cls, true),
        Command::Cls(cls) => list::cls(args, cls, false),
        Command::Issues(issues) => list::issues(args, issues, false),
        Command::Pulls(issues) => list::issues(args, issues, true),
        Command::Commits(commits) => list::commits(args, commits),
        #[cfg(feature = "export")]
        Command::Export(export) => export::run(args, export),
        Command::Ask(command) => ask::run(args, command),
        Command::Stats => stats::run(args),
        Command::Fields => fields::run(args.format),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
