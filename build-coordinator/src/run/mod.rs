//! Attempts: a build's steps on a leased buildlet, and what becomes of the build afterwards.
//!
//! What is decided is decided without I/O: [`Plan`] says what runs, [`Progress`] which step is next and how it all ended,
//! [`after_attempt`] whether the build is tried again. [`Attempt::run`] carries it out over a
//! [`Lease`](buildlet_pool::Lease); [`Attempt::proceed`] over the leases that it takes, if its machine is lost and comes back with
//! what it runs.

mod artifacts;
mod attempt;
mod course;
mod ending;
mod journal;
mod plan;
mod progress;
mod retry;
mod spans;
mod stage;
mod work;

pub(crate) use self::journal::path as journal_path;

pub use self::attempt::{Attempt, Leg, ResumePlan};
pub use self::ending::{Ending, Stop, StopReason};
pub use self::journal::{LiveLog, OutputLimit};
pub use self::plan::{Plan, PlannedStep, STANDARD_VARIABLES};
pub use self::progress::{Next, Progress, StepEnd};
pub use self::retry::{MAX_LOST, after_attempt};
pub use self::stage::{KeepError, Kept, Stage, StageError};
