use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::macros::{answer, words};
use super::{AccountInfo, WebLinkInfo};
use crate::time::Timestamp;

/// Which patch set it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PatchSet {
    /// An edit that is not published.
    Edit,
    /// Its number, from 1.
    Number(u32),
}

/// Zero, which no patch set has.
impl Default for PatchSet {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl Serialize for PatchSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Edit => serializer.serialize_str("edit"),
            Self::Number(number) => serializer.serialize_u32(*number),
        }
    }
}

impl<'de> Deserialize<'de> for PatchSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u32),
            Word(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(Self::Number(number)),
            Written::Word(word) if word == "edit" => Ok(Self::Edit),
            Written::Word(word) => {
                let number = word.parse().map(Self::Number);
                number.map_err(|_| de::Error::custom("neither a number nor `edit`"))
            }
        }
    }
}

answer! {
    /// A revision (patch set) of a change.
    RevisionInfo {
        kind: String,
        #[serde(rename = "_number")]
        number: PatchSet,
        draft: bool,
        created: Option<Timestamp>,
        uploader: Option<AccountInfo>,
        real_uploader: Option<AccountInfo>,
        /// `refs/changes/NN/NUMBER/PATCH_SET`.
        #[serde(rename = "ref")]
        git_ref: String,
        branch: String,
        /// By protocol.
        fetch: BTreeMap<String, FetchInfo>,
        commit: Option<CommitInfo>,
        parents_data: Vec<serde_json::Value>,
        /// By path.
        files: BTreeMap<String, FileInfo>,
        actions: BTreeMap<String, ActionInfo>,
        commit_with_footers: String,
        description: String,
        conflicts: Option<serde_json::Value>,
    }
}

answer! {
    /// How a revision is fetched.
    FetchInfo {
        url: String,
        #[serde(rename = "ref")]
        git_ref: String,
        commands: BTreeMap<String, String>,
    }
}

answer! {
    /// A commit. Of its parents only the hash and the subject are known.
    CommitInfo {
        commit: String,
        parents: Vec<CommitInfo>,
        author: Option<GitPersonInfo>,
        committer: Option<GitPersonInfo>,
        subject: String,
        message: String,
        web_links: Vec<WebLinkInfo>,
    }
}

answer! {
    /// Somebody in a commit.
    GitPersonInfo {
        name: String,
        #[serde(alias = "Email")]
        email: String,
        /// UTC, whatever `tz` says.
        date: Option<Timestamp>,
        /// Minutes east of UTC.
        tz: i32,
    }
}

words! {
    /// What happened to a file.
    FileStatus {
        Added = "A",
        Deleted = "D",
        Renamed = "R",
        Copied = "C",
        Rewritten = "W",
        Modified = "M",
    }
}

answer! {
    /// What a revision does to a file.
    FileInfo {
        /// None if the file was modified.
        status: Option<FileStatus>,
        binary: bool,
        old_path: String,
        lines_inserted: u64,
        lines_deleted: u64,
        size_delta: i64,
        size: u64,
        old_mode: u32,
        new_mode: u32,
        old_sha: String,
        new_sha: String,
    }
}

answer! {
    /// Something that can be done.
    ActionInfo {
        method: String,
        label: String,
        title: String,
        /// Whether it can be done now, by this account.
        enabled: bool,
        enabled_options: Vec<String>,
    }
}

answer! {
    /// A file's differences.
    DiffInfo {
        meta_a: Option<DiffFileMetaInfo>,
        meta_b: Option<DiffFileMetaInfo>,
        change_type: String,
        intraline_status: String,
        diff_header: Vec<String>,
        content: Vec<DiffContent>,
        web_links: Vec<serde_json::Value>,
        binary: bool,
    }
}

answer! {
    /// One side of a [`DiffInfo`].
    DiffFileMetaInfo {
        name: String,
        content_type: String,
        lines: u64,
        web_links: Vec<WebLinkInfo>,
    }
}

answer! {
    /// A piece of a [`DiffInfo`]: lines of both sides, or of one.
    DiffContent {
        a: Vec<String>,
        b: Vec<String>,
        ab: Vec<String>,
        edit_a: Vec<Vec<u64>>,
        edit_b: Vec<Vec<u64>>,
        due_to_rebase: bool,
        skip: u64,
        common: bool,
    }
}

answer! {
    /// Who wrote lines.
    BlameInfo {
        author: String,
        id: String,
        /// Unix seconds.
        time: i64,
        commit_msg: String,
        ranges: Vec<RangeInfo>,
    }
}

answer! {
    /// Lines from `start` to `end`, both counted from 1 and part of it.
    RangeInfo {
        start: u64,
        end: u64,
    }
}

answer! {
    /// An edit that is not published yet.
    EditInfo {
        commit: Option<CommitInfo>,
        base_patch_set_number: u32,
        base_revision: String,
        #[serde(rename = "ref")]
        git_ref: String,
        fetch: BTreeMap<String, FetchInfo>,
        files: BTreeMap<String, FileInfo>,
        contains_git_conflicts: bool,
    }
}
