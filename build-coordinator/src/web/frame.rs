use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};

use crate::web::caller::{Caller, Who};
use crate::web::failure::Failure;
use crate::web::site::Shared;

/// What all pages have around their content.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) brand: String,
    pub(super) title: String,
    pub(super) here: &'static str,
    pub(super) account: Account,
    pub(super) may_change: bool,
    pub(super) csrf: String,
    /// Whether the page keeps itself up to date.
    pub(super) refreshes: bool,
    pub(super) version: &'static str,
}

/// Who is signed in.
#[derive(Clone, Debug)]
pub(super) enum Account {
    /// Nobody needs to.
    None,
    Anonymous,
    Named(String),
}

pub(super) struct Link {
    pub(super) href: &'static str,
    pub(super) name: &'static str,
    pub(super) is_here: bool,
}

const LINKS: [(&str, &str); 6] = [
    ("/", "Status"),
    ("/dashboard", "Dashboard"),
    ("/builds", "Builds"),
    ("/queue", "Queue"),
    ("/machines", "Machines"),
    ("/builders", "Builders"),
];

impl Frame {
    pub(super) fn new(
        site: &Shared,
        caller: &Caller,
        here: &'static str,
        title: impl Into<String>,
    ) -> Self {
        Self {
            brand: site.config.name.clone(),
            title: title.into(),
            here,
            account: match &caller.who {
                Who::Local => Account::None,
                Who::Anonymous => Account::Anonymous,
                Who::Holder(identity) => Account::Named(identity.name.clone()),
            },
            may_change: caller.may_change(),
            csrf: caller.csrf.clone(),
            refreshes: false,
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// For a page whose content changes by itself.
    pub(super) fn refreshing(mut self) -> Self {
        self.refreshes = true;
        self
    }

    pub(super) fn links(&self) -> impl Iterator<Item = Link> {
        LINKS.into_iter().map(|(href, name)| Link {
            href,
            name,
            is_here: href == self.here,
        })
    }
}

/// A page as an answer.
pub(super) fn page(template: &impl Template) -> Result<Response, Failure> {
    Ok(Html(template.render()?).into_response())
}
