use std::borrow::Cow;
use std::fmt::{self, Debug, Formatter};

use crate::digest::Traits;
use crate::line;
use crate::notedb;
use crate::state::{self, ClStatus, Core};
use crate::time::Time;
use crate::view::{Commit, LabelVotes, Person, Project, votes};

/// A change on Gerrit.
#[derive(Clone, Copy)]
pub struct Cl<'v> {
    pub(super) project: Project<'v>,
    pub(super) row: &'v state::Cl,
}

impl<'v> Cl<'v> {
    /// The project that it is a change of.
    #[must_use]
    pub fn project(&self) -> Project<'v> {
        self.project
    }

    /// Its number on the server.
    #[must_use]
    pub fn number(&self) -> i32 {
        self.row.number
    }

    /// Whether it has a patch set and meta data. What is not so is found by [`Project::all_cls`] alone.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.row.is_complete()
    }

    /// When it was created: the time of the oldest meta commit.
    #[must_use]
    pub fn created(&self) -> Option<Time> {
        self.row.created
    }

    /// The number of the current patch set, from 1; 0 if none is known.
    #[must_use]
    pub fn version(&self) -> i32 {
        self.row.version
    }

    /// The current patch set.
    #[must_use]
    pub fn commit(&self) -> Option<Commit<'v>> {
        self.row.commit.known().map(|id| Commit {
            core: self.core(),
            id,
        })
    }

    /// A patch set by its number.
    #[must_use]
    pub fn commit_at_version(&self, version: i32) -> Option<Commit<'v>> {
        let at = self
            .row
            .patch_sets
            .binary_search_by_key(&version, |set| set.0)
            .ok()?;
        let id = self.row.patch_sets[at].1;
        Some(Commit {
            core: self.core(),
            id,
        })
    }

    /// The patch sets that are known, by number.
    pub fn patch_sets(&self) -> impl Iterator<Item = (i32, Commit<'v>)> + use<'v> {
        let core = self.core();
        self.row
            .patch_sets
            .iter()
            .map(move |&(version, id)| (version, Commit { core, id }))
    }

    /// What the meta ref points at.
    #[must_use]
    pub fn meta_head(&self) -> Option<Commit<'v>> {
        self.row.meta.known().map(|id| Commit {
            core: self.core(),
            id,
        })
    }

    /// All meta commits, oldest first.
    #[must_use]
    pub fn metas(&self) -> impl DoubleEndedIterator<Item = Meta<'v>> + ExactSizeIterator + use<'v> {
        let cl = *self;
        (0..self.row.metas.len()).map(move |index| Meta { cl, index })
    }

    /// The newest meta commit.
    #[must_use]
    pub fn meta(&self) -> Option<Meta<'v>> {
        self.metas().next_back()
    }

    /// Where it stands; `None` before meta data came.
    #[must_use]
    pub fn status(&self) -> Option<ClStatus> {
        self.row.status
    }

    /// Whether it is, or ever was, private. Do not show such a change to everyone.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.row.private
    }

    /// The branch that it is for, without `refs/heads/`; empty if no meta commit says.
    #[must_use]
    pub fn branch(&self) -> &'v str {
        std::str::from_utf8(self.core().texts.get(self.row.branch)).unwrap_or_default()
    }

    /// Whether its owner marked it as not to be reviewed yet.
    #[must_use]
    pub fn work_in_progress(&self) -> bool {
        let lines = self
            .metas()
            .rev()
            .filter(|meta| meta.traits().has(Traits::WIP));
        let mut values = lines.filter_map(|meta| {
            match line::value(meta.footer_bytes(), b"Work-in-progress:")? {
                b"true" => Some(true),
                b"false" => Some(false),
                _ => None,
            }
        });
        values.next().unwrap_or(false)
    }

    /// The value of the first line of the current patch set's message that begins with `key`, colon included.
    #[must_use]
    pub fn footer(&self, key: &str) -> Option<&'v [u8]> {
        line::value(self.commit()?.message(), key.as_bytes())
    }

    /// The `Change-Id:` of the current patch set: `I` and 40 digits.
    #[must_use]
    pub fn change_id(&self) -> Option<&'v str> {
        let id = std::str::from_utf8(self.footer("Change-Id:")?).ok()?;
        (id.len() == 41 && id.starts_with('I')).then_some(id)
    }

    /// Who wrote the first patch set.
    #[must_use]
    pub fn owner(&self) -> Option<Person<'v>> {
        let first = self.commit_at_version(1)?;
        (!first.is_placeholder()).then(|| first.author())
    }

    /// The Gerrit account of whoever created it, if it is complete.
    #[must_use]
    pub fn owner_id(&self) -> Option<i64> {
        if !self.is_complete() {
            return None;
        }
        let (id, _) = self
            .metas()
            .next()?
            .commit()
            .author()
            .email()
            .split_once('@')?;
        id.parse().ok()
    }

    /// The message up to the first blank line, with blanks for newlines. One that has no blank line keeps a blank at its end.
    #[must_use]
    pub fn subject(&self) -> Cow<'v, str> {
        let message = self
            .commit()
            .map(|commit| commit.message())
            .unwrap_or_default();
        let subject = String::from_utf8_lossy(line::first_paragraph(message));
        match subject.contains('\n') {
            true => subject.replace('\n', " ").into(),
            false => subject,
        }
    }

    /// The issues that the current patch set's message mentions, each once.
    pub fn issue_refs(&self) -> impl Iterator<Item = GithubIssueRef<'v>> + use<'v> {
        let core = self.core();
        self.row
            .issue_refs
            .iter()
            .map(move |mention| GithubIssueRef {
                owner: core.texts.str(mention.owner),
                repo: core.texts.str(mention.repo),
                number: mention.number,
            })
    }

    /// Whether the current patch set's message mentions the issue; owner and repository in lower case.
    #[must_use]
    pub fn references(&self, issue: GithubIssueRef<'_>) -> bool {
        self.issue_refs().any(|mention| mention == issue)
    }

    /// What was said about it, oldest first.
    pub fn messages(&self) -> impl Iterator<Item = ClMessage<'v>> + use<'v> {
        self.metas().filter_map(|meta| meta.change_message())
    }

    pub(super) fn core(&self) -> &'v Core {
        self.project.core
    }
}

