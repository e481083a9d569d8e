//! Where a coordinator's buildlets come from: machines of a type, given to one holder at a time, and got back however that ends.
//!
//! ```
//! use buildlet_pool::{BuildletPool, LeaseRequest, ReverseConfig, ReversePool, Verdict};
//! use buildlet_proto::client::Exec;
//! use buildlet_proto::key::MasterKey;
//! use buildlet_proto::types::ExecRequest;
//! use revdial::{Accepted, Arrival, FrontDoor, FrontDoorConfig, PickupRegistry};
//!
//! type Error = Box<dyn std::error::Error>;
//!
//! /// Takes in the buildlets that register here.
//! async fn serve(tcp: tokio::net::TcpListener, pool: ReversePool) -> Result<(), Error> {
//!     let door = FrontDoor::new(FrontDoorConfig::default(), PickupRegistry::new(), pool.clone())?;
//!     let arrive = async |tcp| Ok(Arrival::plain(tcp)); // in earnest: TLS
//!     let handle = move |accepted| {
//!         let pool = pool.clone();
//!         async move {
//!             if let Ok(Accepted::Registered(machine)) = accepted {
//!                 pool.admit(machine);
//!             }
//!         }
//!     };
//!     match door.serve(tcp, arrive, handle).await {}
//! }
//!
//! async fn build(pool: &dyn BuildletPool) -> Result<(), Error> {
//!     let lease = pool.get_buildlet(LeaseRequest::new("host-linux")).await?; // who asks first gets first
//!     let command = ExecRequest::new("make").dir("src");
//!     let outcome = tokio::select! {
//!         outcome = lease.client().exec(Exec::from(command)) => outcome,
//!         lost = lease.lost() => return Err(lost.into()), // the machine is gone: that says nothing of the build
//!     };
//!     match outcome {
//!         Ok(outcome) => {
//!             lease.release(Verdict::Healthy); // whether it succeeded or not
//!             outcome.success()?;
//!         }
//!         Err(error) => lease.release(Verdict::Suspect(error.to_string())),
//!     }
//!     Ok(())
//! } // had the task been cancelled, the machine would be free as well
//!
//! # fn main() -> Result<(), Error> {
//! let master = MasterKey::new(*b"a secret of the coordinator's")?; // gives each host type its key
//! let pool = ReversePool::new(ReverseConfig::default().master_key(master))?;
//! # let _ = (serve, build, pool);
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! [`BuildletPool`] is the seam: whatever starts machines can be one. [`ReversePool`] has the machines that dial in and register. A program
//! asks for a machine and waits for its turn, or follows what is on offer ([`Offers`]), decides by itself, and leases a certain one.
//!
//! A [`Lease`] is the only way to a machine. It says when it is lost, and it ends when it is released or dropped, when its time
//! is over, or when the machine is gone; connections made through it end with it.
//!
//! # Machines that come back
//!
//! A reverse buildlet of this project can go on with a command while it has no session, and come back with it
//! ([`Machine::keeps_commands`]). Its next stay begins in the state [`Held`](MachineState::Held): it goes to who has claimed, or claims within
//! seconds, what it runs ([`BuildletPool::reclaim`]). Otherwise that is killed, and the machine cleaned, before it is on offer. The
//! processes of a [`ProcessPool`] never come back: they end with the program that started them.
//!
//! # Limits
//!
//! | what | limit | set by |
//! |---|---|---|
//! | machines, requests that wait | 16,384, 65,536 | [`ReverseConfig::max_machines`], [`ReverseConfig::max_waiting`] |
//! | a wait, a lease | 1 h, 2 h | [`LeaseRequest::wait_limit`], [`LeaseOptions::time`], [`ReverseConfig::lease_time`] |
//! | an answer of an idle machine, emptying its work directory | 20 s, 5 min | [`ReverseConfig::health_limit`], [`ReverseConfig::clean_limit`] |
//! | connections that leases make at once; one of them, waiting for its turn included | 64, 60 s | |
//! | leaving, when told to halt | 2 s and 5 s | [`ReverseConfig::leave_limit`] |
//! | machines that are remembered; and told of once they are gone | 20,000, 1,000 | |
//! | a machine with commands that nobody claims | 10 s | [`ReverseConfig::claim_limit`] |
//! | events that wait for a follower of offers | one a machine | |
//!
//! # Differences from the Go program
//!
//! Registrations are judged in its order and with its words, and its buildlets work. Beyond that
//! (`internal/coordinator/pool/reverse.go`):
//!
//! - A machine is cleaned before it is on offer and not after it was grabbed; so a lease is there at once.
//! - Machines in a lease are watched as well, without taking one that is busy sending for a dead one.
//! - Two machines cannot share a name, and a connection whose machine is gone does not block its successor.
//! - Machines whose builds keep failing are put in quarantine; leases expire; who waits longest gets the next machine.
//! - There may be no master key, but never an empty one.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `process` | yes | [`ProcessPool`]: buildlets that are processes on this machine |
//! | `test-support` | no | `test_support`: simulated machines, thousands to a process |
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod lease;
mod machine;
mod metrics;
mod offers;
mod pool;
#[cfg(feature = "process")]
mod process;
mod reverse;
mod status;
#[cfg(feature = "test-support")]
pub mod test_support;
mod text;

pub use crate::lease::{Lease, LeaseControl, LostReason, Verdict};
pub use crate::machine::{HostType, Machine, MachineId};
pub use crate::metrics::Metrics;
pub use crate::offers::{OfferEvent, Offers};
pub use crate::pool::{
    BuildletPool, GetBuildletError, LeaseError, LeaseOptions, LeaseRequest, ReclaimError,
    ReclaimRequest,
};
#[cfg(feature = "process")]
pub use crate::process::{
    INHERITED_VARIABLES, ProcessConfig, ProcessPool, ProcessStatus, Program, StartError,
};
pub use crate::reverse::{HostPolicy, Invitation, NewPoolError, Reuse, ReverseConfig, ReversePool};
pub use crate::status::{AbsentMachine, HostTypeStatus, MachineState, MachineStatus, PoolStatus};

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
