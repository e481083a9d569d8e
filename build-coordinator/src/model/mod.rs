//! What a coordinator knows about builds, and how that may change. No I/O, no clock.
//!
//! A [`Build`] is one revision of one repository on one builder. It is tried in [`Attempt`]s, each of which ends in
//! exactly one [`Cause`]. All that happens to it is a [`Change`]; stored with its time it is an [`Event`], and a build
//! is what its events make of it: [`BuildDetail::replay`].
//!
//! ```text
//!              Created
//!                 |                    AttemptEnded, to be tried again
//!                 v                  +-----------------------------------+
//!              Queued  <-------------+                                   |
//!               |  ^  \                                                  |
//!        Closed |  |   `---- AttemptStarted ----> Running (steps, log) --+
//!               v  | Retried                         |
//!              Done <------------ AttemptEnded ------+
//! ```

mod attempt;
mod build;
mod cause;
mod change;
mod commit;
mod delivery;
mod detail;
mod event;
mod id;
mod machine;
mod revision;
mod span;
mod step;
mod text;
mod time;
mod token;

pub use self::attempt::{Artifact, Attempt, AttemptEnd, StoredLog};
pub use self::build::{Build, BuildKey, BuildState, CancelRequest, NewBuild, Purpose};
pub use self::cause::{Cause, UnknownCause};
pub use self::change::{AfterAttempt, Change};
pub use self::commit::{Branch, BranchUpdate, Commit};
pub use self::delivery::{Delivery, DeliveryId, DeliveryOutcome, DeliveryState, NewDelivery};
pub use self::detail::{BuildDetail, TransitionError};
pub use self::event::Event;
pub use self::id::{AttemptId, BuildId, EventSeq, ParseIdError};
pub use self::machine::{Machine, MachineChange, MachineEvent};
pub use self::revision::{ParseRevisionError, Revision};
pub use self::span::Span;
pub use self::step::{Step, StepOutcome};
pub use self::text::{MAX_MESSAGE, MAX_NAME};
pub use self::time::{ParseTimestampError, Timestamp};
pub use self::token::{Scope, Token, TokenId};

pub(crate) use self::text::clean;
