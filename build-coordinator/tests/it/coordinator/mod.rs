//! The whole system on buildlets in this process.

#[cfg(target_os = "linux")]
mod chaos;
mod commands;
#[cfg(target_os = "linux")]
mod drained;
mod files;
#[cfg(target_os = "linux")]
mod fleet;
mod messages;
mod prune;
mod restart;
#[cfg(target_os = "linux")]
mod returning;
pub(crate) mod support;
