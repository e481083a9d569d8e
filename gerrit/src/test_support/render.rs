//! How what the fake remembers is told, in the types of the client.

use std::collections::BTreeMap;

use super::git::{Commit, Files};
use super::state::{
    Account, Change, Comment, LabelRule, PatchSet, Project, State, Vote, full_branch, timestamp,
};
use crate::types::*;

/// Who asks, and for what besides the least.
pub(super) struct View<'a> {
    pub(super) viewer: Option<u64>,
    pub(super) options: &'a [String],
}

impl View<'_> {
    fn has(&self, options: &[&str]) -> bool {
        options
            .iter()
            .any(|option| self.options.iter().any(|one| one == option))
    }

    fn is_detailed(&self) -> bool {
        self.has(&["DETAILED_ACCOUNTS"])
    }
}

impl Account {
    pub(super) fn info(&self, is_detailed: bool) -> AccountInfo {
        let mut info = AccountInfo {
            account_id: self.number,
            ..AccountInfo::default()
        };
        if is_detailed {
            info.name.clone_from(&self.name);
            info.email.clone_from(&self.email);
            info.username.clone_from(&self.username);
        }
        info
    }
}

impl LabelRule {
    /// Every value and what it means.
    fn values(&self) -> BTreeMap<String, String> {
        let meaning = |value| match value {
            -2 => "This shall not be submitted",
            -1 => "I would prefer this is not submitted as is",
            0 => "No score",
            1 => "Looks good to me, but someone else must approve",
            2 => "Looks good to me, approved",
            _ => "",
        };
        (self.min..=self.max)
            .map(|value| (written(value), meaning(value).to_owned()))
            .collect()
    }

    /// The values that an account may give.
    pub(super) fn range(&self, label: &str, account: &Account) -> std::ops::RangeInclusive<i32> {
        if label == "Code-Review" && !account.is_admin {
            self.min + 1..=self.max - 1
        } else {
            self.min..=self.max
        }
    }
}

/// `+1`, ` 0`, `-1`.
pub(super) fn written(value: i32) -> String {
    match value {
        0 => " 0".to_owned(),
        value => format!("{value:+}"),
    }
}

impl State {
    pub(super) fn account_info(&self, number: u64, is_detailed: bool) -> AccountInfo {
        let account = self.accounts.get(&number);
        account
            .map(|account| account.info(is_detailed))
            .unwrap_or_default()
    }

    pub(super) fn project_info(&self, name: &str) -> ProjectInfo {
        let rules = self.labels.iter().map(|(label, rule)| {
            let definition = serde_json::json!({ "values": rule.values(), "default_value": 0 });
            (label.clone(), definition)
        });
        ProjectInfo {
            id: crate::escape_segment(name),
            name: name.to_owned(),
            parent: "All-Projects".to_owned(),
            description: self
                .projects
                .get(name)
                .map(|one| one.description.clone())
                .unwrap_or_default(),
            state: Some(ProjectState::Active),
            labels: rules.collect(),
            ..ProjectInfo::default()
        }
    }

