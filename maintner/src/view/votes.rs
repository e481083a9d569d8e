use std::collections::BTreeMap;

use crate::digest::Traits;
use crate::hash::GitHash;
use crate::line;
use crate::notedb::{self, LabelLine};
use crate::view::{Commit, Meta};

/// Votes by label, and within it by the voter's e-mail address. A label whose votes were all taken back stays, without votes.
pub type LabelVotes<'v> = BTreeMap<&'v str, BTreeMap<&'v str, i8>>;

/// Labels whose votes end with a patch set that changes other lines.
const TRY_LABELS: [&str; 2] = ["Run-TryBot", "TryBot-Result"];

/// Replays a change's meta commits up to this one.
pub(super) fn label_votes<'v>(upto: &Meta<'v>) -> LabelVotes<'v> {
    let mut votes = LabelVotes::new();
    let mut patch_sets = PatchSets::default();
    for meta in upto.cl.metas().take(upto.index + 1) {
        let traits = meta.traits();
        // What another patch set changes is only looked at where there are votes that it may end.
        if traits.has(Traits::NEW_PATCH_SET)
            && TRY_LABELS.iter().any(|label| votes.contains_key(label))
            && let Some(patch_set) = patch_set(&meta)
            && let Some(before) = patch_sets.before(&meta)
            && !before.same_diff_stat(&patch_set)
        {
            votes.retain(|label, _| !TRY_LABELS.contains(label));
        }
        if !traits.has(Traits::LABEL) {
            continue;
        }
        let mut rest = meta.footer_bytes();
        while let Some((value, behind)) = line::value_and_rest(rest, b"Label: ") {
            rest = behind;
            if let Some(vote) = LabelLine::parse(value) {
                count(&mut votes, &meta, &vote);
            }
        }
    }
    votes
}

/// The patch set that came with a meta commit, if one did and the project has it.
fn patch_set<'v>(meta: &Meta<'v>) -> Option<Commit<'v>> {
    if !meta.traits().has(Traits::NEW_PATCH_SET) {
        return None;
    }
    let footer = meta.footer_bytes();
    if line::value(footer, b"Tag: ") != Some(notedb::NEW_PATCH_SET) {
        return None;
    }
    let hash = line::value(footer, b"Commit: ").and_then(GitHash::from_hex)?;
    meta.cl.project.commit(&hash)
}

/// Finds the last patch set before a meta commit, and looks at each meta commit once, however often it is asked.
#[derive(Default)]
struct PatchSets<'v> {
    /// The last one among so many meta commits.
    last: Option<Commit<'v>>,
    looked_at: usize,
}

impl<'v> PatchSets<'v> {
    fn before(&mut self, meta: &Meta<'v>) -> Option<Commit<'v>> {
        let new = meta.cl.metas().take(meta.index).skip(self.looked_at);
        self.last = new.rev().find_map(|meta| patch_set(&meta)).or(self.last);
        self.looked_at = meta.index;
        self.last
    }
}

fn count<'v>(votes: &mut LabelVotes<'v>, meta: &Meta<'v>, line: &LabelLine<'v>) {
    let voter = match line.email {
        Some(email) => std::str::from_utf8(email),
        None => Ok(meta.commit().author().email()),
    };
    let (Ok(label), Ok(voter)) = (std::str::from_utf8(line.label), voter) else {
        return;
    };
    match line.vote {
        Some(vote) => {
            votes.entry(label).or_default().insert(voter, vote);
        }
        None => {
            if let Some(votes) = votes.get_mut(label) {
                votes.remove(voter);
            }
        }
    }
}
