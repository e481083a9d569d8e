//! The configuration of `golang.org/x/build`, as data.

use crate::config::Config;
use crate::diagnostic::Diagnostics;

/// One of upstream's deployments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deployment {
    /// What built Go.
    Production,
    /// What tried out changes of the build system.
    Staging,
    /// A coordinator on a developer's machine.
    Development,
}

/// Upstream's hosts, builders, policies, repositories and aliases of 2022-02-03, commit `ce4ab8ee` of `golang.org/x/build`: 74 host types and 114 builders.
///
/// Facts in this crate's form. Left out are people, and notes for people.
///
/// # Errors
///
/// None: that these files are good is tested. They are read as any others.
pub fn upstream_2022(deployment: Deployment) -> Result<Config, Diagnostics> {
    let environment = match deployment {
        Deployment::Production => (
            "production.toml",
            include_str!("../data/upstream-2022/production.toml"),
        ),
        Deployment::Staging => (
            "staging.toml",
            include_str!("../data/upstream-2022/staging.toml"),
        ),
        Deployment::Development => (
            "development.toml",
            include_str!("../data/upstream-2022/development.toml"),
        ),
    };
    Config::parse_all([
        environment,
        (
            "hosts.toml",
            include_str!("../data/upstream-2022/hosts.toml"),
        ),
        (
            "repositories.toml",
            include_str!("../data/upstream-2022/repositories.toml"),
        ),
        (
            "builders.toml",
            include_str!("../data/upstream-2022/builders.toml"),
        ),
        (
            "policies.toml",
            include_str!("../data/upstream-2022/policies.toml"),
        ),
        (
            "aliases.toml",
            include_str!("../data/upstream-2022/aliases.toml"),
        ),
    ])
}
