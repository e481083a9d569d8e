//! What comes into repositories: projects, branches, commits for review.

use std::collections::{BTreeMap, BTreeSet};

use super::git::{Commit, Files, Repository, is_file_path, is_ref_name};
use super::note::Note;
use super::state::{Change, PatchSet, Project, Refusal, State, full_branch};
use crate::types::ChangeStatus;

/// What is uploaded for review.
pub(super) struct Upload<'a> {
    pub(super) project: &'a str,
    pub(super) branch: &'a str,
    pub(super) message: &'a str,
    pub(super) change_id: Option<&'a str>,
    /// What the message ends with: git puts a newline there, the server does not.
    pub(super) end: &'static str,
    /// What becomes of files; none for a deletion.
    pub(super) files: &'a BTreeMap<String, Option<String>>,
}

impl State {
    pub(super) fn create_project(
        &mut self,
        name: &str,
        description: &str,
        with_commit: bool,
        branches: &[String],
    ) -> Result<(), Refusal> {
        let is_name = is_file_path(name) && !name.chars().any(char::is_control);
        if !is_name || name.to_ascii_lowercase().ends_with(".git") {
            return Err(Refusal::new(400, format!("invalid project name {name:?}")));
        }
        if self.projects.contains_key(name) {
            return Err(Refusal::new(
                409,
                format!("Project \"{name}\" already exists"),
            ));
        }
        let dir = self
            .folder
            .as_ref()
            .map(|folder| folder.join(format!("{name}.git")));
        let mut repository = Repository::create(dir)?;
        if with_commit {
            let commit = Commit {
                parents: Vec::new(),
                author: "Administrator".to_owned(),
                author_email: "admin@example.com".to_owned(),
                committer: "Gerrit Code Review".to_owned(),
                committer_email: "root@localhost".to_owned(),
                time: self.now(),
                message: "Initial empty repository\n".to_owned(),
                files: Files::new(),
            };
            let hash = repository.commit(commit)?;
            let branches = branches.iter().map(String::as_str);
            let names: BTreeSet<&str> = branches.chain(["master"]).collect();
            for name in names {
                repository.set_ref(&checked_branch(name)?, &hash)?;
            }
        }
        let project = Project {
            description: description.to_owned(),
            repository,
        };
        self.projects.insert(name.to_owned(), project);
        Ok(())
    }

    pub(super) fn create_branch(
        &mut self,
        project: &str,
        name: &str,
        revision: &str,
    ) -> Result<String, Refusal> {
        let full = checked_branch(name)?;
        let project = self
            .projects
            .get_mut(project)
            .ok_or_else(|| Refusal::not_found(project))?;
        if project.repository.refs().contains_key(&full) {
            return Err(Refusal::new(
                409,
                format!("Branch \"{full}\" already exists"),
            ));
        }
        let revision = if revision.is_empty() {
            "HEAD"
        } else {
            revision
        };
        let at = if revision == "HEAD" {
            "master"
        } else {
            revision
        };
        let known = project.repository.get(at).map(|_| at.to_owned());
        let hash = known.or_else(|| project.tip(at).cloned());
        let hash =
            hash.ok_or_else(|| Refusal::new(422, format!("invalid revision \"{revision}\"")))?;
        project.repository.set_ref(&full, &hash)?;
        Ok(hash)
    }

