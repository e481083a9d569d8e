//! Where a coordinator's buildlets come from: machines of a type, given to one holder at a time, and got back however that ends.
//!
//! ```
//! use buildlet_pool::{BuildletPool, LeaseRequest, Verdict};
//! use buildlet_proto::client::Exec;
//! use buildlet_proto::types::ExecRequest;
//!
//! async fn build(pool: &dyn BuildletPool) -> Result<(), Box<dyn std::error::Error>> {
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
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod lease;
mod machine;
mod metrics;
mod offers;
mod pool;
mod status;

pub use crate::lease::{Lease, LeaseControl, LostReason, Verdict};
pub use crate::machine::{HostType, Machine, MachineId};
pub use crate::metrics::Metrics;
pub use crate::offers::{OfferEvent, Offers};
pub use crate::pool::{BuildletPool, GetBuildletError, LeaseError, LeaseOptions, LeaseRequest};
pub use crate::status::{AbsentMachine, HostTypeStatus, MachineState, MachineStatus, PoolStatus};
