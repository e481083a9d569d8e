//! What records say, taken apart as far as it can be without the corpus: on all cores.

use std::ops::Range;

use memchr::{memchr, memchr_iter};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::commit_object::{CommitObject, Signature};
use crate::hash::GitHash;
use crate::mutation::{DecodeError, GerritMutationRef, GitCommitRef, MutationRef, Unknown};
use crate::notedb::NEW_PATCH_SET;
use crate::reclog::Block;
use crate::store::{HashOf, Hasher};

/// Records, ready to be applied.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// What the ranges below lie in.
    pub(crate) data: Vec<u8>,
    pub(crate) ops: Vec<Op>,
    pub(crate) commits: Vec<Commit>,
    pub(crate) parents: Vec<GitHash>,
    pub(crate) files: Vec<File>,
    pub(crate) counts: Counts,
    /// Where the last record that was taken ends in its file.
    pub(crate) end: u64,
    /// The first record that is no mutation, by its offset; what comes after it was not looked at.
    pub(crate) error: Option<(u64, DecodeError)>,
}

/// How much was read, and how much of it was no use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    pub(crate) unknown_kinds: u64,
    pub(crate) unknown_fields: u64,
    /// Commits that cannot be understood, refs and the like without a target.
    pub(crate) ignored: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.records += other.records;
        self.unknown_kinds += other.unknown_kinds;
        self.unknown_fields += other.unknown_fields;
        self.ignored += other.ignored;
    }

    fn add_unknown(&mut self, unknown: Unknown) {
        self.unknown_kinds += u64::from(unknown.kinds);
        self.unknown_fields += u64::from(unknown.fields);
    }
}

/// A part of a batch's data.
pub(crate) type Span = Range<u32>;

/// A text that will be interned.
#[derive(Debug, Clone, Default)]
pub(crate) struct Str {
    pub(crate) span: Span,
    pub(crate) hash: HashOf,
}

/// A step of applying.
#[derive(Debug)]
pub(crate) enum Op {
    /// The parts `github_issue` and `github` of the mutation in this payload.
    GitHub(Span),
    /// A commit outside of Gerrit.
    Commit(u32),
    /// What follows, up to the next one of these, is about this Gerrit project.
    Project(Span),
    ProjectCommit(u32),
    DeletedRef(Span),
    Ref {
        name: Span,
        hash: GitHash,
    },
    /// Version 0 is the meta ref.
    ChangeRef {
        number: i32,
        version: i32,
        hash: GitHash,
    },
}

/// A commit, taken apart.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) hash: GitHash,
    pub(crate) tree: GitHash,
    pub(crate) parents: Range<u32>,
    pub(crate) author: Who,
    pub(crate) committer: Who,
    pub(crate) message: Str,
    pub(crate) files: Range<u32>,
    pub(crate) hg: Option<Span>,
    pub(crate) traits: Traits,
}

#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) person: Str,
    pub(crate) seconds: i64,
    pub(crate) zone: Span,
}

/// A file that a commit changed.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: Str,
    pub(crate) added: i64,
    pub(crate) deleted: i64,
    pub(crate) binary: bool,
}

/// What lines a message has, so that most need not be searched again. They may promise too much, never too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub(crate) struct Traits(u8);

impl Traits {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const STATUS: u8 = 1;
    pub(crate) const BRANCH: u8 = 2;
    pub(crate) const LABEL: u8 = 4;
    pub(crate) const PRIVATE: u8 = 8;
    pub(crate) const WIP: u8 = 16;
    pub(crate) const MENTION: u8 = 32;
    pub(crate) const HASHTAGS: u8 = 64;
    pub(crate) const NEW_PATCH_SET: u8 = 128;

    pub(crate) fn has(self, line: u8) -> bool {
        self.0 & line != 0
    }

    fn of(message: &[u8]) -> Self {
        let mention = if memchr(b'#', message).is_some() {
            Self::MENTION
        } else {
            0
        };
        // Lines that begin in other ways than after a newline are too rare to tell apart.
        if memchr(b'\r', message).is_some() {
            return Self(!0);
        }
        let mut traits = mention | Self::of_line(message);
        for newline in memchr_iter(b'\n', message) {
            traits |= Self::of_line(&message[newline + 1..]);
        }
        Self(traits)
    }

