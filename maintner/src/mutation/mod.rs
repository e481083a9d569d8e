mod decode;
mod messages;
// Generated, and compared with what generates it.
#[rustfmt::skip]
#[expect(missing_docs, clippy::doc_markdown, reason = "the comments are those of the .proto file")]
pub mod pb;
mod wire;

pub use crate::mutation::messages::{
    BoolChange, GerritMutationRef, GitCommitRef, GitDiffTreeFileRef, GitDiffTreeRef,
    GitMutationRef, GitRefRef, GitRepoRef, GithubCommitRef, GithubDismissedReviewEventRef,
    GithubIssueCommentMutationRef, GithubIssueEventRef, GithubIssueMutationRef,
    GithubIssueSyncStatus, GithubLabelRef, GithubMilestoneRef, GithubMutationRef, GithubReviewRef,
    GithubTeamRef, GithubUserRef, MutationRef, StringChangeRef, Timestamp, Unknown,
};
pub use crate::mutation::wire::DecodeError;
