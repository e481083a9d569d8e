//! Changes, and who has to do with them.

use std::collections::BTreeMap;

use http::{Method, StatusCode};

use super::note::Turn;
use super::render::View;
use super::route_revisions::{find_patch_set, revision};
use super::routes::{Answer, Asked, Reply, created, is_admin, json, json_with, unknown_address};
use super::state::{Change, Refusal, State};
use super::upload::Upload;
use crate::types::*;

/// How many changes a search gives at once, unless less is asked for.
const PAGE: usize = 500;

pub(super) fn query_changes(state: &State, asked: &Asked<'_>) -> Answer {
    let queries = asked.values("q");
    let (options, start) = (asked.values("o"), asked.number("S")?.unwrap_or(0));
    let limit = asked
        .number("n")?
        .filter(|limit| *limit > 0)
        .unwrap_or(PAGE)
        .min(PAGE);
    let view = View {
        viewer: asked.viewer,
        options: &options,
    };
    let page = |query: &str| -> Result<Vec<ChangeInfo>, Refusal> {
        let found = state.search(query, asked.viewer)?;
        let has_more = found.len() > start.saturating_add(limit);
        let page = found.into_iter().skip(start).take(limit);
        let mut page: Vec<ChangeInfo> = page.map(|one| state.change_info(one, &view)).collect();
        for info in &mut page {
            // It is not in the index.
            info.meta_rev_id.clear();
        }
        if let Some(last) = page.last_mut() {
            last.more_changes = has_more;
        }
        Ok(page)
    };
    match queries.as_slice() {
        [] => json(page("status:open")?),
        [query] => json(page(query)?),
        queries => json(
            queries
                .iter()
                .map(|query| page(query))
                .collect::<Result<Vec<_>, _>>()?,
        ),
    }
}

pub(super) fn create_change(state: &mut State, asked: &Asked<'_>) -> Answer {
    let who = asked.who()?;
    let input: ChangeInput = asked.input()?;
    if input.subject.trim().is_empty() {
        return Err(Refusal::new(400, "commit message must be non-empty"));
    }
    if !state.projects.contains_key(&input.project) {
        return Err(Refusal::new(
            422,
            format!("Project Not Found: {}", input.project),
        ));
    }
    let upload = Upload {
        project: &input.project,
        branch: &input.branch,
        message: &input.subject,
        change_id: None,
        end: "",
        files: &BTreeMap::new(),
    };
    let number = state.upload(who, &upload)?;
    state.set_topic(who, number, &input.topic)?;
    if input.is_private {
        state.set_private(who, number, true, "")?;
    }
    if input.work_in_progress {
        state.set_wip(who, number, true, "")?;
    }
    created(told(state, asked, number, &[])?)
}

/// The number of the change that `id` names and `viewer` may see.
pub(super) fn find_change(state: &State, id: &str, viewer: Option<u64>) -> Result<u64, Refusal> {
    let is_named = |change: &&Change| {
        let Change {
            number,
            project,
            branch,
            change_id,
            ..
        } = *change;
        id == number.to_string()
            || id == format!("{project}~{number}")
            || id == change_id
            || id == format!("{project}~{branch}~{change_id}")
    };
    let visible = state
        .changes
        .values()
        .filter(|change| change.is_visible(viewer));
    let found: Vec<&Change> = visible.filter(is_named).collect();
    match found.as_slice() {
        [] => Err(Refusal::not_found(id)),
        [one] => Ok(one.number),
        _ => Err(Refusal::new(
            404,
            format!("Multiple changes found for {id}"),
        )),
    }
}

/// Drafts are their reader's.
pub(super) fn without_authors(
    mut drafts: BTreeMap<String, Vec<CommentInfo>>,
) -> BTreeMap<String, Vec<CommentInfo>> {
    for draft in drafts.values_mut().flatten() {
        draft.author = None;
    }
    drafts
}

pub(super) fn told(
    state: &State,
    asked: &Asked<'_>,
    number: u64,
    more: &[&str],
) -> Result<ChangeInfo, Refusal> {
    let change = state
        .changes
        .get(&number)
        .ok_or_else(|| Refusal::not_found(number))?;
    let mut options = asked.values("o");
    options.extend(more.iter().map(|one| (*one).to_owned()));
    let view = View {
        viewer: asked.viewer,
        options: &options,
    };
    Ok(state.change_info(change, &view))
}

