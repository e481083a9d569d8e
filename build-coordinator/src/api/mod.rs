//! What `/api/v1` says and is told: plain serde types, for programs that talk to a coordinator and for the coordinator itself.
//!
//! The same, for programs in other languages, is [`OPENAPI`]; a test holds the two and the handlers together. Fields are only ever
//! added within `v1`; readers skip those that they do not know.
//!
//! ```
//! use build_coordinator::api::{Build, State};
//!
//! let json = r#"{"id":7,"repository":"demo","revision":"4b825dc642cb6eb9a060e54bf8d69288fbee4904","builder":"linux",
//!                "state":"succeeded","created":"2026-11-21T10:00:00Z"}"#;
//! let build: Build = serde_json::from_str(json)?;
//! assert_eq!(build.state, State::Succeeded);
//! # Ok::<(), serde_json::Error>(())
//! ```

mod types;

pub use self::types::{
    Accepted, Artifact, Attempt, Build, BuildFilter, Builds, CreatedToken, Drained, Enqueue,
    Enqueued, ErrorBody, Health, HealthCheck, HealthLine, Level, LogTime, LogTimes, Machine,
    MachineState, Machines, NewToken, Pool, Problem, Pruned, Queue, QueueItem, Reloaded, Revoked,
    Span, State, Step, Tokens,
};
pub use crate::model::{Scope, Timestamp, Token, TokenId};

/// The description of the API, in the form of `OpenAPI` 3.1, as `/api/v1/openapi.json` answers it.
pub const OPENAPI: &str = include_str!("openapi.json");

/// Most builds that one answer lists.
pub const MAX_LISTED: usize = 1000;
