use async_trait::async_trait;

use crate::leader::{Leader, SourceError};

/// Something elsewhere that is followed into the log.
#[async_trait]
pub trait Source: Send + 'static {
    /// Names it among others, in logs and for [hints](crate::leader::Hints): `gerrit:go.googlesource.com/go`, `github:golang/go`.
    fn name(&self) -> &str;

    /// Looks once at what there is, and appends what the log lacks.
    ///
    /// # Cancel safety
    ///
    /// It is dropped when the program ends. What was appended stays, and a later round finds the rest, so it must keep nothing that the
    /// corpus does not have but what it could do without.
    ///
    /// # Errors
    ///
    /// [`SourceError`], after which the [supervisor](crate::leader::Supervisor) waits, and calls again.
    async fn round(&mut self, leader: &Leader, wake: Wake) -> Result<Round, SourceError>;
}

/// Why a round begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wake {
    /// It is the first, or one after a failure.
    Start,
    /// It is time.
    Interval,
    /// Somebody said that something happened: caches are not to be believed.
    Hint,
}

/// What a round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Round {
    /// Mutations that were appended.
    pub mutations: u64,
    /// Requests that were sent, or commands that asked somebody elsewhere.
    pub requests: u64,
    /// What could not be used, and was left out.
    pub skipped: u64,
    /// Whether there is more to be had at once: the next round begins soon.
    pub has_more: bool,
}
