//! A supervisor of commands as a program of its own, for programs whose `main` cannot ask
//! [`supervise_if_asked`](buildlet_proto::exec::supervise_if_asked): they use `Launcher::new("/path/to/supervisor", [])`.

use std::process::ExitCode;

fn main() -> ExitCode {
    buildlet_proto::exec::supervise()
}