    fn of_line(line: &[u8]) -> u8 {
        match line.first() {
            Some(b'T')
                if line
                    .strip_prefix(b"Tag:")
                    .is_some_and(|tag| tag.trim_ascii_start().starts_with(NEW_PATCH_SET)) =>
            {
                Self::NEW_PATCH_SET
            }
            Some(b'S') if line.starts_with(b"Status:") => Self::STATUS,
            Some(b'B') if line.starts_with(b"Branch:") => Self::BRANCH,
            Some(b'L') if line.starts_with(b"Label:") => Self::LABEL,
            Some(b'P') if line.starts_with(b"Private:") => Self::PRIVATE,
            Some(b'W') if line.starts_with(b"Work-in-progress:") => Self::WIP,
            Some(b'H') if line.starts_with(b"Hashtag") => Self::HASHTAGS,
            _ => 0,
        }
    }
}

/// Takes the records of a block apart.
pub(crate) fn digest(block: Block, hasher: &Hasher) -> Batch {
    let mut batch = Batch {
        end: block.offset,
        ..Batch::default()
    };
    let mut start = 0;
    for payload in &block.payloads {
        let bytes = &block.data[payload.start as usize..payload.end as usize];
        match MutationRef::decode(bytes) {
            Ok(mutation) => {
                let mut digester = Digester {
                    base: block.data.as_ptr().addr(),
                    hasher,
                    batch: &mut batch,
                };
                digester.mutation(&mutation, payload);
            }
            Err(error) => {
                batch.error = Some((block.offset + u64::from(start), error));
                break;
            }
        }
        start = payload.end;
        batch.end = block.offset + u64::from(start);
    }
    batch.data = block.data;
    batch
}

struct Digester<'a> {
    /// The address of the block's data, which all that is decoded lies in.
    base: usize,
    hasher: &'a Hasher,
    batch: &'a mut Batch,
}

impl Digester<'_> {
    fn mutation(&mut self, mutation: &MutationRef<'_>, payload: &Span) {
        self.batch.counts.records += 1;
        self.batch.counts.add_unknown(mutation.unknown);
        if mutation.github_issue.is_some() || mutation.github.is_some() {
            self.batch.ops.push(Op::GitHub(payload.clone()));
        }
        if let Some(commit) = mutation.git.as_ref().and_then(|git| git.commit.as_ref()) {
            match self.commit(commit) {
                Some(commit) => self.batch.ops.push(Op::Commit(commit)),
                None => self.batch.counts.ignored += 1,
            }
        }
        if let Some(gerrit) = &mutation.gerrit {
            self.gerrit(gerrit);
        }
    }

    fn gerrit(&mut self, gerrit: &GerritMutationRef<'_>) {
        let project = self.span(gerrit.project.as_bytes());
        self.batch.ops.push(Op::Project(project));
        for commit in &gerrit.commits {
            match self.commit(commit) {
                Some(commit) => self.batch.ops.push(Op::ProjectCommit(commit)),
                None => self.batch.counts.ignored += 1,
            }
        }
        for name in &gerrit.deleted_refs {
            let name = self.span(name.as_bytes());
            self.batch.ops.push(Op::DeletedRef(name));
        }
        for git_ref in &gerrit.refs {
            let name = git_ref.r#ref;
            let (Some(hash), false) = (
                GitHash::from_hex(git_ref.sha1.as_bytes()),
                name.starts_with("refs/meta/"),
            ) else {
                self.batch.counts.ignored += 1;
                continue;
            };
            let op = match change_ref(name) {
                RefName::Change { number, version } => Op::ChangeRef {
                    number,
                    version,
                    hash,
                },
                RefName::Other => {
                    let name = self.span(name.as_bytes());
                    Op::Ref { name, hash }
                }
                RefName::OutOfRange => {
                    self.batch.counts.ignored += 1;
                    continue;
                }
            };
            self.batch.ops.push(op);
        }
    }

    fn commit(&mut self, commit: &GitCommitRef<'_>) -> Option<u32> {
        let hash = GitHash::from_hex(commit.sha1.as_bytes())?;
        let object = CommitObject::parse(commit.raw)?;
        let first_parent = self.batch.parents.len() as u32;
        self.batch.parents.extend(&object.parents);
        let first_file = self.batch.files.len();
        if let Some(tree) = &commit.diff_tree {
            for file in &tree.file {
                let name = self.str(file.file.as_bytes());
                self.batch.files.push(File {
                    name,
                    added: file.added,
                    deleted: file.deleted,
                    binary: file.binary,
                });
            }
            // By name, which the ranges do not tell.
            let names = tree.file.iter().map(|file| file.file);
            if !names.is_sorted() {
                let mut order: Vec<_> = (0..tree.file.len()).collect();
                order.sort_by_key(|&i| tree.file[i].file);
                let mut unsorted: Vec<_> = self.batch.files.drain(first_file..).map(Some).collect();
                self.batch
                    .files
                    .extend(order.into_iter().filter_map(|i| unsorted[i].take()));
            }
        }
        let digested = Commit {
            hash,
            tree: object.tree,
            parents: first_parent..self.batch.parents.len() as u32,
            author: self.who(&object.author),
            committer: self.who(&object.committer),
            message: self.str(object.message),
            files: first_file as u32..self.batch.files.len() as u32,
            hg: object.hg.map(|hg| self.span(hg)),
            traits: Traits::of(object.message),
        };
        self.batch.commits.push(digested);
        Some(self.batch.commits.len() as u32 - 1)
    }

    fn who(&self, signature: &Signature<'_>) -> Who {
        Who {
            person: self.str(signature.person),
            seconds: signature.seconds,
            zone: self.span(signature.zone),
        }
    }

    fn str(&self, text: &[u8]) -> Str {
        Str {
            span: self.span(text),
            hash: self.hasher.hash(text),
        }
    }

    /// Where this part of the data lies in it.
    fn span(&self, part: &[u8]) -> Span {
        if part.is_empty() {
            // It may lie anywhere.
            return 0..0;
        }
        let start = part.as_ptr().addr() - self.base;
        start as u32..(start + part.len()) as u32
    }
}

