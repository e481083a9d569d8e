//! Compresses and decompresses gzip files on every CPU: the flags of gzip and pigz around the crate `pargzip`.

mod args;
mod file;
mod interrupt;
mod progress;
mod stream;

use std::io::{self, Write as _};
use std::path::{Display, Path};
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::args::Args;
use crate::file::Outcome;
use crate::interrupt::Interrupt;

/// What gzip returns after an error, and after a warning.
const ERROR: u8 = 1;
const WARNING: u8 = 2;
/// What a shell reports of a program that a closed pipe ended: 128 and the number of SIGPIPE.
const CLOSED_PIPE: u8 = 141;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // To standard output or standard error, as it is help or an error; neither can be reported elsewhere.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(ERROR),
            };
        }
    };
    let interrupt = match Interrupt::listen() {
        Ok(interrupt) => interrupt,
        Err(error) => {
            complain(&format!("cannot listen for signals: {error}"));
            return ExitCode::from(ERROR);
        }
    };
    run(&args, &interrupt)
}

fn run(args: &Args, interrupt: &Interrupt) -> ExitCode {
    let standard_input = ["-".into()];
    let files = if args.files.is_empty() {
        &standard_input[..]
    } else {
        &args.files
    };
    let mut worst = 0;
    if args.list && stream::print_list_heading().is_err() {
        return ExitCode::from(CLOSED_PIPE);
    }
    for file in files {
        match file::process(file, args, interrupt) {
            Ok(Outcome::Done) => {}
            Ok(Outcome::Warned(warning)) => {
                if !args.quiet {
                    complain(&format!("{}: {warning}", name_of(file)));
                }
                if worst == 0 {
                    worst = WARNING;
                }
            }
            Err(error) if is_closed_pipe(&error) => return ExitCode::from(CLOSED_PIPE),
            Err(error) => {
                // "{:#}" prints the chain of causes.
                complain(&format!("{}: {error:#}", name_of(file)));
                worst = ERROR;
            }
        }
    }
    ExitCode::from(worst)
}

/// What messages call a file.
fn name_of(file: &Path) -> Display<'_> {
    if file == Path::new("-") {
        Path::new("stdin").display()
    } else {
        file.display()
    }
}

fn complain(message: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "pargzip: {message}");
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