    /// Takes a commit for review and returns the change's number.
    pub(super) fn upload(&mut self, who: u64, upload: &Upload<'_>) -> Result<u64, Refusal> {
        let (change_id, message) = self.with_change_id(upload);
        let branch = upload
            .branch
            .strip_prefix("refs/heads/")
            .unwrap_or(upload.branch);
        let project = self.project(upload.project)?;
        let tip = project.tip(branch).cloned().ok_or_else(|| {
            let full = full_branch(branch);
            Refusal::new(400, format!("Destination branch does not exist {full}"))
        })?;
        let mut files = project.files(Some(&tip));
        for (path, content) in upload.files {
            if !is_file_path(path) {
                return Err(Refusal::new(400, format!("invalid path {path:?}")));
            }
            match content {
                Some(content) => files.insert(path.clone(), content.clone()),
                None => files.remove(path),
            };
        }
        if let Some(path) = files.keys().find(|path| is_folder_too(&files, path)) {
            return Err(Refusal::new(
                400,
                format!("{path:?} is a file and a folder"),
            ));
        }
        let there = (self.changes.values()).find(|change| {
            change.project == upload.project
                && change.branch == branch
                && change.change_id == change_id
        });
        let there = there.map(|change| (change.number, change.is_open()));
        if let Some((number, false)) = there {
            return Err(Refusal::new(409, format!("change {number} closed")));
        }
        let account = self.accounts.get(&who).cloned();
        let account = account.ok_or_else(|| Refusal::new(403, "Authentication required"))?;
        let now = self.now();
        let commit = Commit {
            parents: vec![tip],
            author: account.name.clone(),
            author_email: account.email.clone(),
            committer: account.name,
            committer_email: account.email,
            time: now,
            message,
            files,
        };
        let subject = commit.subject().to_owned();
        let project = self.projects.get_mut(upload.project);
        let project = project.ok_or_else(|| Refusal::not_found(upload.project))?;
        let hash = project.repository.commit(commit)?;
        let number = match there {
            Some((number, _)) => number,
            None => self.begin_change(upload.project, branch, &change_id, who, now),
        };
        let change = self.change_mut(number)?;
        let patch_set = change.patch_sets.len() as u32 + 1;
        change.patch_sets.push(PatchSet {
            number: patch_set,
            commit: hash.clone(),
            uploader: who,
            created: now,
            description: String::new(),
        });
        change.votes.clear();
        let git_ref = change.git_ref(patch_set);
        let mut note = Note::new(who, patch_set)
            .message(format!("Uploaded patch set {patch_set}."))
            .footer("Subject", &subject)
            .footer("Commit", &hash)
            .footer("Tag", "autogenerated:gerrit:newPatchSet")
            .footer("Groups", &hash);
        let mut first = format!("Create patch set {patch_set}");
        if patch_set == 1 {
            first = "Create change".to_owned();
            note = note
                .footer("Change-id", &change_id)
                .footer("Branch", full_branch(branch))
                .footer("Status", "new")
                .footer("Topic", "")
                .footer("Private", "false")
                .footer("Work-in-progress", "false");
        }
        self.repository_of(number)?.set_ref(&git_ref, &hash)?;
        self.note_as(number, note, &first)?;
        Ok(number)
    }

    fn begin_change(
        &mut self,
        project: &str,
        branch: &str,
        change_id: &str,
        owner: u64,
        now: i64,
    ) -> u64 {
        let number = self.take_change_number();
        let change = Change {
            number,
            project: project.to_owned(),
            branch: branch.to_owned(),
            change_id: change_id.to_owned(),
            owner,
            status: ChangeStatus::New,
            topic: String::new(),
            hashtags: BTreeSet::new(),
            is_private: false,
            is_wip: false,
            has_review_started: true,
            created: now,
            updated: now,
            submitted: None,
            patch_sets: Vec::new(),
            messages: Vec::new(),
            votes: BTreeMap::new(),
            reviewers: BTreeMap::new(),
            reviewer_updates: Vec::new(),
            comments: Vec::new(),
            drafts: Vec::new(),
            attention: BTreeMap::new(),
            removed_attention: BTreeMap::new(),
            meta: String::new(),
            turn: 0,
        };
        self.changes.insert(number, change);
        number
    }

    /// The footer `Change-Id`, and the message with it.
    fn with_change_id(&mut self, upload: &Upload<'_>) -> (String, String) {
        let (message, end) = (upload.message.trim_end(), upload.end);
        let footer = message
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("Change-Id: "));
        match (upload.change_id, footer) {
            (_, Some(footer)) => (footer.trim().to_owned(), format!("{message}{end}")),
            (Some(id), None) => (id.to_owned(), format!("{message}\n\nChange-Id: {id}{end}")),
            (None, None) => {
                let id = format!("I{}", self.unique_digits());
                let message = format!("{message}\n\nChange-Id: {id}{end}");
                (id, message)
            }
        }
    }
}

fn checked_branch(name: &str) -> Result<String, Refusal> {
    let full = full_branch(name);
    if is_ref_name(&full) {
        Ok(full)
    } else {
        Err(Refusal::new(400, format!("invalid branch name \"{full}\"")))
    }
}

fn is_folder_too(files: &Files, path: &str) -> bool {
    let folder = format!("{path}/");
    let next = files.range(folder.clone()..).next();
    next.is_some_and(|(path, _)| path.starts_with(&folder))
}
