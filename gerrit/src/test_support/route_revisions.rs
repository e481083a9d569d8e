//! Revisions.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};

use super::review::told_draft;
use super::route_changes::{told, without_authors, write_change};
use super::routes::{Answer, Asked, Reply, created, is_admin, json, json_with, unknown_address};
use super::state::{Refusal, State};
use crate::types::*;

pub(super) fn find_patch_set(state: &State, number: u64, id: &str) -> Result<u32, Refusal> {
    let change = state
        .changes
        .get(&number)
        .ok_or_else(|| Refusal::not_found(number))?;
    if id == "current" {
        return Ok(change.current().number);
    }
    let is_it = |one: &&super::state::PatchSet| {
        id == one.number.to_string() || (id.len() >= 4 && one.commit.starts_with(id))
    };
    let found = change.patch_sets.iter().find(is_it);
    found
        .map(|one| one.number)
        .ok_or_else(|| Refusal::not_found(id))
}

pub(super) fn revision(
    state: &mut State,
    asked: &Asked<'_>,
    number: u64,
    patch_set: u32,
    rest: &[&str],
) -> Answer {
    let is_get = asked.is(&Method::GET);
    match rest {
        ["review"] if asked.is(&Method::POST) => {
            let who = asked.who()?;
            let input: ReviewInput = asked.input()?;
            let mut result = state.review(who, number, patch_set, &input)?;
            if !result.error.is_empty() {
                return json_with(StatusCode::BAD_REQUEST, result);
            }
            result.change_info = Some(told(state, asked, number, &[])?);
            json(result)
        }
        ["review"] if is_get => {
            let more = [
                "DETAILED_LABELS",
                "DETAILED_ACCOUNTS",
                "CURRENT_REVISION",
                "CURRENT_COMMIT",
            ];
            json(told(state, asked, number, &more)?)
        }
        ["submit"] if asked.is(&Method::POST) => write_change(state, asked, number, &["submit"]),
        ["drafts"] if asked.is(&Method::PUT) => {
            let who = asked.who()?;
            created(state.draft(who, number, patch_set, None, &asked.input()?)?)
        }
        ["drafts", id] if asked.is(&Method::PUT) => {
            let who = asked.who()?;
            json(state.draft(who, number, patch_set, Some(id), &asked.input()?)?)
        }
        ["drafts", id] if asked.is(&Method::DELETE) => {
            state.delete_draft(asked.who()?, number, patch_set, id)?;
            Ok(Reply::Empty)
        }
        ["description"] if asked.is(&Method::PUT) => {
            asked.who()?;
            let text = asked.text("description")?;
            let change = state.change_mut(number)?;
            let found = change
                .patch_sets
                .iter_mut()
                .find(|one| one.number == patch_set);
            if let Some(found) = found {
                found.description.clone_from(&text);
            }
            json(text)
        }
        _ if is_get => read_revision(state, asked, number, patch_set, rest),
        _ => Err(unknown_address()),
    }
}

fn read_revision(
    state: &State,
    asked: &Asked<'_>,
    number: u64,
    patch_set: u32,
    rest: &[&str],
) -> Answer {
    let change = state
        .changes
        .get(&number)
        .ok_or_else(|| Refusal::not_found(number))?;
    let found = change.patch_sets.iter().find(|one| one.number == patch_set);
    let found = found.ok_or_else(|| Refusal::not_found(patch_set))?;
    let of_this = |one: &super::state::Comment| one.info.patch_set == patch_set;
    match rest {
        ["commit"] => {
            let commit = state
                .commit(change, found)
                .ok_or_else(|| Refusal::not_found(patch_set))?;
            json(state.commit_info(&change.project, &found.commit, commit))
        }
        ["description"] => json(&found.description),
        ["files"] => json(state.files(change, found)),
        ["files", path, "content"] => {
            let commit = state.commit(change, found);
            let content = commit.and_then(|commit| commit.files.get(*path));
            let content = content.ok_or_else(unknown_address)?;
            Ok(Reply::Raw(BASE64_STANDARD.encode(content).into()))
        }
        ["comments"] => json(state.comments(&change.comments, of_this)),
        ["comments", id] => {
            let comment = change
                .comments
                .iter()
                .find(|one| of_this(one) && one.info.id == *id);
            json(&comment.ok_or_else(|| Refusal::not_found(id))?.info)
        }
        ["drafts"] => {
            let who = asked.who()?;
            let drafts = state.comments(&change.drafts, |draft| {
                of_this(draft) && draft.author == who
            });
            json(without_authors(drafts))
        }
        ["drafts", id] => {
            let who = asked.who()?;
            let draft = change
                .drafts
                .iter()
                .find(|one| of_this(one) && one.author == who && one.info.id == *id);
            json(told_draft(draft.ok_or_else(|| Refusal::not_found(id))?))
        }
        ["mergeable"] => json(MergeableInfo {
            submit_type: "MERGE_IF_NECESSARY".to_owned(),
            strategy: "recursive".to_owned(),
            mergeable: change.is_open() && state.merged_files(change).is_some(),
            commit_merged: change.status == ChangeStatus::Merged,
            content_merged: change.status == ChangeStatus::Merged,
            ..MergeableInfo::default()
        }),
        ["submit_type"] => json("MERGE_IF_NECESSARY"),
        ["related"] => json(RelatedChangesInfo::default()),
        ["actions"] => {
            let mut actions = BTreeMap::new();
            if asked.viewer.is_some_and(|who| is_admin(state, who)) && state.is_submittable(change)
            {
                let submit = ActionInfo {
                    method: "POST".to_owned(),
                    label: "Submit".to_owned(),
                    title: format!("Submit patch set {patch_set} into {}", change.branch),
                    enabled: true,
                    ..ActionInfo::default()
                };
                actions.insert("submit", submit);
            }
            json(actions)
        }
        _ => Err(unknown_address()),
    }
}
