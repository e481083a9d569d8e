use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::ids::{BuilderName, HostType, MachineId, QuotaName, WorkId};
use crate::work::Work;

/// What happened, for [`Scheduler::handle`](crate::Scheduler::handle).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Work wants a machine.
    WorkAdded(Work),
    /// Waiting work is not wanted any more.
    ///
    /// Work that runs is not touched, as nothing that runs is ever taken away: stop it, and report it
    /// [finished](Self::WorkFinished).
    WorkCancelled(WorkId),
    /// Work that was [assigned](Decision::Assign) has ended, however it ended. Its machine is not used again before it is
    /// [offered](Self::MachineOffered) again.
    WorkFinished {
        /// Which.
        work: WorkId,
        /// How long it took, where that says something about the builder's next work: not if it was cut short.
        took: Option<Duration>,
    },
    /// Work that was assigned did not begin, as its machine was not to be had. It waits again, where it stood before.
    AssignmentFailed(WorkId),
    /// A machine is free.
    ///
    /// Offering one that is free already changes nothing, and one whose work was not reported finished yet is used
    /// as soon as that is, so reports about machines and about works need not come in order.
    MachineOffered {
        /// Which.
        machine: MachineId,
        /// What it is.
        host_type: HostType,
    },
    /// A machine is not to be had any more. Its work, if any, still counts as running until it is reported finished.
    /// One that is not known is ignored.
    MachineLost(MachineId),
    /// Changes how many works of a builder may run at once: upstream's `MaxAtOnce`. `None` lifts the limit.
    BuilderLimit {
        /// Which.
        builder: BuilderName,
        /// How many; 0 stops the builder.
        max: Option<u32>,
    },
    /// Changes a quota. One that was never set has a limit of 0.
    QuotaChanged {
        /// Which.
        quota: QuotaName,
        /// How much may be used.
        limit: u32,
        /// How much of it others use, which this scheduler did not start.
        untracked: u32,
    },
    /// A duration from an earlier run of the program, for estimates.
    Learned {
        /// Whose.
        builder: BuilderName,
        /// How long one of its works took.
        took: Duration,
    },
    /// Nothing but time has passed; see [`Scheduler::next_timeout`](crate::Scheduler::next_timeout).
    TimePassed,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Start this work on this machine, and report [`Event::WorkFinished`] or [`Event::AssignmentFailed`] once.
    Assign {
        /// What.
        work: WorkId,
        /// Where.
        machine: MachineId,
    },
    /// This work does not wait any more, as newer work with the same key does. It never ran.
    Supersede {
        /// What was waiting.
        work: WorkId,
        /// What waits in its place.
        by: WorkId,
    },
}

/// Why an [`Event`] was refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventError {
    /// Work with this number waits or runs.
    DuplicateWork(WorkId),
    /// No such work waits or runs.
    UnknownWork(WorkId),
    /// The work does not run.
    NotRunning(WorkId),
    /// The work runs: stop it and report it finished.
    Running(WorkId),
    /// The machine is known as one of another host type: report it lost first.
    HostTypeChanged(MachineId),
    /// As many works wait or run as [`Config::max_waiting`](crate::Config::max_waiting) allows.
    QueueFull {
        /// How many.
        limit: usize,
    },
    /// As many machines are known as [`Config::max_machines`](crate::Config::max_machines) allows.
    TooManyMachines {
        /// How many.
        limit: usize,
    },
    /// As many limits of builders, or quotas, are set as [`Config::max_names`](crate::Config::max_names) allows.
    TooManyNames {
        /// How many.
        limit: usize,
    },
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateWork(id) => write!(f, "work {id} waits or runs already"),
            Self::UnknownWork(id) => write!(f, "work {id} neither waits nor runs"),
            Self::NotRunning(id) => write!(f, "work {id} does not run"),
            Self::Running(id) => write!(f, "work {id} runs and must be stopped first"),
            Self::HostTypeChanged(id) => {
                write!(f, "machine {id} is known as one of another host type")
            }
            Self::QueueFull { limit } => write!(f, "the queue has its limit of {limit} works"),
            Self::TooManyMachines { limit } => write!(f, "there is the limit of {limit} machines"),
            Self::TooManyNames { limit } => {
                write!(f, "limits are set for the most names there may be, {limit}")
            }
        }
    }
}

impl Error for EventError {}
