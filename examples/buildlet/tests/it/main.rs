//! The program `buildlet` as its users meet it: a process with flags, signals and peers that die.

mod coordinator;
mod faults;
mod flags;
mod listen;
mod process;
mod reverse;
