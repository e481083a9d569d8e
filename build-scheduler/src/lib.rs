//! Decides which waiting work gets which machine, and says why the rest waits.
//!
//! A [`Scheduler`] is a state machine: it does no I/O, has no clock and starts no thread. What happened goes in, with
//! the time; what is to be done comes out.
//!
//! ```
//! use build_scheduler::{Config, Decision, Event, Explanation, MachineId, Scheduler, Time, Work, WorkId};
//!
//! let mut scheduler = Scheduler::new(Config::default())?;
//! let now = Time::from_unix_millis(1_790_000_000_000);
//! let build = |id| Event::WorkAdded(Work::new(WorkId(id), "host-linux", "linux-amd64"));
//! let machine = MachineId(7);
//!
//! scheduler.handle(now, Event::MachineOffered { machine, host_type: "host-linux".into() })?;
//! let decisions = scheduler.handle(now, build(1))?;
//! assert_eq!(decisions, [Decision::Assign { work: WorkId(1), machine }]);
//!
//! assert_eq!(scheduler.handle(now, build(2))?, []);
//! let Some(Explanation::Waiting { ahead, reasons, .. }) = scheduler.explain(WorkId(2)) else { panic!() };
//! assert_eq!(ahead, Some(0));
//! assert_eq!(reasons[0].to_string(), "the machine of type host-linux is busy");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is next
//!
//! A machine that is free takes work of its host type, by these rules in this order:
//!
//! 1. Work that is held up is passed over: its builder has [as many running](Event::BuilderLimit) as it may, or not
//!    enough is left of a [quota](Event::QuotaChanged).
//! 2. One machine [in four](Config::aged_every) goes to the work that waits longest, if that is longer than
//!    [half an hour](Config::patience).
//! 3. The first [class](Priority) that has work; among automated work, release branches.
//! 4. The [share](Work::share) with the fewest works running on this host type, then the one that had its turn
//!    longest ago.
//! 5. The highest [level](Work::level), then the newest commit among batch work, else what was asked for first.
//!
//! Of the free machines the one that has been free for longest is used.
//!
//! # Nothing starves
//!
//! Rules 3 to 5 alone would let work wait for ever. By rule 2, and as the same is done within a builder that has a
//! limit, work that is overdue is started after at most four times as many starts as there is older work. And if it
//! needs more of a quota than is left, the quota is kept for it: smaller work fills the gaps only until then. What
//! needs more than the whole quota, or a machine that does not exist, waits and harms nobody.
//!
//! Nothing that runs is ever taken away. Waiting work is [superseded](Decision::Supersede) where it
//! [says](Work::supersede) that it may be.
//!
//! # Differences from upstream's queue
//!
//! - Shares, aging, passing over what does not fit, limits of builders and explanations are ours.
//!   [`Mode::StrictLine`] is upstream's order without them.
//! - Automated work for release branches goes first, as upstream means it to: there, an item is compared with itself.
//! - One queue decides about machines and quotas together, so a quota is never held by work that has no machine.

#![forbid(unsafe_code)]

mod config;
mod event;
mod explain;
mod history;
mod ids;
mod names;
mod queues;
mod scheduler;
mod time;
mod work;

pub use crate::config::{Config, ConfigError, Mode};
pub use crate::event::{Decision, Event, EventError};
pub use crate::explain::{Explanation, HostSummary, QuotaSummary, Reason};
pub use crate::ids::{
    BuilderName, HostType, MachineId, QuotaName, ShareName, SupersedeKey, WorkId,
};
pub use crate::scheduler::Scheduler;
pub use crate::time::Time;
pub use crate::work::{Cost, Priority, Work};
