//! The tables of a configuration.

mod builder;
mod environment;
mod go;
mod host;
mod notify;
mod policy;
mod repository;
mod retention;
mod step;

pub use self::builder::{Builder, Helpers, Retry, Supersede, TryRule};
pub use self::environment::{Buckets, Cloud, Environment};
pub use self::go::{CrossCompile, GoBuild};
pub use self::host::{Host, Pool, Provider};
pub use self::notify::{Notify, NotifyOn};
pub use self::policy::{Mode, Otherwise, Policy, Rule, TestPolicy, TestRule, TestWhen};
pub use self::repository::Repository;
pub use self::retention::Retention;
pub use self::step::{Artifact, Command, DEFAULT_SHELL, Isolation, Step, When};
