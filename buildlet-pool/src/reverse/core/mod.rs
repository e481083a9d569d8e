//! What a pool decides, without I/O.

mod events;
mod moves;
mod report;
#[cfg(test)]
mod simulation;
mod state;

pub(super) use self::state::{Core, Effects, Grant, Handle, Plan};
