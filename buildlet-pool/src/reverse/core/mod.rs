//! What a pool decides, without I/O.

mod claims;
mod events;
mod moves;
mod report;
#[cfg(test)]
mod simulation;
mod state;

pub(super) use self::state::{Core, Effects, Found, Grant, Handle, Plan};
