use crate::mutation::decode::{Element, Field, Message, Own, merge_nested, messages};
use crate::mutation::pb;
use crate::mutation::wire::{DecodeError, Wire, WireType};

/// One observed change, borrowed from a record's payload.
///
/// Any of the parts may be set; they are applied in the order `github_issue`, `github`, `git`, `gerrit`. All may be
/// absent, which changes nothing.
///
/// ```
/// use maintner::{MutationRef, pb};
/// use prost::Message as _;
///
/// let mutation = pb::Mutation {
///     github: Some(pb::GithubMutation { owner: "golang".into(), repo: "go".into(), ..Default::default() }),
///     ..Default::default()
/// };
/// let payload = mutation.encode_to_vec();
/// let decoded = MutationRef::decode(&payload)?;
/// assert_eq!(decoded.github.as_ref().unwrap().owner, "golang");
/// assert_eq!(decoded.to_owned(), mutation);
/// # Ok::<(), maintner::DecodeError>(())
/// ```
///
/// # What is accepted
///
/// What Go's decoder accepts: any order of fields, packed and unpacked numbers, messages in several pieces, overlong
/// numbers. Fields that nobody here knows, and known ones with another wire type, are skipped and [counted](Unknown); they
/// stay in the record that this borrows from. A string that is not UTF-8 is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MutationRef<'a> {
    /// A change of one issue or pull request.
    pub github_issue: Option<GithubIssueMutationRef<'a>>,
    /// A commit outside of Gerrit.
    pub git: Option<GitMutationRef<'a>>,
    /// Labels and milestones of a repository.
    pub github: Option<GithubMutationRef<'a>>,
    /// Commits and refs of one Gerrit project.
    pub gerrit: Option<GerritMutationRef<'a>>,
    /// What was skipped.
    pub unknown: Unknown,
}

impl<'a> MutationRef<'a> {
    /// Decodes the payload of a record.
    ///
    /// # Errors
    ///
    /// When `payload` is not protobuf's wire format, or a string in it is not UTF-8.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut mutation = Self::default();
        let mut wire = Wire::new(payload);
        while let Some((number, wire_type)) = wire.tag()? {
            let taken = match number {
                1 => mutation.github_issue.accept(wire_type, &mut wire)?,
                2 => mutation.git.accept(wire_type, &mut wire)?,
                3 => mutation.github.accept(wire_type, &mut wire)?,
                4 => mutation.gerrit.accept(wire_type, &mut wire)?,
                _ => false,
            };
            if !taken {
                wire.skip(number, wire_type)?;
                mutation.unknown.kinds = mutation.unknown.kinds.saturating_add(1);
            }
        }
        mutation.unknown.fields = wire.unknown.saturating_sub(mutation.unknown.kinds);
        Ok(mutation)
    }

    /// The same with its own memory, and without what is unknown.
    #[must_use]
    pub fn to_owned(&self) -> pb::Mutation {
        pb::Mutation {
            github_issue: self.github_issue.own(),
            git: self.git.own(),
            github: self.github.own(),
            gerrit: self.gerrit.own(),
        }
    }
}

/// How much of a mutation nobody here knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unknown {
    /// Parts of the mutation itself, such as a kind of change that a later version records.
    pub kinds: u32,
    /// Fields within the known parts.
    pub fields: u32,
}