pub(super) fn change(state: &mut State, asked: &Asked<'_>, number: u64, rest: &[&str]) -> Answer {
    match rest {
        ["revisions", id, rest @ ..] => {
            let patch_set = find_patch_set(state, number, id)?;
            revision(state, asked, number, patch_set, rest)
        }
        ["reviewers" | "attention", ..] => people(state, asked, number, rest),
        _ if asked.is(&Method::GET) => read_change(state, asked, number, rest),
        _ => write_change(state, asked, number, rest),
    }
}

fn read_change(state: &State, asked: &Asked<'_>, number: u64, rest: &[&str]) -> Answer {
    let change = state
        .changes
        .get(&number)
        .ok_or_else(|| Refusal::not_found(number))?;
    match rest {
        [] => json(told(state, asked, number, &[])?),
        ["detail"] => {
            let more = [
                "LABELS",
                "DETAILED_LABELS",
                "DETAILED_ACCOUNTS",
                "MESSAGES",
                "REVIEWER_UPDATES",
            ];
            json(told(state, asked, number, &more)?)
        }
        ["comments"] => json(state.comments(&change.comments, |_| true)),
        ["drafts"] => {
            let who = asked.who()?;
            json(without_authors(
                state.comments(&change.drafts, |draft| draft.author == who),
            ))
        }
        ["messages"] => json(state.messages(change, true)),
        ["message"] => {
            let commit = state.commit(change, change.current());
            let commit = commit.ok_or_else(|| Refusal::not_found(number))?;
            let footers = commit.message.lines().skip(1);
            let footers = footers
                .filter_map(|line| line.split_once(": "))
                .filter(|(key, _)| !key.contains(' '));
            json(CommitMessageInfo {
                subject: commit.subject().to_owned(),
                full_message: commit.message.clone(),
                footers: footers
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect(),
                ..CommitMessageInfo::default()
            })
        }
        ["topic"] => json(&change.topic),
        ["hashtags"] => json(&change.hashtags),
        // None is there.
        ["edit"] => Ok(Reply::Empty),
        ["submitted_together"] => {
            let changes = vec![told(state, asked, number, &[])?];
            json(SubmittedTogetherInfo {
                changes,
                ..SubmittedTogetherInfo::default()
            })
        }
        _ => Err(unknown_address()),
    }
}

pub(super) fn write_change(
    state: &mut State,
    asked: &Asked<'_>,
    number: u64,
    rest: &[&str],
) -> Answer {
    let who = asked.who()?;
    let owner = state.change_mut(number)?.owner;
    let permit = |what: &str| match who == owner || is_admin(state, who) {
        true => Ok(()),
        false => Err(Refusal::new(403, format!("{what} not permitted"))),
    };
    let (is_post, is_delete) = (asked.is(&Method::POST), asked.is(&Method::DELETE));
    match rest {
        [] if is_delete => {
            permit("delete")?;
            state.delete_change(number)?;
            return Ok(Reply::Empty);
        }
        ["abandon"] if is_post => {
            permit("abandon")?;
            state.set_status(
                who,
                number,
                ChangeStatus::Abandoned,
                &asked.text("message")?,
            )?;
        }
        ["restore"] if is_post => {
            permit("restore")?;
            state.set_status(who, number, ChangeStatus::New, &asked.text("message")?)?;
        }
        ["submit"] if is_post => {
            if !is_admin(state, who) {
                return Err(Refusal::new(403, "submit not permitted"));
            }
            state.submit(who, number)?;
        }
        [state_word @ ("wip" | "ready")] if is_post => {
            permit("toggle work in progress state")?;
            state.set_wip(who, number, *state_word == "wip", &asked.text("message")?)?;
            return json("");
        }
        ["private"] if is_post => {
            permit("set private")?;
            let is_new = state.set_private(who, number, true, &asked.text("message")?)?;
            return if is_new { created("") } else { json("") };
        }
        ["private.delete"] if is_post => {
            permit("unset private")?;
            if !state.set_private(who, number, false, &asked.text("message")?)? {
                return Err(Refusal::new(409, "change is not private"));
            }
            return Ok(Reply::Empty);
        }
        ["topic"] if asked.is(&Method::PUT) => {
            permit("edit topic name")?;
            let topic = asked.text("topic")?;
            state.set_topic(who, number, topic.trim())?;
            return if topic.trim().is_empty() {
                Ok(Reply::Empty)
            } else {
                json(topic.trim())
            };
        }
        ["topic"] if is_delete => {
            permit("edit topic name")?;
            state.set_topic(who, number, "")?;
            return Ok(Reply::Empty);
        }
        ["hashtags"] if is_post => {
            permit("edit hashtags")?;
            let input: HashtagsInput = asked.input()?;
            return json(state.set_hashtags(who, number, &input.add, &input.remove)?);
        }
        _ => return Err(unknown_address()),
    }
    json(told(state, asked, number, &[])?)
}

