//! Reviews, comments, reviewers and votes.

use super::act::closed;
use super::note::{Note, Turn};
use super::state::{Change, Comment, Refusal, State, Vote, ident, timestamp};
use crate::types::*;

impl State {
    /// Everything that a review does, in one step.
    pub(super) fn review(
        &mut self,
        who: u64,
        number: u64,
        patch_set: u32,
        input: &ReviewInput,
    ) -> Result<ReviewResult, Refusal> {
        let votes = self.allowed_votes(who, number, input)?;
        let mut result = ReviewResult::default();
        for (label, value) in &votes {
            result.labels.insert(label.clone(), *value);
        }
        for reviewer in &input.reviewers {
            let added = self.add_reviewer(who, number, reviewer)?;
            if !added.error.is_empty() {
                result.error = "error adding reviewer".to_owned();
                result.reviewers.insert(reviewer.reviewer.clone(), added);
                return Ok(result);
            }
            result.reviewers.insert(reviewer.reviewer.clone(), added);
        }
        if input.ready || input.work_in_progress {
            let is_wip = input.work_in_progress;
            if self.change_mut(number)?.is_wip != is_wip {
                self.set_wip(who, number, is_wip, "")?;
            }
            result.ready = input.ready;
        }
        let mut comments = Vec::new();
        for (path, inputs) in &input.comments {
            for one in inputs {
                let mut comment = self.comment(who, number, patch_set, path, one)?;
                comment.info.tag.clone_from(&input.tag);
                comments.push(comment);
            }
        }
        let now = self.now();
        let change = self.change_mut(number)?;
        let published: fn(&Comment, u32) -> bool = match &input.drafts {
            Some(Drafts::Publish) => |draft, patch_set| draft.info.patch_set == patch_set,
            Some(Drafts::PublishAllRevisions) => |_, _| true,
            _ => |_, _| false,
        };
        let drafts = std::mem::take(&mut change.drafts);
        let (drafts, kept) = drafts
            .into_iter()
            .partition(|draft| draft.author == who && published(draft, patch_set));
        change.drafts = kept;
        comments.extend(drafts);

        let changed = votes.iter().filter(|(label, value)| {
            let old = change.votes.get(&(label.clone(), who));
            old.map_or(0, |vote| vote.value) != *value
        });
        let changed: Vec<(String, i32)> = changed.cloned().collect();
        let mut message = format!("Patch Set {patch_set}:");
        let mut note = Note::new(who, patch_set).tag(&input.tag);
        for (label, value) in changed {
            let key = (label.clone(), who);
            let vote = Vote {
                value,
                date: now,
                tag: input.tag.clone(),
            };
            change.votes.insert(key, vote);
            if value == 0 {
                message += &format!(" -{label}");
                note = note.footer("Label", format!("-{label}"));
            } else {
                message += &format!(" {label}{value:+}");
                note = note.footer("Label", format!("{label}={value:+}"));
            }
            if change.reviewers.insert(who, ReviewerState::Reviewer)
                != Some(ReviewerState::Reviewer)
            {
                note = note.footer("Reviewer", ident(who));
            }
        }
        match comments.len() {
            0 => {}
            1 => message += "\n\n(1 comment)",
            many => message += &format!("\n\n({many} comments)"),
        }
        if !input.message.trim().is_empty() {
            message += &format!("\n\n{}", input.message.trim());
        }
        let says_nothing = message == format!("Patch Set {patch_set}:");
        let mut turns = Vec::new();
        if !input.ignore_automatic_attention_set_rules && !says_nothing {
            turns.extend(change.set_turn(who, Turn::Goes, "removed on reply", now));
            if who != change.owner && change.is_open() && !change.is_wip {
                let reason = "Someone else replied on the change";
                turns.extend(change.set_turn(change.owner, Turn::Comes, reason, now));
            }
        }
        for turn in turns {
            note = note.footer("Attention", turn);
        }
        if !says_nothing {
            note = note.message(message);
        }
        let id = if says_nothing {
            String::new()
        } else {
            self.note(number, note)?
        };
        let change = self.change_mut(number)?;
        for mut comment in comments {
            comment.info.change_message_id.clone_from(&id);
            comment.info.updated = timestamp(now);
            change.comments.push(comment);
        }
        for (input, turn) in (input
            .add_to_attention_set
            .iter()
            .map(|one| (one, Turn::Comes)))
        .chain(
            input
                .remove_from_attention_set
                .iter()
                .map(|one| (one, Turn::Goes)),
        ) {
            self.set_turn(who, number, input, turn)?;
        }
        Ok(result)
    }