    pub(super) fn change_info(&self, change: &Change, view: &View<'_>) -> ChangeInfo {
        let project = crate::escape::query(&change.project);
        let branch = crate::escape::query(&change.branch);
        let person = |number| self.account_info(number, view.is_detailed());
        let (inserted, deleted) = self.size(change, change.current());
        let turns = |set: &BTreeMap<u64, (i64, String)>| {
            let turn = |(who, (time, reason)): (&u64, &(i64, String))| {
                let info = AttentionSetInfo {
                    account: person(*who),
                    last_update: timestamp(*time),
                    reason: reason.clone(),
                    ..AttentionSetInfo::default()
                };
                (who.to_string(), info)
            };
            set.iter().map(turn).collect::<BTreeMap<_, _>>()
        };
        let mut info = ChangeInfo {
            id: format!("{project}~{}", change.number),
            triplet_id: format!("{project}~{branch}~{}", change.change_id),
            number: change.number,
            virtual_id_number: change.number,
            change_id: change.change_id.clone(),
            project: change.project.clone(),
            branch: change.branch.clone(),
            topic: change.topic.clone(),
            subject: self
                .commit(change, change.current())
                .map(|one| one.subject().to_owned())
                .unwrap_or_default(),
            status: Some(change.status.clone()),
            owner: Some(person(change.owner)),
            hashtags: change.hashtags.iter().cloned().collect(),
            created: timestamp(change.created),
            updated: timestamp(change.updated),
            insertions: inserted,
            deletions: deleted,
            total_comment_count: change.comments.len() as u64,
            unresolved_comment_count: unresolved(&change.comments),
            current_revision_number: u64::from(change.current().number),
            meta_rev_id: change.meta.clone(),
            attention_set: turns(&change.attention),
            removed_from_attention_set: turns(&change.removed_attention),
            work_in_progress: change.is_wip,
            has_review_started: change.has_review_started,
            is_private: change.is_private,
            submit_records: self.submit_records(change, view.is_detailed()),
            ..ChangeInfo::default()
        };
        if change.is_open() {
            info.submit_type = "MERGE_IF_NECESSARY".to_owned();
        }
        if let Some((who, when, submission)) = &change.submitted {
            info.submitter = Some(person(*who));
            info.submitted = timestamp(*when);
            info.submission_id.clone_from(submission);
        }
        if view.has(&["SUBMITTABLE"]) && change.is_open() {
            info.submittable = Some(self.is_submittable(change));
        }
        if view.has(&["SUBMIT_REQUIREMENTS"]) {
            info.submit_requirements = self.submit_requirements(change);
        }
        if view.has(&["LABELS", "DETAILED_LABELS"]) {
            self.add_labels(&mut info, change, view);
        }
        if view.has(&["MESSAGES"]) {
            info.messages = self.messages(change, view.is_detailed());
        }
        if view.has(&["REVIEWER_UPDATES"]) {
            let update =
                |(when, by, who, state): &(i64, u64, u64, ReviewerState)| ReviewerUpdateInfo {
                    updated: timestamp(*when),
                    updated_by: person(*by),
                    reviewer: person(*who),
                    state: state.to_string(),
                    ..ReviewerUpdateInfo::default()
                };
            info.reviewer_updates = change.reviewer_updates.iter().map(update).collect();
        }
        if view.has(&["CURRENT_REVISION", "ALL_REVISIONS"]) {
            info.current_revision.clone_from(&change.current().commit);
            let from = if view.has(&["ALL_REVISIONS"]) {
                0
            } else {
                change.patch_sets.len() - 1
            };
            let revisions = change.patch_sets[from..].iter();
            let revisions =
                revisions.map(|one| (one.commit.clone(), self.revision_info(change, one, view)));
            info.revisions = revisions.collect();
        }
        info
    }

    pub(super) fn is_submittable(&self, change: &Change) -> bool {
        let is_met = |(label, rule): (&String, &LabelRule)| rule.is_met(change, label);
        change.is_open() && !change.is_wip && self.labels.iter().all(is_met)
    }

    fn submit_records(&self, change: &Change, is_detailed: bool) -> Vec<SubmitRecordInfo> {
        if change.status == ChangeStatus::Abandoned {
            return Vec::new();
        }
        let is_ok = self
            .labels
            .iter()
            .all(|(label, rule)| rule.is_met(change, label));
        let label = |(label, rule): (&String, &LabelRule)| {
            let giver = |value: i32| {
                let found = change
                    .votes
                    .iter()
                    .find(|((of, _), vote)| of == label && vote.value == value);
                found.map(|((_, who), _)| self.account_info(*who, is_detailed))
            };
            let (status, applied_by) = match (giver(rule.min), giver(rule.max)) {
                (Some(who), _) => ("REJECT", Some(who)),
                (None, Some(who)) => ("OK", Some(who)),
                (None, None) if rule.is_optional => ("MAY", None),
                (None, None) => ("NEED", None),
            };
            SubmitRecordLabelInfo {
                label: label.clone(),
                status: status.to_owned(),
                applied_by,
                ..SubmitRecordLabelInfo::default()
            }
        };
        let status = match (change.is_open(), is_ok) {
            (false, _) => "CLOSED",
            (true, true) => "OK",
            (true, false) => "NOT_READY",
        };
        vec![SubmitRecordInfo {
            rule_name: "gerrit~DefaultSubmitRule".to_owned(),
            status: status.to_owned(),
            labels: self.labels.iter().map(label).collect(),
            ..SubmitRecordInfo::default()
        }]
    }

