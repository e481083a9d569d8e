//! The corpus as it is stored, and the rules by which mutations change it.

mod core;
mod gerrit;
mod git;
mod github;
mod stored;
mod writer;

pub(crate) use crate::state::core::Core;
pub use crate::state::core::Stats;
pub use crate::state::gerrit::ClStatus;
pub(crate) use crate::state::gerrit::{Cl, Project};
pub(crate) use crate::state::git::{CommitId, CommitRow, DiffFiles};
pub(crate) use crate::state::github::{Comment, Event, EventExtra, Issue, Milestone, Repo, Review};
pub(crate) use crate::state::stored::{Part, SegmentRead};
pub(crate) use crate::state::writer::Writer;
