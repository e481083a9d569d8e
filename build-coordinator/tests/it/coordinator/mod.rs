//! The whole system on buildlets in this process.

#[cfg(target_os = "linux")]
mod chaos;
mod commands;
mod messages;
mod restart;
pub(crate) mod support;