    fn submit_requirements(&self, change: &Change) -> Vec<SubmitRequirementResultInfo> {
        let required = self.labels.iter().filter(|(_, rule)| !rule.is_optional);
        let required = required.map(|(label, rule)| {
            let has_max = rule.has(change, label, rule.max);
            let has_min = rule.has(change, label, rule.min);
            let is_met = has_max && !has_min;
            let atoms = vec![format!("label:{label}=MAX"), format!("-label:{label}=MIN")];
            // As the rule that there was before requirements: all or none.
            let (passing, failing) = if is_met {
                (atoms, Vec::new())
            } else {
                (Vec::new(), atoms)
            };
            let status = if is_met {
                SubmitRequirementStatus::Satisfied
            } else {
                SubmitRequirementStatus::Unsatisfied
            };
            SubmitRequirementResultInfo {
                name: label.clone(),
                status: Some(status),
                is_legacy: true,
                submittability_expression_result: Some(SubmitRequirementExpressionInfo {
                    expression: format!("label:{label}=MAX -label:{label}=MIN"),
                    fulfilled: is_met,
                    status: if is_met { "PASS" } else { "FAIL" }.to_owned(),
                    passing_atoms: passing,
                    failing_atoms: failing,
                    ..SubmitRequirementExpressionInfo::default()
                }),
                ..SubmitRequirementResultInfo::default()
            }
        });
        required.collect()
    }

    fn add_labels(&self, info: &mut ChangeInfo, change: &Change, view: &View<'_>) {
        let person = |number| self.account_info(number, view.is_detailed());
        let viewer = view.viewer.and_then(|who| self.accounts.get(&who));
        let is_detailed = view.has(&["DETAILED_LABELS"]);
        for (label, rule) in &self.labels {
            let votes = || change.votes.iter().filter(|((of, _), _)| of == label);
            let mut of_label = LabelInfo {
                optional: rule.is_optional,
                ..LabelInfo::default()
            };
            for ((_, who), vote) in votes() {
                set_score(&mut of_label, rule, vote.value, || person(*who));
            }
            if is_detailed {
                of_label.values = rule.values();
                let has_voted = |who: &u64| votes().any(|((_, voter), _)| voter == who);
                let silent = change
                    .reviewers
                    .iter()
                    .filter(|(who, state)| **state == ReviewerState::Reviewer && !has_voted(who));
                let silent = silent.map(|(who, _)| (*who, None));
                let counts = |who: &u64, vote: &Vote| {
                    vote.value != 0 || change.reviewers.contains_key(who) || !change.is_open()
                };
                let voted = votes().filter(|((_, who), vote)| counts(who, vote));
                let voted = voted.map(|((_, who), vote)| (*who, Some(vote)));
                of_label.all = voted
                    .chain(silent)
                    .map(|(who, vote)| {
                        let account = self.accounts.get(&who);
                        let range = account.map(|account| may_vote(change, rule, label, account));
                        ApprovalInfo {
                            account: person(who),
                            value: Some(vote.map_or(0, |vote| vote.value)),
                            date: vote.and_then(|vote| timestamp(vote.date)),
                            tag: vote.map(|vote| vote.tag.clone()).unwrap_or_default(),
                            permitted_voting_range: range.map(|range| VotingRangeInfo {
                                min: *range.start(),
                                max: *range.end(),
                                ..VotingRangeInfo::default()
                            }),
                            ..ApprovalInfo::default()
                        }
                    })
                    .collect();
                if let (Some(viewer), false) = (viewer, change.status == ChangeStatus::Abandoned) {
                    let values = may_vote(change, rule, label, viewer);
                    let values = values.map(written).collect();
                    info.permitted_labels.insert(label.clone(), values);
                }
            }
            info.labels.insert(label.clone(), of_label);
        }
        if is_detailed {
            for (who, state) in &change.reviewers {
                info.reviewers
                    .entry(state.to_string())
                    .or_default()
                    .push(person(*who));
            }
        }
    }

    pub(super) fn messages(&self, change: &Change, is_detailed: bool) -> Vec<ChangeMessageInfo> {
        let messages = change.messages.iter().map(|message| ChangeMessageInfo {
            id: message.id.clone(),
            author: Some(self.account_info(message.author, is_detailed)),
            date: timestamp(message.date),
            message: message.text.clone(),
            tag: message.tag.clone(),
            revision_number: message.patch_set,
            accounts_in_message: (mentioned(&message.text).into_iter())
                .map(|who| self.account_info(who, is_detailed))
                .collect(),
            ..ChangeMessageInfo::default()
        });
        messages.collect()
    }

