//! Pools as their users meet them.

#[cfg(feature = "test-support")]
mod cancelling;
#[cfg(feature = "test-support")]
mod coordinator;
#[cfg(feature = "test-support")]
mod leases;
#[cfg(all(unix, feature = "test-support"))]
mod peers;
#[cfg(feature = "test-support")]
mod registrations;
#[cfg(all(unix, feature = "test-support"))]
mod returning;
#[cfg(feature = "test-support")]
mod thousand;
