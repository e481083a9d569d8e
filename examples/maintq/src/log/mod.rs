//! The files of a log: what is in them, whether it is whole, how fast it is read; and logs made up.

mod bench;
mod cat;
mod files;
mod json;
mod make;
mod repair;

use std::io;
use std::process::ExitCode;

use crate::args::LogCommand;
use crate::output::{Format, Output, terminal_width};

/// Runs a command on the files of a log.
pub(crate) fn run(format: Format, command: &LogCommand) -> anyhow::Result<ExitCode> {
    match command {
        LogCommand::Inspect(files) => files::inspect(format, files),
        LogCommand::Verify(files) => files::verify(format, files),
        LogCommand::Repair { files, write } => repair::run(files, *write),
        LogCommand::Cat { files, from, limit } => cat::run(files, *from, *limit),
        LogCommand::Bench(files) => bench::run(format, files),
        LogCommand::Make(make) => make::run(make),
    }
}

fn begin(format: Format, columns: &[&'static str]) -> io::Result<Output<impl io::Write + use<>>> {
    let out = io::BufWriter::new(io::stdout().lock());
    Output::begin(out, format, columns.to_vec(), terminal_width())
}
