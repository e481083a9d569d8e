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
    let project = upto.cl.project;
    let mut votes = LabelVotes::new();
    let mut patch_set: Option<Commit<'v>> = None;
    for meta in upto.cl.metas().take(upto.index + 1) {
        let traits = meta.traits();
        if !traits.has(Traits::NEW_PATCH_SET | Traits::LABEL) {
            continue;
        }
        let footer = meta.footer_bytes();
        if traits.has(Traits::NEW_PATCH_SET)
            && line::value(footer, b"Tag: ") == Some(notedb::NEW_PATCH_SET)
            && let Some(hash) = line::value(footer, b"Commit: ").and_then(GitHash::from_hex)
            && let Some(commit) = project.commit(&hash)
        {
            if patch_set.is_some_and(|before| !before.same_diff_stat(&commit)) {
                votes.retain(|label, _| !TRY_LABELS.contains(label));
            }
            patch_set = Some(commit);
        }
        if !traits.has(Traits::LABEL) {
            continue;
        }
        let mut rest = footer;
        while let Some((value, behind)) = line::value_and_rest(rest, b"Label: ") {
            rest = behind;
            if let Some(vote) = LabelLine::parse(value) {
                count(&mut votes, &meta, &vote);
            }
        }
    }
    votes
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
