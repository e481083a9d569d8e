//! The program behind the numbers in this folder's README: see `benches --help`.

use std::process::ExitCode;

use benches::cli::Args;
use clap::Parser as _;

fn main() -> ExitCode {
    match Args::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benches: {error:#}");
            ExitCode::FAILURE
        }
    }
}
