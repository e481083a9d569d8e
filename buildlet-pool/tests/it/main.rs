//! Pools as their users meet them.

#[cfg(feature = "test-support")]
mod cancelling;
#[cfg(feature = "test-support")]
mod coordinator;
#[cfg(feature = "test-support")]
mod leases;
#[cfg(feature = "test-support")]
mod registrations;
