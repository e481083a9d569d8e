//! A whole configuration: reading, checking, asking.

#[expect(
    clippy::module_inception,
    reason = "the module is named after its type"
)]
mod config;
mod decide;
mod file;
mod tries;
mod validate;
mod validate_builder;

pub use self::config::Config;
pub use self::decide::{Change, Decision, Reason};
pub(crate) use self::file::File;
pub use self::tries::Term;
