//! A Gerrit for tests of bots: no Java, no git, no network, and the answers of the real one.
//!
//! ```
//! use gerrit::test_support::{FakeGerrit, Push};
//! use gerrit::types::ReviewInput;
//! use gerrit::RevisionId;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let fake = FakeGerrit::new();
//! fake.add_project("tools")?;
//! fake.add_account("bot")?;
//! let number = fake.push(&Push::new("tools", "all: a better way").file("way.txt", "better\n"))?;
//!
//! let bot = fake.client("bot");
//! let change = bot.change(number);
//! let review = ReviewInput::default().message("Looks well.").vote("Code-Review", 1);
//! change.revision(RevisionId::current()).review(&review).await?;
//! let change = change.detail([]).await?;
//! assert_eq!(change.messages[1].message, "Patch Set 1: Code-Review+1\n\nLooks well.");
//! # Ok(())
//! # }
//! ```
//!
//! # What it does
//!
//! - accounts with passwords, of which `admin` may do everything; registered ones may vote from -1 to +1, on their own changes do what owners
//!   may, and nobody without an account writes;
//! - projects, branches, changes made by [`FakeGerrit::push`] or by the call, patch sets, labels with ranges and a rule for submitting
//!   (every label that is not optional needs its highest value and none of the lowest), merges, conflicts;
//! - reviews, comments, drafts, reviewers, hashtags, topics, the attention set, private changes and work in progress, abandoning and restoring;
//! - searches by `status`, `is`, `project`, `branch`, `owner`, `reviewer`, `cc`, `attention`, `label`, `hashtag`, `topic`, `change`, `message`
//!   and words, with `AND`, `OR`, `NOT` and parentheses, in pages;
//! - refusals with the statuses and texts of the real one; failures on demand ([`FakeGerrit::fail_next`]);
//! - with [`FakeGerrit::in_folder`], bare repositories with patch sets and `NoteDb`'s commits (`refs/changes/NN/NUMBER/meta`), which git
//!   fetches from the folder or, with [`FakeGerrit::serve`], over HTTP.
//!
//! # What it does not do
//!
//! Edits, groups, tags, rights of projects, rebasing, picking and moving are not there: 404, as for any address that Gerrit does not know.
//! Votes do not stay with a new patch set. Lines that were inserted and deleted are counted from the first that differs to the last.
//! Comments are not in `NoteDb`'s trees. Nothing but what a test makes is ever deleted or forgotten, so it grows with it.

mod act;
mod fake;
mod git;
mod note;
mod render;
mod review;
mod route_changes;
mod route_projects;
mod route_revisions;
mod routes;
mod search;
mod serve;
mod state;
mod upload;

pub use self::fake::{FakeError, FakeGerrit, Label, Push};
pub use self::serve::FakeServer;