messages! {
    /// An instant. Nanoseconds outside of a second are carried over.
    Timestamp => Timestamp {
        /// Since 1970.
        1 seconds: i64,
        /// Nanoseconds.
        2 nanos: i32,
    }

    /// Labels and milestones of a repository.
    GithubMutationRef<'a> => GithubMutation {
        /// The owner, case-sensitive.
        1 owner: &'a str,
        /// The repository.
        2 repo: &'a str,
        /// By their ids.
        3 labels: Vec<GithubLabelRef<'a>>,
        /// By their ids.
        4 milestones: Vec<GithubMilestoneRef<'a>>,
    }

    /// A change of one issue or pull request.
    GithubIssueMutationRef<'a> => GithubIssueMutation {
        /// The owner, case-sensitive.
        1 owner: &'a str,
        /// The repository.
        2 repo: &'a str,
        /// The number.
        3 number: i32,
        /// The author.
        4 user: Option<GithubUserRef<'a>>,
        /// Counts in the first mutation of an issue only.
        5 created: Option<Timestamp>,
        /// When it was last updated.
        6 updated: Option<Timestamp>,
        /// The old form of `body_change`, which cannot say that the body became empty.
        7 body: &'a str,
        /// New or edited comments.
        8 comment: Vec<GithubIssueCommentMutationRef<'a>>,
        /// The title; empty says nothing.
        9 title: &'a str,
        /// Added or renamed.
        10 assignees: Vec<GithubUserRef<'a>>,
        /// The ids of users.
        11 deleted_assignees: Vec<i64>,
        /// The id over all of GitHub; only in very old records.
        12 id: i64,
        /// It does not exist, or not any more.
        13 not_exist: bool,
        /// Comments are complete as of then.
        14 comment_status: Option<GithubIssueSyncStatus>,
        /// It has no milestone.
        15 no_milestone: bool,
        /// 0 says nothing.
        16 milestone_id: i64,
        /// The number of the milestone; 0 says nothing.
        17 milestone_num: i64,
        /// The title of the milestone; empty says nothing.
        18 milestone_title: &'a str,
        /// Whether it is closed.
        19 closed: Option<BoolChange>,
        /// When it was closed.
        21 closed_at: Option<Timestamp>,
        /// Who closed it.
        22 closed_by: Option<GithubUserRef<'a>>,
        /// The ids of labels.
        23 remove_label: Vec<i64>,
        /// Labels to add or rename.
        24 add_label: Vec<GithubLabelRef<'a>>,
        /// Whether it is locked.
        25 locked: Option<BoolChange>,
        /// New entries of the timeline.
        26 event: Vec<GithubIssueEventRef<'a>>,
        /// Events are complete as of then.
        27 event_status: Option<GithubIssueSyncStatus>,
        /// It is a pull request.
        28 pull_request: bool,
        /// New reviews.
        29 review: Vec<GithubReviewRef<'a>>,
        /// Reviews are complete as of then.
        30 review_status: Option<GithubIssueSyncStatus>,
        /// Wins over `body`.
        31 body_change: Option<StringChangeRef<'a>>,
    }

    /// A flag that changed. Its absence says that it did not.
    BoolChange => BoolChange {
        /// What it is now.
        1 val: bool,
    }

    /// A text that changed. Its absence says that it did not.
    StringChangeRef<'a> => StringChange {
        /// What it is now.
        1 val: &'a str,
    }

    /// A label; without a name, one that is named elsewhere.
    GithubLabelRef<'a> => GithubLabel {
        /// The id.
        1 id: i64,
        /// The name.
        2 name: &'a str,
    }

    /// A milestone, or what changed of it.
    GithubMilestoneRef<'a> => GithubMilestone {
        /// The id.
        1 id: i64,
        /// The title; empty says nothing.
        2 title: &'a str,
        /// Whether it is closed.
        3 closed: Option<BoolChange>,
        /// The number.
        4 number: i64,
    }

    /// An entry of an issue's timeline.
    GithubIssueEventRef<'a> => GithubIssueEvent {
        /// The id.
        1 id: i64,
        /// GitHub's word.
        2 event_type: &'a str,
        /// The id of the user who did it.
        3 actor_id: i64,
        /// When it was made.
        4 created: Option<Timestamp>,
        /// Of the events `labeled` and `unlabeled`; a name without an id.
        5 label: Option<GithubLabelRef<'a>>,
        /// Of the events `milestoned` and `demilestoned`; a title without an id.
        6 milestone: Option<GithubMilestoneRef<'a>>,
        /// The id of a user.
        7 assignee_id: i64,
        /// The id of a user.
        8 assigner_id: i64,
        /// The commit.
        9 commit: Option<GithubCommitRef<'a>>,
        /// A JSON object with the fields that the writer did not know.
        10 other_json: &'a [u8],
        /// The title before.
        11 rename_from: &'a str,
        /// The title after.
        12 rename_to: &'a str,
        /// The id of a user.
        13 reviewer_id: i64,
        /// The id of a user.
        14 review_requester_id: i64,
        /// Of the event `review_dismissed`.
        15 dismissed_review: Option<GithubDismissedReviewEventRef<'a>>,
        /// The team that was asked.
        16 team_reviewer: Option<GithubTeamRef<'a>>,
    }

    /// The review that an event dismissed.
    GithubDismissedReviewEventRef<'a> => GithubDismissedReviewEvent {
        /// The id of the review.
        1 review_id: i64,
        /// Why it was dismissed.
        3 dismissal_message: &'a str,
        /// `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`, `DISMISSED`, or what GitHub says.
        4 state: &'a str,
    }

    /// A commit as GitHub names it.
    GithubCommitRef<'a> => GithubCommit {
        /// The owner of the repository.
        1 owner: &'a str,
        /// The repository.
        2 repo: &'a str,
        /// 40 hexadecimal digits.
        3 commit_id: &'a str,
    }

    /// A review of a pull request.
    GithubReviewRef<'a> => GithubReview {
        /// The id.
        1 id: i64,
        /// The id of the user who did it.
        2 actor_id: i64,
        /// When it was made.
        3 created: Option<Timestamp>,
        /// The text.
        4 body: &'a str,
        /// `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`, `DISMISSED`, or what GitHub says.
        5 state: &'a str,
        /// 40 hexadecimal digits.
        6 commit_id: &'a str,
        /// What the actor is to the repository, in GitHub's word.
        7 actor_association: &'a str,
        /// A JSON object with the fields that the writer did not know.
        8 other_json: &'a [u8],
    }

    /// Until when comments, events or reviews are complete.
    GithubIssueSyncStatus => GithubIssueSyncStatus {
        /// The date of GitHub's last reply.
        1 server_date: Option<Timestamp>,
    }

    /// A new comment, or what changed of one.
    GithubIssueCommentMutationRef<'a> => GithubIssueCommentMutation {
        /// The id.
        1 id: i64,
        /// The author.
        2 user: Option<GithubUserRef<'a>>,
        /// The text; empty says nothing.
        3 body: &'a str,
        /// When it was made.
        4 created: Option<Timestamp>,
        /// When it was last updated.
        5 updated: Option<Timestamp>,
    }

    /// A user; without a login, one that is named elsewhere.
    GithubUserRef<'a> => GithubUser {
        /// The id.
        1 id: i64,
        /// The name to log in with.
        2 login: &'a str,
    }

    /// A team; without a slug, one that is named elsewhere.
    GithubTeamRef<'a> => GithubTeam {
        /// The id.
        1 id: i64,
        /// The name in URLs.
        2 slug: &'a str,
    }

    /// A commit outside of Gerrit.
    GitMutationRef<'a> => GitMutation {
        /// The repository.
        1 repo: Option<GitRepoRef<'a>>,
        /// The commit.
        2 commit: Option<GitCommitRef<'a>>,
    }

    /// A repository outside of Gerrit.
    GitRepoRef<'a> => GitRepo {
        /// A project of go.googlesource.com.
        1 go_repo: &'a str,
    }

    /// A commit, with what it changed.
    GitCommitRef<'a> => GitCommit {
        /// 40 hexadecimal digits, lower case.
        1 sha1: &'a str,
        /// The commit object, as `git cat-file commit` prints it.
        2 raw: &'a [u8],
        /// What it changed.
        3 diff_tree: Option<GitDiffTreeRef<'a>>,
    }

    /// What a commit changed.
    GitDiffTreeRef<'a> => GitDiffTree {
        /// One for each file.
        1 file: Vec<GitDiffTreeFileRef<'a>>,
    }

    /// A line of `git diff-tree --numstat`.
    GitDiffTreeFileRef<'a> => GitDiffTreeFile {
        /// As git prints it: quoted if it has special bytes.
        1 file: &'a str,
        /// Lines added.
        2 added: i64,
        /// Lines deleted.
        3 deleted: i64,
        /// Not text, so that no lines are counted.
        4 binary: bool,
    }

    /// Commits and refs of one Gerrit project.
    GerritMutationRef<'a> => GerritMutation {
        /// `host/name`.
        1 project: &'a str,
        /// New commits.
        2 commits: Vec<GitCommitRef<'a>>,
        /// What refs point at now.
        3 refs: Vec<GitRefRef<'a>>,
        /// Refs that are no more.
        4 deleted_refs: Vec<&'a str>,
    }

    /// A ref and what it points at.
    GitRefRef<'a> => GitRef {
        /// The full name.
        1 r#ref: &'a str,
        /// 40 hexadecimal digits, lower case.
        2 sha1: &'a str,
    }
}
