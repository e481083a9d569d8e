//! Years of a project's git, Gerrit and GitHub history in memory: the corpus of `golang.org/x/build/maintner`, and the
//! mutation logs that it is made from.
//!
//! ```
//! # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/disk/14-gerrit-state");
//! let corpus = maintner::Corpus::open(dir)?;
//! let view = corpus.view();
//! for cl in view.gerrit().projects().flat_map(|project| project.open_cls()) {
//!     println!("{}: {}", cl.number(), cl.subject());
//! }
//! # assert_eq!(view.gerrit().project("go.googlesource.com", "go").unwrap().open_cls().count(), 11);
//! # Ok::<(), maintner::LoadError>(())
//! ```
//!
//! A [`Corpus`] reads a log and is brought up to date by [`update`](Corpus::update), or is fed mutations one by one. Others
//! look at it through [`View`]s, on any thread, which never change, cost a pointer and hold nobody up; and a [`Subscription`]
//! tells what changed.
//!
//! # Memory
//!
//! Texts are kept, those that repeat once: persons, paths, titles and whole commit messages. A commit takes about 100 bytes and its message. While
//! a log is read some megabytes of it are in memory.
//!
//! With a [snapshot](Config::snapshot) all that it has is in a mapped file, of which the system keeps in memory what is looked at, as
//! long as there is room; changes and issues that were looked at, and what came since, take memory as above.
//!
//! A corpus holds at least 4 GiB of text, and up to 16, then [`LoadError::Full`]; a change has at most 65,536 meta commits and 1,000 mentions of
//! issues, beyond which they are not looked at.
//!
//! # When memory is short
//!
//! There is no other limit: a corpus takes what its log has. When the system has no more memory, the process ends, as Rust's programs do, or
//! the system ends it; it is no error that could be handled. Reading changes nothing, so that log and cache are as they were, and a process
//! with more memory reads them. Who must go on keeps the corpus in a process of its own, with a limit.
//!
//! # For users of the Go package
//!
//! | Go | here |
//! |---|---|
//! | `NewDiskMutationLogger`, `Corpus.Initialize` | [`Corpus::open`] |
//! | `DiskMutationLogger.Log` | [`reclog::Writer::append`] |
//! | `Corpus.Update`, `UpdateWithLocker` | [`Corpus::update`]; no lock, see [`View`] |
//! | `NewNetworkMutationSource` | `net::Follower`, `Corpus::follow` |
//! | `godata.Get`, `godata.Dir` | `godata::corpus`, `godata::cache_dir` |
//! | `ErrSplit` | [`LoadError::is_split`] |
//! | `gcslog.GCSLog.RegisterHandlers` | `serve::LogServer`, `LogServer::open_blobs` |
//! | `Corpus.TrackGerrit` | `sync::GerritSource`; [`sync::GitSync`] for a repository on this machine |
//! | `Corpus.TrackGitHub` | `sync::github::GithubSource` |
//! | `Corpus.StartLeader`, `Sync`, `SyncLoop` | `leader::Leader`, `leader::Supervisor` |
//! | `Corpus.RLock` | [`Corpus::view`], [`Reader::view`] |
//! | `Corpus.GitCommit` | [`View::git_commit`], [`View::commit`] |
//! | `Corpus.Check` | [`View::check`] |
//! | `GitCommit` | [`Commit`]; `Msg` is [`message`](Commit::message), `HasAncestor` [`has_ancestor`](Commit::has_ancestor) |
//! | `GitPerson.Str`, `Name`, `Email` | [`Person::as_str`], [`name`](Person::name), [`email`](Person::email) |
//! | `Corpus.GitHub`, `ForeachRepo`, `Repo` | [`View::github`], [`GitHub::repos`], [`GitHub::repo`] |
//! | `GitHubRepo.ForeachIssue`, `Issue` | [`Repo::issues`], [`Repo::issue`] |
//! | `GitHubRepo.ForeachLabel`, `ForeachMilestone` | [`Repo::labels`], [`Repo::milestones`] |
//! | `GitHubIssue.ForeachComment`, `ForeachEvent`, `ForeachReview` | [`Issue::comments`], [`Issue::events`], [`Issue::reviews`] |
//! | `GitHubMilestone.IsNone`, `IsUnknown` | [`MilestoneRef`] |
//! | `Corpus.Gerrit`, `ForeachProjectUnsorted`, `Project` | [`View::gerrit`], [`Gerrit::projects`], [`Gerrit::project`] |
//! | `GerritProject.Ref`, `ForeachNonChangeRef` | [`Project::reference`], [`Project::references`] |
//! | `GerritProject.CL`, `ForeachCLUnsorted`, `ForeachOpenCL` | [`Project::cl`], [`Project::cls`], [`Project::open_cls`] |
//! | `GerritProject.GitCommit`, `NumLabelChanges` | [`Project::commit`], [`Project::label_changes`] |
//! | `GerritCL` | [`Cl`]; `Meta` is the newest of [`Cl::metas`], `GitHubIssueRefs` [`Cl::issue_refs`] |
//! | `GerritMeta.LabelVotes`, `Hashtags`, `HashtagEdits` | [`Meta::label_votes`], [`Meta::hashtags`], [`Meta::hashtag_edits`] |
//!
//! # Differences from the Go package
//!
//! What it derives from a log is what Go's derives, but for these, where that one is mistaken:
//!
//! - A log can make it fail with an error, but not panic: commits, refs, labels and times that make no sense are left out and
//!   [counted](Stats::ignored).
//! - The highest patch set of a change is its current one, not the one whose ref came last; and only exact names, `refs/changes/21/4321/2`,
//!   are refs of changes.
//! - Status and branch of a change are read from the footers of its meta commits alone, so that a comment cannot change them.
//! - Votes with an approval id (`Label: X=+2, 577f...`) count; a patch set that is not there does not make votes fail; `Hashtags:` without a
//!   blank behind it removes all.
//! - A change whose older meta commits have not come yet is completed when they come.
//! - User 0 and milestones with negative ids are none.
//!
//! # Not yet
//!
//! Reviewers, assignees, topics and attention sets of Gerrit's changes are in the messages of [`Cl::metas`], unparsed.
#![deny(missing_docs)]

