//! Supervisors: helper processes, each the parent of one command at a time.
//!
//! A process can be told to adopt the orphans among its descendants (`PR_SET_CHILD_SUBREAPER`). Done in a program that embeds this crate that
//! would change the program: it would become the parent of strangers. A process of its own can do it, and can also put on itself
//! what its command is to inherit.

mod client;
mod process;
mod wire;

pub(super) use self::client::{Started, Supervised, Supervisors};
pub(super) use self::process::serve;
