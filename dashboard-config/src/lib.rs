//! What a CI builds, where and when: hosts, builders, repositories and policies, read from TOML with every problem named.
//!
//! A team writes a `builders.toml`:
//!
//! ```
//! let config = dashboard_config::Config::parse("builders.toml", r#"
//!     [repo.site]
//!     clone_url = "https://git.example.org/site"
//!
//!     [host.linux]
//!     pool = "process"
//!
//!     [builder.test]
//!     host_type = "linux"
//!     branches = ["main", "release-*"]
//!     timeout = "20m"
//!
//!     [[builder.test.step]]
//!     run = ["cargo", "test", "--target-dir", "{workdir}/target"]
//! "#)?;
//!
//! let [builder] = config.builds("site", "release-2")[..] else { panic!("one builder") };
//! assert_eq!(builder.name, "test");
//! assert_eq!(builder.steps[0].title(), "cargo test --target-dir {workdir}/target");
//! # Ok::<(), dashboard_config::Diagnostics>(())
//! ```
//!
//! and learns of everything that is wrong with it at once, with its place and a hint:
//!
//! ```
//! let error = dashboard_config::Config::parse("builders.toml", "[builder.test]\nhost_tpye = 'linux'\n").unwrap_err();
//! assert!(error.to_string().starts_with(
//! "builders.toml:1:1: error: `host_type` is missing in `test`
//!   1 | [builder.test]
//!     | ^^^^^^^^^^^^^^
//!   hint: add: host_type = …
//!
//! builders.toml:2:1: error: unknown key `host_tpye`
//!   2 | host_tpye = 'linux'
//!     | ^^^^^^^^^
//!   hint: did you mean `host_type`?"), "{error}");
//! ```
//!
//! # The model
//!
//! A [`Host`] is a kind of machine, a [`Builder`] says what runs on one for which [`Repository`] and branch, and an [`Environment`] is what there is once.
//! [`Config::decide`] answers whether a builder builds something and what decided it; a [`Policy`] is rules, not code, so that it can be shown and compared.
//!
//! # Differences from the Go package
//!
//! The names are those of Go's `dashboard` and `buildenv`, whose configuration is compiled in. Here it is data: a file, checked when it is read.
//! A builder has steps that are any commands; the table `go` in their place stands for what upstream's coordinator does.
//! What a script contains is no template: a branch can be named `; rm -rf`, and would be run.

#![forbid(unsafe_code)]

mod config;
mod detect;
mod diagnostic;
mod go;
mod model;
mod record;
mod schema;
#[cfg(test)]
mod test_support;
mod text;
#[cfg(feature = "upstream")]
mod upstream;
mod upstream_json;

pub use crate::config::{Change, Config, Decision, Reason, Term};
pub use crate::detect::{
    Detected, DetectedStep, LOCK_FILES, LOOKED_FOR, Starter, detect, repository_name,
};
pub use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
pub use crate::model::{
    Artifact, Buckets, Builder, Cloud, Command, CrossCompile, DEFAULT_SHELL, Environment, GoBuild,
    Helpers, Host, Isolation, Mode, Notify, NotifyOn, Otherwise, Policy, Pool, Provider,
    Repository, Retention, Retry, Rule, Step, Supersede, TestPolicy, TestRule, TestWhen, TryRule,
    When,
};
pub use crate::schema::json_schema;
pub use crate::text::{
    ByteSize, Env, EnvVar, Glob, ParseDurationError, ParseEnvError, ParseGlobError, ParseSizeError,
    ParseTemplateError, ParseVersionError, ReleaseBranch, Template, Values, Variable, Version,
    parse_duration,
};
#[cfg(feature = "upstream")]
pub use crate::upstream::{Deployment, upstream_2022};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
