//! What GitHub's interface says of issues, labels and milestones.

use std::collections::HashMap;

use crate::sync::github::Tolerated;
use crate::sync::github::json::Fields;
use crate::time::Time;

/// A user. The id is positive; the login is empty if it was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) id: i64,
    pub(super) login: String,
}

/// A label. The id is positive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) id: i64,
    pub(super) name: String,
}

/// A milestone. The id is positive; the number is 0 and the title empty if they were not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Milestone {
    pub(super) id: i64,
    pub(super) number: i32,
    pub(super) title: String,
    pub(super) closed: Option<bool>,
}

/// An issue or pull request. `None` is what was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Issue {
    pub(super) number: i32,
    pub(super) user: Option<User>,
    pub(super) created: Option<Time>,
    pub(super) updated: Option<Time>,
    pub(super) closed: Option<bool>,
    pub(super) closed_at: Option<Time>,
    pub(super) closed_by: Option<User>,
    pub(super) locked: Option<bool>,
    pub(super) title: Option<String>,
    pub(super) body: Option<String>,
    pub(super) milestone: Option<Option<Milestone>>,
    pub(super) assignees: Option<Vec<User>>,
    pub(super) labels: Option<Vec<Label>>,
    pub(super) pull_request: bool,
    /// The address of its repository.
    pub(super) repository_url: Option<String>,
}

/// A comment that can be kept: it has an id and a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comment {
    pub(super) id: i64,
    pub(super) user: Option<User>,
    pub(super) created: Option<Time>,
    pub(super) updated: Option<Time>,
    pub(super) body: String,
}

pub(super) fn user(parent: &mut Fields, key: &str) -> Option<User> {
    let mut fields = parent.object(key)?;
    let user = user_of(&mut fields);
    parent.absorb(&fields);
    user
}

fn user_of(fields: &mut Fields) -> Option<User> {
    let login = fields.text("login").unwrap_or_default();
    Some(User {
        id: fields.id()?,
        login,
    })
}

pub(super) fn label(mut fields: Fields, tolerated: &mut Tolerated) -> Option<Label> {
    let name = fields.text("name").unwrap_or_default();
    let id = fields.id();
    tolerated.fields += fields.wrong();
    tolerated.elements += u64::from(id.is_none());
    Some(Label { id: id?, name })
}

pub(super) fn milestone(mut fields: Fields, tolerated: &mut Tolerated) -> Option<Milestone> {
    let number = fields
        .int("number")
        .and_then(|number| i32::try_from(number).ok());
    let title = fields.text("title").unwrap_or_default();
    let closed = closed(&mut fields);
    let id = fields.id();
    tolerated.fields += fields.wrong();
    tolerated.elements += u64::from(id.is_none());
    Some(Milestone {
        id: id?,
        number: number.unwrap_or_default(),
        title,
        closed,
    })
}

fn closed(fields: &mut Fields) -> Option<bool> {
    match fields.text("state")?.as_str() {
        "open" => Some(false),
        "closed" => Some(true),
        _ => None,
    }
}

/// `None` without a number.
pub(super) fn issue(mut fields: Fields, tolerated: &mut Tolerated) -> Option<Issue> {
    let number = fields.int("number");
    let number = number
        .and_then(|number| i32::try_from(number).ok())
        .filter(|&number| number > 0);
    let Some(number) = number else {
        tolerated.elements += 1;
        return None;
    };
    let milestone_is_none = fields.is_null("milestone");
    let milestone = match fields.object("milestone") {
        Some(fields) => milestone(fields, tolerated).map(Some),
        None => milestone_is_none.then_some(None),
    };
    let assignees = fields.objects("assignees").map(|list| {
        let mut users = Vec::with_capacity(list.len());
        for mut user in list {
            match user_of(&mut user) {
                Some(user) => users.push(user),
                None => tolerated.elements += 1,
            }
            fields.absorb(&user);
        }
        users
    });
    let labels = fields.objects("labels").map(|list| {
        let labels = list
            .into_iter()
            .filter_map(|fields| label(fields, tolerated));
        labels.collect()
    });
    // Who wrote nothing has a text of `null`.
    let body_is_none = fields.is_null("body");
    let issue = Issue {
        number,
        user: user(&mut fields, "user"),
        created: fields.time("created_at"),
        updated: fields.time("updated_at"),
        closed: closed(&mut fields),
        closed_at: fields.time("closed_at"),
        closed_by: user(&mut fields, "closed_by"),
        locked: fields.flag("locked"),
        title: fields.text("title"),
        body: fields
            .text("body")
            .or_else(|| body_is_none.then(String::new)),
        milestone,
        assignees,
        labels,
        pull_request: fields.has("pull_request") && !fields.is_null("pull_request"),
        repository_url: fields.text("repository_url"),
    };
    tolerated.fields += fields.wrong();
    Some(issue)
}

/// Calls who has several logins on a page by the first of them, as each would be news of the others, again and again.
pub(super) fn settle_logins(page: &mut [Issue]) {
    let mut logins: HashMap<i64, String> = HashMap::new();
    for issue in page {
        let one = issue.user.iter_mut().chain(&mut issue.closed_by);
        for user in one.chain(issue.assignees.iter_mut().flatten()) {
            if user.login.is_empty() {
                continue;
            }
            let login = logins.entry(user.id).or_insert_with(|| user.login.clone());
            if user.login != *login {
                user.login.clone_from(login);
            }
        }
    }
}

/// `None` without an id or a text.
pub(super) fn comment(mut fields: Fields, tolerated: &mut Tolerated) -> Option<Comment> {
    let id = fields.id();
    let user = user(&mut fields, "user");
    let (created, updated) = (fields.time("created_at"), fields.time("updated_at"));
    let body = fields.text("body");
    tolerated.fields += fields.wrong();
    let (Some(id), Some(body)) = (id, body) else {
        tolerated.elements += 1;
        return None;
    };
    Some(Comment {
        id,
        user,
        created,
        updated,
        body,
    })
}
