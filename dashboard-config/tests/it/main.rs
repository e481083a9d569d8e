//! What a user of the crate relies on.

mod general;
mod schema;
#[cfg(feature = "upstream")]
mod upstream;
mod validation;

use dashboard_config::{Config, Diagnostics};

/// A configuration that must be good.
fn good(text: &str) -> Config {
    Config::parse("builders.toml", text).unwrap_or_else(|error| panic!("{error}"))
}

/// What is wrong with one.
fn bad(text: &str) -> Diagnostics {
    Config::parse("builders.toml", text).unwrap_err()
}
