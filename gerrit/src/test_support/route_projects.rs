//! Accounts, projects and branches.

use std::collections::BTreeMap;

use http::Method;
use http::header::IF_NONE_MATCH;

use super::routes::{Answer, Asked, created, is_admin, json, unknown_address};
use super::state::{Refusal, State, full_branch};
use crate::types::*;

pub(super) fn accounts(state: &mut State, asked: &Asked<'_>, rest: &[&str]) -> Answer {
    let [id, rest @ ..] = rest else {
        return search_accounts(state, asked);
    };
    if asked.is(&Method::PUT) && rest.is_empty() {
        return create_account(state, asked, id);
    }
    if *id == "self" && asked.viewer.is_none() {
        return Err(Refusal::new(403, "Resolving account 'self' requires login"));
    }
    let account = state.account(id, asked.viewer);
    let account = account.ok_or_else(|| Refusal::new(404, format!("Account '{id}' not found")))?;
    match rest {
        [] | ["detail"] if asked.is(&Method::GET) => json(account.info(true)),
        ["active"] if asked.is(&Method::GET) => json("ok"),
        _ => Err(unknown_address()),
    }
}

fn create_account(state: &mut State, asked: &Asked<'_>, username: &str) -> Answer {
    if !is_admin(state, asked.who()?) {
        return Err(Refusal::new(403, "create account not permitted"));
    }
    if state.account(username, None).is_some() {
        return Err(Refusal::new(
            409,
            format!("username '{username}' already exists"),
        ));
    }
    let input: AccountInput = asked.input()?;
    let number = state.add_account(username, &input.name, &input.email, &input.http_password);
    created(state.account_info(number, true))
}

fn search_accounts(state: &State, asked: &Asked<'_>) -> Answer {
    if !asked.is(&Method::GET) {
        return Err(unknown_address());
    }
    let is_detailed = asked.values("o").iter().any(|one| one == "DETAILS");
    let query = asked.values("q").pop().unwrap_or_default();
    let word = query.trim().trim_matches('"');
    let word = word
        .strip_prefix("email:")
        .or_else(|| word.strip_prefix("username:"))
        .unwrap_or(word);
    let word = word.trim_matches('"').to_lowercase();
    let is_found = |text: &str| {
        text.to_lowercase()
            .split([' ', '.', '@'])
            .any(|part| part.starts_with(&word))
            || text.to_lowercase() == word
    };
    let found = (state.accounts.values())
        .filter(|one| is_found(&one.username) || is_found(&one.name) || is_found(&one.email))
        .map(|one| one.info(is_detailed));
    json(found.collect::<Vec<_>>())
}

pub(super) fn projects(state: &mut State, asked: &Asked<'_>, rest: &[&str]) -> Answer {
    let is_get = asked.is(&Method::GET);
    match rest {
        [] if is_get => {
            let all = state.projects.keys().map(|name| {
                let mut info = state.project_info(name);
                info.name.clear();
                info.labels.clear();
                info.parent.clear();
                info.description.clear();
                (name.clone(), info)
            });
            json(all.collect::<BTreeMap<_, _>>())
        }
        [name] if asked.is(&Method::PUT) => {
            if !is_admin(state, asked.who()?) {
                return Err(Refusal::new(403, "create project not permitted"));
            }
            if state.projects.contains_key(*name) && asked.headers.contains_key(IF_NONE_MATCH) {
                return Err(Refusal::new(
                    412,
                    format!("Project \"{name}\" already exists"),
                ));
            }
            let input: ProjectInput = asked.input()?;
            state.create_project(
                name,
                &input.description,
                input.create_empty_commit,
                &input.branches,
            )?;
            created(state.project_info(name))
        }
        [name] if is_get => {
            state.project(name)?;
            json(state.project_info(name))
        }
        [name, "description"] if is_get => json(&state.project(name)?.description),
        [name, "HEAD"] if is_get => state.project(name).and_then(|_| json("refs/heads/master")),
        [name, "branches"] if is_get => {
            let project = state.project(name)?;
            let head = project
                .tip("master")
                .map(|_| ("HEAD".to_owned(), "master".to_owned()));
            let heads = project.repository.refs().iter();
            let heads = heads.filter(|(git_ref, _)| git_ref.starts_with("refs/heads/"));
            let heads = heads.map(|(git_ref, hash)| (git_ref.clone(), hash.clone()));
            let branches = head
                .into_iter()
                .chain(heads)
                .map(|(git_ref, revision)| branch_info(state, asked, git_ref, revision));
            json(branches.collect::<Vec<_>>())
        }
        [name, "branches", branch] if is_get => {
            let tip = state.project(name)?.tip(branch).cloned();
            let tip = tip.ok_or_else(|| Refusal::not_found(branch))?;
            json(branch_info(state, asked, full_branch(branch), tip))
        }
        [name, "branches", branch] if asked.is(&Method::PUT) => {
            if !is_admin(state, asked.who()?) {
                return Err(Refusal::new(403, "create not permitted"));
            }
            let input: BranchInput = asked.input()?;
            let hash = state.create_branch(name, branch, &input.revision)?;
            created(branch_info(state, asked, full_branch(branch), hash))
        }
        _ => Err(unknown_address()),
    }
}

fn branch_info(state: &State, asked: &Asked<'_>, git_ref: String, revision: String) -> BranchInfo {
    let is_head = matches!(git_ref.as_str(), "HEAD" | "refs/heads/master");
    BranchInfo {
        can_delete: !is_head && asked.viewer.is_some_and(|who| is_admin(state, who)),
        git_ref,
        revision,
        ..BranchInfo::default()
    }
}