    /// Votes on labels that there are, with values that they have; the others are left out, as the real one does.
    fn allowed_votes(
        &self,
        who: u64,
        number: u64,
        input: &ReviewInput,
    ) -> Result<Vec<(String, i32)>, Refusal> {
        let change = self
            .changes
            .get(&number)
            .ok_or_else(|| Refusal::not_found(number))?;
        let account = self
            .accounts
            .get(&who)
            .ok_or_else(|| Refusal::new(403, "Authentication required"))?;
        let mut votes = Vec::new();
        for (label, value) in &input.labels {
            let Some(rule) = self.labels.get(label) else {
                continue;
            };
            if !(rule.min..=rule.max).contains(value) {
                continue;
            }
            if !rule.range(label, account).contains(value) {
                let text = format!("Applying label \"{label}\": {value} is restricted");
                return Err(Refusal::new(403, text));
            }
            votes.push((label.clone(), *value));
        }
        if !votes.is_empty() && change.status == ChangeStatus::Abandoned {
            return Err(closed(&change.status));
        }
        Ok(votes)
    }

    fn comment(
        &mut self,
        who: u64,
        number: u64,
        patch_set: u32,
        path: &str,
        input: &CommentInput,
    ) -> Result<Comment, Refusal> {
        if input.message.trim().is_empty() {
            return Err(Refusal::new(400, "message must be non-empty"));
        }
        if path.is_empty() {
            return Err(Refusal::new(400, "path must be non-empty"));
        }
        let now = self.now();
        let digits = self.unique_digits();
        let author = self.account_info(who, true);
        let change = self.change_mut(number)?;
        let commit = change.patch_sets.iter().find(|one| one.number == patch_set);
        let asked = change
            .comments
            .iter()
            .find(|one| one.info.id == input.in_reply_to);
        if asked.is_none() && !input.in_reply_to.is_empty() {
            let text = format!("Invalid inReplyTo, comment {} not found", input.in_reply_to);
            return Err(Refusal::new(400, text));
        }
        let inherited = asked.and_then(|one| one.info.unresolved).unwrap_or(false);
        let line = match &input.range {
            Some(range) => Some(range.end_line),
            None => (input.line > 0).then_some(input.line),
        };
        let info = CommentInfo {
            patch_set,
            id: format!("{}_{}", &digits[..8], &digits[8..16]),
            path: path.to_owned(),
            side: input.side.clone().filter(|side| *side != Side::Revision),
            line,
            range: input.range.clone(),
            in_reply_to: input.in_reply_to.clone(),
            message: input.message.trim_end().to_owned(),
            updated: timestamp(now),
            author: Some(author),
            tag: input.tag.clone(),
            unresolved: Some(input.unresolved.unwrap_or(inherited)),
            commit_id: commit.map(|one| one.commit.clone()).unwrap_or_default(),
            ..CommentInfo::default()
        };
        Ok(Comment { info, author: who })
    }

    /// Makes a draft, or replaces the one called `id`.
    pub(super) fn draft(
        &mut self,
        who: u64,
        number: u64,
        patch_set: u32,
        id: Option<&str>,
        input: &CommentInput,
    ) -> Result<CommentInfo, Refusal> {
        let path = match id {
            Some(id) if input.path.is_empty() => {
                let change = self.change_mut(number)?;
                let old = find_draft(change, who, patch_set, id)?;
                change.drafts[old].info.path.clone()
            }
            _ => input.path.clone(),
        };
        let mut draft = self.comment(who, number, patch_set, &path, input)?;
        let change = self.change_mut(number)?;
        if let Some(id) = id {
            let old = find_draft(change, who, patch_set, id)?;
            change.drafts.remove(old);
            id.clone_into(&mut draft.info.id);
        }
        let info = told_draft(&draft);
        change.drafts.push(draft);
        Ok(info)
    }

    pub(super) fn delete_draft(
        &mut self,
        who: u64,
        number: u64,
        patch_set: u32,
        id: &str,
    ) -> Result<(), Refusal> {
        let change = self.change_mut(number)?;
        let old = find_draft(change, who, patch_set, id)?;
        change.drafts.remove(old);
        Ok(())
    }

    /// Adds somebody; what did not work is in the result's `error`.
    pub(super) fn add_reviewer(
        &mut self,
        who: u64,
        number: u64,
        input: &ReviewerInput,
    ) -> Result<AddReviewerResult, Refusal> {
        let mut result = AddReviewerResult {
            input: input.reviewer.clone(),
            ..AddReviewerResult::default()
        };
        let name = &input.reviewer;
        let Some(whom) = self.account(name, Some(who)).map(|account| account.number) else {
            result.error = format!(
                "Account '{name}' not found\n{name} does not identify a registered user or group"
            );
            return Ok(result);
        };
        let state = input.state.clone().unwrap_or(ReviewerState::Reviewer);
        if state == ReviewerState::Removed {
            self.remove_reviewer(who, number, whom)?;
            return Ok(result);
        }
        let now = self.now();
        let change = self.change_mut(number)?;
        if change.reviewers.get(&whom) != Some(&state) {
            change.reviewers.insert(whom, state.clone());
            change
                .reviewer_updates
                .push((now, who, whom, state.clone()));
            let patch_set = change.current().number;
            let is_reviewer = state == ReviewerState::Reviewer;
            let footer = if is_reviewer { "Reviewer" } else { "CC" };
            let mut note = Note::new(who, patch_set).footer(footer, ident(whom));
            if is_reviewer && !change.is_wip && change.is_open() {
                let turn = change.set_turn(whom, Turn::Comes, "Reviewer was added", now);
                if let Some(turn) = turn {
                    note = note.footer("Attention", turn);
                }
            }
            self.note(number, note)?;
            let change = self
                .changes
                .get(&number)
                .ok_or_else(|| Refusal::not_found(number))?;
            let info = self.reviewer_info(change, whom);
            if is_reviewer {
                result.reviewers.push(info);
            } else {
                result.ccs.push(info);
            }
        }
        Ok(result)
    }

