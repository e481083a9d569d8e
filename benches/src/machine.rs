//! What the numbers were measured on.

use std::fs;
use std::process::Command;
use std::thread;

use crate::data::ask;

/// One line: processor, CPUs, system and compiler.
pub(crate) fn describe() -> String {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let system =
        ask(Command::new("uname").arg("-sr")).unwrap_or_else(|| "unknown system".to_owned());
    let rust =
        ask(Command::new("rustc").arg("--version")).unwrap_or_else(|| "unknown rustc".to_owned());
    format!("{}, {cpus} CPUs, {system}, {rust}", processor())
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(
        || format!("{} processor", std::env::consts::ARCH),
        |(_, name)| name.trim().to_owned(),
    )
}
