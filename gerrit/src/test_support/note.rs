//! The commits of `NoteDb` that tell what was done to a change.

use super::git::{Commit, Files, Repository};
use super::state::{Change, Message, Refusal, SERVER_ID, State, ident};

/// The order in which `NoteDb` writes its footers.
const FOOTERS: &[&str] = &[
    "Patch-set",
    "Change-id",
    "Subject",
    "Branch",
    "Status",
    "Topic",
    "Commit",
    "Hashtags",
    "Tag",
    "Groups",
    "Reviewer",
    "CC",
    "Removed",
    "Label",
    "Submission-id",
    "Submitted-with",
    "Private",
    "Work-in-progress",
    "Attention",
];

/// One step in the life of a change.
pub(super) struct Note {
    who: u64,
    patch_set: u32,
    message: String,
    footers: Vec<(&'static str, String)>,
}

impl Note {
    pub(super) fn new(who: u64, patch_set: u32) -> Self {
        Self {
            who,
            patch_set,
            message: String::new(),
            footers: Vec::new(),
        }
    }

    pub(super) fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Adds a footer. What would begin another line becomes a space.
    pub(super) fn footer(mut self, key: &'static str, value: impl AsRef<str>) -> Self {
        let value = value.as_ref().replace(['\n', '\r'], " ");
        self.footers.push((key, value));
        self
    }

    pub(super) fn tag(self, tag: &str) -> Self {
        if tag.is_empty() {
            return self;
        }
        self.footer("Tag", tag)
    }

    fn is_empty(&self) -> bool {
        self.message.is_empty() && self.footers.is_empty()
    }

    fn text(mut self, first: &str) -> String {
        let place = |key: &str| FOOTERS.iter().position(|footer| *footer == key);
        self.footers.sort_by_key(|(key, _)| place(key));
        let mut text = format!("{first}\n\n");
        if !self.message.is_empty() {
            text += &format!("{}\n\n", self.message.trim_end());
        }
        text += &format!("Patch-set: {}\n", self.patch_set);
        for (key, value) in &self.footers {
            text += &format!("{key}: {value}\n");
        }
        text
    }
}

/// Whether somebody's turn comes or goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Comes,
    Goes,
}

impl Change {
    /// Changes whose turn it is, and returns the footer, if it was otherwise.
    pub(super) fn set_turn(
        &mut self,
        who: u64,
        turn: Turn,
        reason: &str,
        now: i64,
    ) -> Option<String> {
        let entry = (now, reason.to_owned());
        let operation = match turn {
            Turn::Comes if self.attention.contains_key(&who) => return None,
            Turn::Goes if !self.attention.contains_key(&who) => return None,
            Turn::Comes => {
                self.removed_attention.remove(&who);
                self.attention.insert(who, entry);
                "ADD"
            }
            Turn::Goes => {
                self.attention.remove(&who);
                self.removed_attention.insert(who, entry);
                "REMOVE"
            }
        };
        let footer = serde_json::json!({
            "person_ident": ident(who),
            "operation": operation,
            "reason": reason,
        });
        Some(
            footer
                .to_string()
                .replace('<', "\\u003c")
                .replace('>', "\\u003e"),
        )
    }

    /// Nobody's turn any more.
    pub(super) fn clear_turns(&mut self, reason: &str, now: i64) -> Vec<String> {
        let everybody: Vec<u64> = self.attention.keys().copied().collect();
        let clear = |who| self.set_turn(who, Turn::Goes, reason, now);
        everybody.into_iter().filter_map(clear).collect()
    }
}

impl State {
    pub(super) fn change_mut(&mut self, number: u64) -> Result<&mut Change, Refusal> {
        (self.changes.get_mut(&number)).ok_or_else(|| Refusal::not_found(number))
    }

    pub(super) fn repository_of(&mut self, number: u64) -> Result<&mut Repository, Refusal> {
        let change = self
            .changes
            .get(&number)
            .ok_or_else(|| Refusal::not_found(number))?;
        let project = self.projects.get_mut(&change.project);
        Ok(&mut project
            .ok_or_else(|| Refusal::not_found(&change.project))?
            .repository)
    }

    /// Writes a step to `NoteDb`, and its message to the change, if there is anything to tell. Returns the message's id.
    pub(super) fn note(&mut self, number: u64, note: Note) -> Result<String, Refusal> {
        if note.is_empty() {
            return Ok(String::new());
        }
        let first = format!("Update patch set {}", note.patch_set);
        self.note_as(number, note, &first)
    }

    pub(super) fn note_as(
        &mut self,
        number: u64,
        note: Note,
        first: &str,
    ) -> Result<String, Refusal> {
        let time = self.now();
        // Counts up with everything that happens.
        let turn = self.next_turn();
        let change = self
            .changes
            .get(&number)
            .ok_or_else(|| Refusal::not_found(number))?;
        let (who, patch_set, message) = (note.who, note.patch_set, note.message.clone());
        let tag = note.footers.iter().find(|(key, _)| *key == "Tag");
        let tag = tag.map(|(_, tag)| tag.clone()).unwrap_or_default();
        let commit = Commit {
            parents: (!change.meta.is_empty())
                .then(|| change.meta.clone())
                .into_iter()
                .collect(),
            author: format!("Gerrit User {who}"),
            author_email: format!("{who}@{SERVER_ID}"),
            committer: "Gerrit Code Review".to_owned(),
            committer_email: "root@localhost".to_owned(),
            time,
            message: note.text(first),
            files: Files::new(),
        };
        let git_ref = change.git_ref("meta");
        let repository = self.repository_of(number)?;
        let hash = repository.commit(commit)?;
        repository.set_ref(&git_ref, &hash)?;
        let change = self.change_mut(number)?;
        change.meta.clone_from(&hash);
        change.updated = time;
        change.turn = turn;
        if !message.is_empty() {
            change.messages.push(Message {
                id: hash.clone(),
                author: who,
                date: time,
                text: message,
                tag,
                patch_set,
            });
        }
        Ok(hash)
    }
}