    pub(super) fn reviewer_info(&self, change: &Change, who: u64) -> ReviewerInfo {
        let approvals = self.labels.keys().map(|label| {
            let vote = change.votes.get(&(label.clone(), who));
            (label.clone(), written(vote.map_or(0, |vote| vote.value)))
        });
        ReviewerInfo {
            account: self.account_info(who, true),
            approvals: approvals.collect(),
        }
    }

    /// Comments or drafts by file, of one patch set or all.
    pub(super) fn comments(
        &self,
        comments: &[Comment],
        of: impl Fn(&Comment) -> bool,
    ) -> BTreeMap<String, Vec<CommentInfo>> {
        let mut files: BTreeMap<String, Vec<CommentInfo>> = BTreeMap::new();
        for comment in comments.iter().filter(|comment| of(comment)) {
            let mut info = comment.info.clone();
            let path = std::mem::take(&mut info.path);
            files.entry(path).or_default().push(info);
        }
        files
    }

    fn revision_info(
        &self,
        change: &Change,
        patch_set: &PatchSet,
        view: &View<'_>,
    ) -> RevisionInfo {
        let is_current = patch_set.number == change.current().number;
        let has =
            |all: &str, current: &str| view.has(&[all]) || (is_current && view.has(&[current]));
        let mut info = RevisionInfo {
            kind: "REWORK".to_owned(),
            number: crate::types::PatchSet::Number(patch_set.number),
            created: timestamp(patch_set.created),
            uploader: Some(self.account_info(patch_set.uploader, view.is_detailed())),
            git_ref: change.git_ref(patch_set.number),
            branch: full_branch(&change.branch),
            description: patch_set.description.clone(),
            ..RevisionInfo::default()
        };
        if has("ALL_COMMITS", "CURRENT_COMMIT") {
            let commit = self.commit(change, patch_set);
            info.commit = commit.map(|commit| self.commit_info(&change.project, "", commit));
        }
        if has("ALL_FILES", "CURRENT_FILES") {
            info.files = self.files(change, patch_set);
            info.files.remove("/COMMIT_MSG");
        }
        info
    }

    pub(super) fn commit_info(&self, project: &str, hash: &str, commit: &Commit) -> CommitInfo {
        let repository = self
            .projects
            .get(project)
            .map(|project| &project.repository);
        let parents = commit.parents.iter().map(|parent| CommitInfo {
            commit: parent.clone(),
            subject: repository
                .and_then(|repository| repository.get(parent))
                .map(|parent| parent.subject().to_owned())
                .unwrap_or_default(),
            ..CommitInfo::default()
        });
        let person = |name: &str, email: &str| GitPersonInfo {
            name: name.to_owned(),
            email: email.to_owned(),
            date: timestamp(commit.time),
            ..GitPersonInfo::default()
        };
        CommitInfo {
            commit: hash.to_owned(),
            parents: parents.collect(),
            author: Some(person(&commit.author, &commit.author_email)),
            committer: Some(person(&commit.committer, &commit.committer_email)),
            subject: commit.subject().to_owned(),
            message: commit.message.clone(),
            ..CommitInfo::default()
        }
    }

    fn size(&self, change: &Change, patch_set: &PatchSet) -> (u64, u64) {
        let files = self.files(change, patch_set);
        let files = files.iter().filter(|(path, _)| *path != "/COMMIT_MSG");
        files.fold((0, 0), |(more, less), (_, file)| {
            (more + file.lines_inserted, less + file.lines_deleted)
        })
    }

    /// What a patch set does to files, its message included.
    pub(super) fn files(
        &self,
        change: &Change,
        patch_set: &PatchSet,
    ) -> BTreeMap<String, FileInfo> {
        let (Some(project), Some(commit)) = (
            self.projects.get(&change.project),
            self.commit(change, patch_set),
        ) else {
            return BTreeMap::new();
        };
        let before = project.files(commit.parents.first());
        let mut files = differences(&before, &commit.files);
        let text = shown_message(project, commit);
        let message = FileInfo {
            status: Some(FileStatus::Added),
            lines_inserted: text.lines().count() as u64,
            size_delta: text.len() as i64,
            size: text.len() as u64,
            ..FileInfo::default()
        };
        files.insert("/COMMIT_MSG".to_owned(), message);
        files
    }
}

