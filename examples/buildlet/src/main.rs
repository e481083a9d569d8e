//! The program `buildlet`.

use std::process::ExitCode;

fn main() -> ExitCode {
    buildlet::run()
}
