//! The program as it is run.

#[cfg(unix)]
mod running;
