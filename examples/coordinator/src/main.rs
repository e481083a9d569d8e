//! Builds the commits of git repositories on buildlets, and shows them.

mod args;
mod check;
mod init;
mod repository;

use std::process::ExitCode;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    program::run(|args: Args| {
        args.log.start();
        match args.command {
            Command::Init(init) => init::run(&init),
            Command::Check(check) => check::run(&check),
            Command::Schema => {
                print!("{}", dashboard_config::json_schema());
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}