#[derive(Debug, PartialEq, Eq)]
enum RefName {
    /// Version 0 is the meta ref.
    Change {
        number: i32,
        version: i32,
    },
    /// The ref of a change whose numbers nobody can have.
    OutOfRange,
    Other,
}

/// Takes `refs/changes/XX/NUMBER/VERSION` and `.../meta` apart; no other names are a change's.
fn change_ref(name: &str) -> RefName {
    let Some(rest) = name.strip_prefix("refs/changes/") else {
        return RefName::Other;
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = rest.split('/');
    let (Some(shard), Some(number), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return RefName::Other;
    };
    if shard.len() != 2
        || !shard
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        || !is_digits(number)
    {
        return RefName::Other;
    }
    let version = match version {
        "meta" => Ok(0),
        // There is no patch set 0, and the meta ref has another name.
        version if is_digits(version) && version.bytes().any(|digit| digit != b'0') => {
            version.parse()
        }
        _ => return RefName::Other,
    };
    match (number.parse(), version) {
        (Ok(number), Ok(version)) => RefName::Change { number, version },
        _ => RefName::OutOfRange,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_are_those_of_changes() {
        use RefName::*;
        for (name, expected) in [
            (
                "refs/changes/21/4321/2",
                Change {
                    number: 4321,
                    version: 2,
                },
            ),
            (
                "refs/changes/ab/1/meta",
                Change {
                    number: 1,
                    version: 0,
                },
            ),
            ("refs/changes/01/1/robot-comments", Other),
            ("refs/changes/01/1/12tail", Other),
            ("refs/changes/01/1/metadata", Other),
            ("refs/changes/01/1/0", Other),
            ("refs/changes/1/1/2", Other),
            ("refs/changes/zz/2/1", Other),
            ("refs/changes/01/1/1/1", Other),
            ("refs/changes/99/99999999999/1", OutOfRange),
            ("refs/changes/04/4/99999999999", OutOfRange),
            ("refs/heads/master", Other),
        ] {
            assert_eq!(change_ref(name), expected, "{name}");
        }
    }

    #[test]
    fn traits_promise_what_is_there() {
        let traits = Traits::of(b"x\n\nStatus: new\nLabel: A=+1\n");
        assert!(traits.has(Traits::STATUS) && traits.has(Traits::LABEL));
        assert!(!traits.has(Traits::PRIVATE) && !traits.has(Traits::MENTION));
        assert!(Traits::of(b"Branch: x").has(Traits::BRANCH));
        assert!(Traits::of(b"a\rPrivate: true").has(Traits::PRIVATE));
        assert!(Traits::of(b"fixes #1").has(Traits::MENTION));
    }
}
