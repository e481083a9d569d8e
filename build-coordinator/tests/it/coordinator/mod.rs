//! The whole system on buildlets in this process.

mod commands;
mod messages;
mod restart;
mod support;