impl Debug for Cl<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Cl({}~{})",
            self.project.server_slash_project(),
            self.number()
        )
    }
}

/// A mention of a GitHub issue: displayed as `golang/go#5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GithubIssueRef<'a> {
    /// In lower case.
    pub owner: &'a str,
    /// In lower case.
    pub repo: &'a str,
    /// The issue, which need not be known.
    pub number: i32,
}

impl fmt::Display for GithubIssueRef<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}#{}", self.owner, self.repo, self.number)
    }
}

/// A commit of a change's meta data, and through it, the change as it was then.
#[derive(Clone, Copy)]
pub struct Meta<'v> {
    pub(super) cl: Cl<'v>,
    /// Among the change's meta commits.
    pub(super) index: usize,
}

impl<'v> Meta<'v> {
    /// The commit.
    #[must_use]
    pub fn commit(&self) -> Commit<'v> {
        let id = self.cl.row.metas[self.index];
        Commit {
            core: self.cl.core(),
            id,
        }
    }

    /// What stands behind the last blank line of its message.
    #[must_use]
    pub fn footer(&self) -> &'v [u8] {
        self.footer_bytes()
    }

    /// What Gerrit did, `autogenerated:gerrit:newPatchSet`; empty if a person did it.
    #[must_use]
    pub fn action_tag(&self) -> &'v [u8] {
        notedb::tag(self.commit().message())
    }

    /// The hashtags that the change had then.
    #[must_use]
    pub fn hashtags(&self) -> Hashtags<'v> {
        let newest_first = self.cl.metas().take(self.index + 1).rev();
        let tagged = newest_first.filter(|meta| meta.traits().has(Traits::HASHTAGS));
        let tags = tagged
            .filter_map(|meta| line::value(meta.footer_bytes(), b"Hashtags:"))
            .next();
        Hashtags(std::str::from_utf8(tags.unwrap_or_default()).unwrap_or_default())
    }

    /// What this commit did to the hashtags, if it did.
    #[must_use]
    pub fn hashtag_edits(&self) -> Option<HashtagEdits<'v>> {
        let message = self.commit().message();
        if notedb::tag(message) != notedb::SET_HASHTAG {
            return None;
        }
        let tags = |one: &[u8], many: &[u8]| {
            let tags = line::value(message, one).or_else(|| line::value(message, many));
            Hashtags(std::str::from_utf8(tags.unwrap_or_default()).unwrap_or_default())
        };
        Some(HashtagEdits {
            added: tags(b"Hashtag added:", b"Hashtags added:"),
            removed: tags(b"Hashtag removed:", b"Hashtags removed:"),
        })
    }

    /// The votes that the change had then.
    #[must_use]
    pub fn label_votes(&self) -> LabelVotes<'v> {
        votes::label_votes(self)
    }

    /// What the commit says about a patch set, if it does.
    #[must_use]
    pub fn change_message(&self) -> Option<ClMessage<'v>> {
        let (version, text) = notedb::change_message(self.commit().message())?;
        let meta = *self;
        Some(ClMessage {
            meta,
            version,
            text,
        })
    }

    pub(super) fn footer_bytes(&self) -> &'v [u8] {
        notedb::footer(self.commit().message())
    }

    pub(super) fn traits(&self) -> Traits {
        self.cl.core().row(self.cl.row.metas[self.index]).traits
    }
}

