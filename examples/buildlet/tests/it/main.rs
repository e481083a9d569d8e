//! The program `buildlet` as its users meet it: a process with flags, signals and peers that die.

mod coordinator;
mod faults;
mod flags;
mod listen;
#[cfg(target_os = "linux")]
mod loss;
#[cfg(target_os = "linux")]
mod pool;
mod process;
mod reverse;
