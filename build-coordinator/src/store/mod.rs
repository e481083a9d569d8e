//! Where builds, attempts, events, commits, machines, tokens and deliveries are kept: SQLite, or PostgreSQL.
//!
//! # Writing
//!
//! One task writes. Calls of [`Store`] that change something put an order into its queue (1024 orders; a full queue makes
//! callers wait) and wait for the answer. The task takes up to 128 orders into one transaction, so many small changes
//! cost one flush of the disk. When a call returns, what it did survives a crash of the process and of the machine.
//!
//! A change of a build and its event are written in one transaction, or neither is. The state machine of
//! [`model`](crate::model) decides what is allowed; the tables are what replaying the events gives.
//!
//! # Reading
//!
//! Readers have connections of their own, see one consistent state, and wait for no writer.
//!
//! # One coordinator
//!
//! A SQLite file is locked while it is open. In PostgreSQL a lease is held, renewed and checked in every transaction: a
//! coordinator that lost it cannot write any more.
//!
//! # Cancel safety
//!
//! A reading call may be dropped at any time. A writing call that is dropped has either not begun, or is carried out
//! as if it had been waited for.

mod builds;
mod commits;
mod config;
mod database;
mod deliveries;
mod error;
mod lock;
mod machines;
mod prune;
mod reads;
mod row;
#[expect(
    clippy::module_inception,
    reason = "the module's main type, in its own file"
)]
mod store;
mod timings;
mod tokens;
mod writer;

pub use self::commits::{Grid, GridCell, GridRow};
pub use self::config::StoreConfig;
pub use self::error::{OpenStoreError, StoreError};
pub use self::machines::{DrainedMachine, MachineAttempt};
pub use self::prune::{KeepLimits, Prunable};
pub use self::reads::{BuildFilter, BuildPage, BuildRow};
pub use self::store::{Enqueued, EventFeed, Recorded, Store};
pub use self::tokens::TokenText;
