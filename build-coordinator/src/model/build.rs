use serde::{Deserialize, Serialize};

use super::{AttemptId, BuildId, Cause, Revision, Timestamp};

/// One revision of one repository on one builder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Build {
    /// Its number.
    pub id: BuildId,
    /// What is built where. No two builds of a store have the same.
    #[serde(flatten)]
    pub key: BuildKey,
    /// Branch it was found on; builds that somebody asked for may have none.
    pub branch: Option<String>,
    /// Kind of machine it needs.
    pub host_type: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Why it exists, for people: `newest commit of main`, `asked for by alice`.
    pub reason: String,
    /// Where it stands.
    pub state: BuildState,
    /// How many attempts there are, the running one included.
    pub attempts: u32,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it last became ready to run: at first, after an attempt that is repeated, or by retrying. For its place in
    /// the queue.
    pub queued: Timestamp,
    /// When its first attempt began.
    pub started: Option<Timestamp>,
    /// When it was done.
    pub ended: Option<Timestamp>,
    /// That its end was asked for while it ran.
    pub cancel: Option<CancelRequest>,
    /// More about its end, for people.
    pub message: String,
}

/// What is built where: repository, revision, builder, and for repositories that are built against another one its
/// revision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BuildKey {
    /// Name of the repository in the configuration.
    pub repository: String,
    /// What of it.
    pub revision: Revision,
    /// Name of the builder.
    pub builder: String,
    /// Revision of the base repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Revision>,
}

/// A build that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBuild {
    /// What is built where.
    #[serde(flatten)]
    pub key: BuildKey,
    /// Branch it was found on.
    pub branch: Option<String>,
    /// Kind of machine it needs.
    pub host_type: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Why it exists, for people.
    pub reason: String,
}

/// What a build is for. The scheduler makes priorities of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Purpose {
    /// Somebody asked for it and waits.
    Request,
    /// A change that is not merged yet.
    Try,
    /// The newest commit of a branch.
    Head,
    /// An older commit of a branch.
    History,
}

/// Where a build stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum BuildState {
    /// It waits for a machine.
    Queued {
        /// Not to be started before; set between an attempt that failed for the infrastructure's sake and the next.
        not_before: Option<Timestamp>,
    },
    /// An attempt runs.
    Running {
        /// The attempt's number.
        attempt: u32,
    },
    /// It has its result.
    Done {
        /// The result: the last attempt's cause, or that of an end that was asked for.
        cause: Cause,
    },
}

/// That somebody asked for a build's end while it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CancelRequest {
    /// [`Cause::Cancelled`] or [`Cause::Superseded`].
    pub cause: Cause,
    /// Who, for people.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

impl Build {
    /// Its running attempt.
    #[must_use]
    pub fn running_attempt(&self) -> Option<AttemptId> {
        match self.state {
            BuildState::Running { attempt } => Some(self.id.attempt(attempt)),
            _ => None,
        }
    }

    /// Its result.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self.state {
            BuildState::Done { cause } => Some(cause),
            _ => None,
        }
    }
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 4] = [Self::Request, Self::Try, Self::Head, Self::History];

    /// Its name in the store and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Try => "try",
            Self::Head => "head",
            Self::History => "history",
        }
    }
}