/// Reviewers, votes and the attention set.
fn people(state: &mut State, asked: &Asked<'_>, number: u64, rest: &[&str]) -> Answer {
    let is_get = asked.is(&Method::GET);
    let whom = |state: &State, id: &str| {
        let account = state
            .account(id, asked.viewer)
            .map(|account| account.number);
        account.ok_or_else(|| Refusal::not_found(id))
    };
    let change = state.change_mut(number)?;
    match rest {
        ["reviewers"] if is_get => {
            let people: Vec<u64> = change.reviewers.keys().copied().collect();
            let change = &state.changes[&number];
            json(
                people
                    .into_iter()
                    .map(|who| state.reviewer_info(change, who))
                    .collect::<Vec<_>>(),
            )
        }
        ["reviewers"] if asked.is(&Method::POST) => {
            let who = asked.who()?;
            let result = state.add_reviewer(who, number, &asked.input()?)?;
            match result.error.is_empty() {
                true => json(result),
                false => json_with(StatusCode::BAD_REQUEST, result),
            }
        }
        ["reviewers", id, rest @ ..] => {
            let whom = whom(state, id)?;
            let change = &state.changes[&number];
            if !change.reviewers.contains_key(&whom) {
                return Err(Refusal::not_found(id));
            }
            match rest {
                [] if is_get => json([state.reviewer_info(change, whom)]),
                ["votes"] if is_get => {
                    let votes = state.labels.keys().map(|label| {
                        let vote = change.votes.get(&(label.clone(), whom));
                        (label, vote.map_or(0, |vote| vote.value))
                    });
                    json(votes.collect::<BTreeMap<_, _>>())
                }
                [] | ["delete"] if !is_get => {
                    may_remove(state, asked.who()?, whom, number)?;
                    state.remove_reviewer(asked.who()?, number, whom)?;
                    Ok(Reply::Empty)
                }
                ["votes", label] | ["votes", label, "delete"] if !is_get => {
                    may_remove(state, asked.who()?, whom, number)?;
                    state.delete_vote(asked.who()?, number, whom, label)?;
                    Ok(Reply::Empty)
                }
                _ => Err(unknown_address()),
            }
        }
        ["attention"] if is_get => {
            let info = told(state, asked, number, &["DETAILED_ACCOUNTS"])?;
            json(info.attention_set.into_values().collect::<Vec<_>>())
        }
        ["attention"] if asked.is(&Method::POST) => {
            json(state.set_turn(asked.who()?, number, &asked.input()?, Turn::Comes)?)
        }
        ["attention", id] | ["attention", id, "delete"] if !is_get => {
            let mut input: AttentionSetInput = asked.input()?;
            if input.user.is_empty() {
                (*id).clone_into(&mut input.user);
            }
            state.set_turn(asked.who()?, number, &input, Turn::Goes)?;
            Ok(Reply::Empty)
        }
        _ => Err(unknown_address()),
    }
}

fn may_remove(state: &State, who: u64, whom: u64, number: u64) -> Result<(), Refusal> {
    let is_owner = state
        .changes
        .get(&number)
        .is_some_and(|change| change.owner == who);
    if who == whom || is_owner || is_admin(state, who) {
        return Ok(());
    }
    Err(Refusal::new(403, "remove reviewer not permitted"))
}