    pub(super) fn remove_reviewer(
        &mut self,
        who: u64,
        number: u64,
        whom: u64,
    ) -> Result<(), Refusal> {
        let now = self.now();
        let change = self.change_mut(number)?;
        let was = change.reviewers.remove(&whom);
        let Some(was) = was else {
            return Err(Refusal::not_found(whom));
        };
        change
            .reviewer_updates
            .push((now, who, whom, ReviewerState::Removed));
        // What was voted is not forgotten, but counts no more.
        for (_, vote) in change
            .votes
            .iter_mut()
            .filter(|((_, voter), _)| *voter == whom)
        {
            (vote.value, vote.date) = (0, now);
            vote.tag.clear();
        }
        let word = if was == ReviewerState::Cc {
            "cc"
        } else {
            "reviewer"
        };
        let patch_set = change.current().number;
        let mut note = Note::new(who, patch_set)
            .message(format!("Removed {word} <GERRIT_ACCOUNT_{whom}>."))
            .tag("autogenerated:gerrit:deleteReviewer")
            .footer("Removed", ident(whom));
        if let Some(turn) = change.set_turn(whom, Turn::Goes, "Reviewer/Cc was removed", now) {
            note = note.footer("Attention", turn);
        }
        self.note(number, note).map(drop)
    }

    pub(super) fn delete_vote(
        &mut self,
        who: u64,
        number: u64,
        whom: u64,
        label: &str,
    ) -> Result<(), Refusal> {
        let now = self.now();
        let change = self.change_mut(number)?;
        let vote = change.votes.get_mut(&(label.to_owned(), whom));
        let vote = vote.filter(|vote| vote.value != 0);
        let vote = vote.ok_or_else(|| Refusal::not_found(label))?;
        let value = std::mem::replace(&mut vote.value, 0);
        vote.date = now;
        vote.tag.clear();
        let patch_set = change.current().number;
        let mut note = Note::new(who, patch_set)
            .message(format!(
                "Removed {label}{value:+} by <GERRIT_ACCOUNT_{whom}>\n"
            ))
            .tag("autogenerated:gerrit:deleteVote")
            .footer("Label", format!("-{label} {}", ident(whom)));
        if who != whom && change.is_open() {
            let turn = change.set_turn(whom, Turn::Comes, "Their vote was deleted", now);
            if let Some(turn) = turn {
                note = note.footer("Attention", turn);
            }
        }
        self.note(number, note).map(drop)
    }

    /// Says whose turn it is.
    pub(super) fn set_turn(
        &mut self,
        who: u64,
        number: u64,
        input: &AttentionSetInput,
        turn: Turn,
    ) -> Result<AccountInfo, Refusal> {
        if input.reason.trim().is_empty() {
            return Err(Refusal::new(400, "missing field: reason"));
        }
        let whom = self
            .account(&input.user, Some(who))
            .map(|account| account.number);
        let now = self.now();
        let change = self.change_mut(number)?;
        let takes_part = |whom: &u64| *whom == change.owner || change.reviewers.contains_key(whom);
        let whom = whom.filter(|whom| turn == Turn::Goes || takes_part(whom)).ok_or_else(|| {
            let text = format!(
                "{} doesn't exist or is not active on the change as an owner, uploader, reviewer, or cc so they can't be added to the attention set",
                input.user
            );
            Refusal::new(400, text)
        })?;
        let patch_set = change.current().number;
        if let Some(footer) = change.set_turn(whom, turn, &input.reason, now) {
            self.note(
                number,
                Note::new(who, patch_set).footer("Attention", footer),
            )?;
        }
        Ok(self.account_info(whom, true))
    }
}

/// A draft as its author sees it: whose it is goes without saying, and of which patch set.
pub(super) fn told_draft(draft: &Comment) -> CommentInfo {
    CommentInfo {
        author: None,
        patch_set: 0,
        ..draft.info.clone()
    }
}

fn find_draft(change: &Change, who: u64, patch_set: u32, id: &str) -> Result<usize, Refusal> {
    let is_it = |draft: &Comment| {
        draft.author == who && draft.info.patch_set == patch_set && draft.info.id == id
    };
    change
        .drafts
        .iter()
        .position(is_it)
        .ok_or_else(|| Refusal::not_found(id))
}