impl Debug for Meta<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Meta({:?} {})", self.cl, self.commit().hash())
    }
}

/// What somebody said about a patch set.
#[derive(Debug, Clone, Copy)]
pub struct ClMessage<'v> {
    meta: Meta<'v>,
    version: i32,
    text: &'v [u8],
}

impl<'v> ClMessage<'v> {
    /// The meta commit that says it.
    #[must_use]
    pub fn meta(&self) -> Meta<'v> {
        self.meta
    }

    /// The patch set.
    #[must_use]
    pub fn version(&self) -> i32 {
        self.version
    }

    /// The text, which begins with `Patch Set 2:` or such.
    #[must_use]
    pub fn text(&self) -> &'v [u8] {
        self.text
    }

    /// When it was said.
    #[must_use]
    pub fn date(&self) -> Time {
        self.meta.commit().commit_instant()
    }

    /// Who said it: for newer changes `Gerrit User 5 <5@SERVER>`.
    #[must_use]
    pub fn author(&self) -> Person<'v> {
        self.meta.commit().author()
    }
}

/// Hashtags, as Gerrit joins them with commas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashtags<'v>(&'v str);

impl<'v> Hashtags<'v> {
    /// The text as it is.
    #[must_use]
    pub fn as_str(&self) -> &'v str {
        self.0
    }

    /// How many there are, by the commas.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.0 {
            "" => 0,
            tags => tags.matches(',').count() + 1,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each, without blanks around it.
    pub fn iter(&self) -> impl Iterator<Item = &'v str> + use<'v> {
        let tags = self.0;
        tags.split(',')
            .map(str::trim)
            .filter(move |_| !tags.is_empty())
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn contains(&self, tag: &str) -> bool {
        self.iter().any(|each| each == tag)
    }
}

/// What a meta commit did to hashtags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashtagEdits<'v> {
    /// New ones.
    pub added: Hashtags<'v>,
    /// Those that are gone.
    pub removed: Hashtags<'v>,
}
