//! The program `buildlet` as its users meet it: a process with flags, signals and peers that die.

mod coordinator;
mod faults;
mod flags;
mod listen;
#[cfg(target_os = "linux")]
mod loss;
mod process;
mod reverse;
