//! The running system: configuration, pools, scheduler, store and git put together.
//!
//! ```no_run
//! use std::sync::Arc;
//! use build_coordinator::blobs::FileBlobs;
//! use build_coordinator::coordinator::{Coordinator, Parts};
//! use build_coordinator::git::{Git, GitConfig};
//! use build_coordinator::store::{Store, StoreConfig};
//! use buildlet_pool::BuildletPool;
//!
//! # async fn example(pool: Arc<dyn BuildletPool>) -> Result<(), Box<dyn std::error::Error>> {
//! let parts = Parts {
//!     store: Store::open(StoreConfig::sqlite("state/coordinator.db")).await?,
//!     git: Git::open("state/git", GitConfig::default()).await?,
//!     blobs: Arc::new(FileBlobs::open("state/blobs").await?),
//!     pools: vec![pool],
//!     live_logs: "state/live".into(),
//!     config_files: vec!["builders.toml".into()],
//!     courier: None,
//! };
//! let config = dashboard_config::Config::load(["builders.toml"])?;
//! let coordinator = Coordinator::start(config, parts).await?;
//! coordinator.enqueue("site", "main", None, "alice").await?;
//! // ... and when it is asked to:
//! coordinator.drain().await; // what runs ends first
//! coordinator.stop().await; // or now; what ran is tried again by the next run
//! # Ok(())
//! # }
//! ```
//!
//! # Who does what
//!
//! | task | owns | waits for |
//! |---|---|---|
//! | the engine | the scheduler; who runs where | commands, offers of machines, attempts that end, time |
//! | one for each pool | nothing | its offers |
//! | one for each attempt | its lease and its log | its machine |
//! | one for each repository | when to look next | git |
//! | the reader of the configuration's files | what they looked like | time |
//! | the remover of old builds | nothing | time |
//! | the messenger | nothing | deliveries in the store |
//!
//! What is known is in the [store](crate::store): a state is changed there first, and then acted on. The engine's own
//! state is made of it at each start.
//!
//! # When it was killed
//!
//! At the start, attempts of earlier runs that have no end get one, [`CoordinatorLost`](crate::model::Cause::CoordinatorLost),
//! with what there is of their logs, before anything is started; their builds are tried again. Their commands had ended:
//! a buildlet kills a command whose connection closes, and what a killed coordinator had open is closed by its system.
//!
//! Unless their machine [keeps commands](buildlet_pool::Machine::keeps_commands), and a step had begun. Then the attempt waits for that
//! machine, for the time that the configuration gives (`machine_return`, a minute if nothing is said), and goes on where it was: the log at the very byte
//! where it stopped, then the other steps. So it is when the connection to a machine is lost while the coordinator runs, and when
//! the coordinator is [stopped](Coordinator::stop). A command goes on alone for five sixths of that time, so that it is dead
//! when its build is tried again elsewhere, as long as its machine notices the loss within the last sixth after the coordinator does. What an attempt that waits would have used counts as used.
//!
//! # Limits
//!
//! 200,000 builds that wait or run ([`build_scheduler::Config::max_waiting`]). A million more wait in the store and come in,
//! oldest first, when there is room; those beyond them wait for the next start. 256 commands on their way, beyond which
//! callers wait; a step's output, see [`OutputLimit`](crate::run::OutputLimit).

#[expect(
    clippy::module_inception,
    reason = "the module's main type, in its own file"
)]
mod coordinator;
mod drained;
mod engine;
mod error;
mod files;
mod finder;
mod machines;
mod prune;
mod recovery;
mod returning;
mod shared;
mod stage;
mod task;
mod work;

pub use self::coordinator::{Coordinator, Parts, Waiting};
pub use self::error::{CommandError, EnqueueError, StartError};
pub use self::files::{ConfigNews, ReloadError};
pub use self::prune::{PruneError, Pruned};
