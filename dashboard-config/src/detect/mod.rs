//! What a repository is built with, and a first configuration for it.

#[expect(
    clippy::module_inception,
    reason = "the module is named after its function"
)]
mod detect;
mod starter;

pub use self::detect::{Detected, DetectedStep, LOCK_FILES, LOOKED_FOR, detect};
pub use self::starter::{Starter, repository_name};