mod change;
mod commit_object;
mod corpus;
mod digest;
mod feed;
#[cfg(feature = "net")]
pub mod godata;
mod hash;
#[cfg(any(feature = "leader", feature = "serve"))]
mod in_full;
mod issue_refs;
#[cfg(feature = "leader")]
pub mod leader;
mod line;
mod load;
mod load_error;
mod mutation;
#[cfg(feature = "net")]
pub mod net;
mod notedb;
pub mod reclog;
#[cfg(any(feature = "net", feature = "serve"))]
mod segment_name;
#[cfg(feature = "serve")]
pub mod serve;
pub mod snapshot;
mod state;
mod store;
#[cfg(any(feature = "net", feature = "serve"))]
mod sum;
pub mod sync;
mod time;
mod view;

pub use crate::change::Change;
pub use crate::corpus::{ApplyError, Config, Corpus, Progress};
pub use crate::feed::{FeedError, Reader, Subscription};
pub use crate::hash::{GitHash, ParseHashError};
pub use crate::load_error::LoadError;
pub use crate::mutation::pb;
pub use crate::mutation::{
    BoolChange, DecodeError, GerritMutationRef, GitCommitRef, GitDiffTreeFileRef, GitDiffTreeRef,
    GitMutationRef, GitRefRef, GitRepoRef, GithubCommitRef, GithubDismissedReviewEventRef,
    GithubIssueCommentMutationRef, GithubIssueEventRef, GithubIssueMutationRef,
    GithubIssueSyncStatus, GithubLabelRef, GithubMilestoneRef, GithubMutationRef, GithubReviewRef,
    GithubTeamRef, GithubUserRef, MutationRef, StringChangeRef, Timestamp, Unknown,
};
pub use crate::snapshot::SnapshotError;
pub use crate::state::{ClStatus, Stats};
pub use crate::time::{GitTime, Time};
pub use crate::view::{
    CheckError, Cl, ClMessage, Comment, Commit, DismissedReview, Event, File, Gerrit, GitHub,
    GithubIssueRef, HashtagEdits, Hashtags, Issue, Label, LabelVotes, Meta, Milestone,
    MilestoneRef, Person, Project, Repo, Review, Team, User, View,
};

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