/// The message below a head of who made the commit, when, upon what.
fn shown_message(project: &Project, commit: &Commit) -> String {
    let date = timestamp(commit.time)
        .map(|time| time.to_string())
        .unwrap_or_default();
    let parent = commit.parents.first().map_or("", String::as_str);
    let subject = project.repository.get(parent).map_or("", Commit::subject);
    let Commit {
        author,
        author_email,
        committer,
        committer_email,
        message,
        ..
    } = commit;
    format!(
        "Parent:     {parent:.8} ({subject})\nAuthor:     {author} <{author_email}>\nAuthorDate: {date} +0000\n\
         Commit:     {committer} <{committer_email}>\nCommitDate: {date} +0000\n\n{message}\n"
    )
}

fn differences(before: &Files, after: &Files) -> BTreeMap<String, FileInfo> {
    let mut files = BTreeMap::new();
    let paths = before.keys().chain(after.keys());
    for path in paths.filter(|path| before.get(*path) != after.get(*path)) {
        let (old, new) = (before.get(path), after.get(path));
        let status = match (old, new) {
            (None, _) => Some(FileStatus::Added),
            (_, None) => Some(FileStatus::Deleted),
            _ => None,
        };
        let lines = |text: Option<&String>| -> Vec<String> {
            text.map(|text| text.lines().map(str::to_owned).collect())
                .unwrap_or_default()
        };
        let (old_lines, new_lines) = (lines(old), lines(new));
        let pairs = old_lines.iter().zip(&new_lines);
        let head = pairs.take_while(|(a, b)| a == b).count();
        let pairs = old_lines[head..]
            .iter()
            .rev()
            .zip(new_lines[head..].iter().rev());
        let tail = pairs.take_while(|(a, b)| a == b).count();
        let size = |text: Option<&String>| text.map_or(0, String::len) as i64;
        let info = FileInfo {
            status,
            lines_inserted: (new_lines.len() - head - tail) as u64,
            lines_deleted: (old_lines.len() - head - tail) as u64,
            size_delta: size(new) - size(old),
            size: new.map_or(0, String::len) as u64,
            old_mode: if old.is_some() { 0o100_644 } else { 0 },
            new_mode: if new.is_some() { 0o100_644 } else { 0 },
            ..FileInfo::default()
        };
        files.insert(path.clone(), info);
    }
    files
}

/// The accounts that a message stands for by number.
fn mentioned(text: &str) -> Vec<u64> {
    let parts = text.split("<GERRIT_ACCOUNT_").skip(1);
    let numbers = parts.filter_map(|part| part.split_once('>')?.0.parse().ok());
    numbers.collect()
}

/// The values that an account may give now: once the change is merged, none that is lower than the one that it gave.
fn may_vote(
    change: &Change,
    rule: &LabelRule,
    label: &str,
    account: &Account,
) -> std::ops::RangeInclusive<i32> {
    let range = rule.range(label, account);
    if change.status != ChangeStatus::Merged {
        return range;
    }
    let vote = change.votes.get(&(label.to_owned(), account.number));
    vote.map_or(0, |vote| vote.value)..=*range.end()
}

/// Who gives a label its state; the strongest says it.
fn set_score(label: &mut LabelInfo, rule: &LabelRule, value: i32, who: impl Fn() -> AccountInfo) {
    if label.approved.is_some() || label.rejected.is_some() {
        return;
    }
    if value == rule.min {
        label.rejected = Some(who());
    } else if value == rule.max {
        label.approved = Some(who());
    } else if value < 0 {
        label.disliked = Some(who());
        label.value = value;
    } else if value > 0 && label.disliked.is_none() {
        label.recommended = Some(who());
        label.value = value;
    }
}

/// Threads whose last comment is unresolved.
fn unresolved(comments: &[Comment]) -> u64 {
    let is_answered = |id: &str| comments.iter().any(|other| other.info.in_reply_to == id);
    let last = comments
        .iter()
        .filter(|comment| !is_answered(&comment.info.id));
    last.filter(|comment| comment.info.unresolved == Some(true))
        .count() as u64
}
