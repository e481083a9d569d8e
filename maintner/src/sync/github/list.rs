//! The list of issues, and the names of labels and milestones.

use std::collections::HashSet;

use http::header::ETAG;
use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

use crate::leader::{SourceError, Wake};
use crate::mutation::pb;
use crate::sync::github::client::{Answer, Want};
use crate::sync::github::error::GithubError;
use crate::sync::github::json::Fields;
use crate::sync::github::source::{Page, Session};
use crate::sync::github::{json, link, model, plan};
use crate::view::Issue;

/// A list with more pages than this has no end: a million issues.
const MAX_PAGES: u32 = 10_000;
/// Numbers above this are none: no repository has ten million issues, and all numbers below an issue's would be asked for.
const MAX_NUMBER: i32 = 10_000_000;
/// With so many numbers missing it is quicker to read on in the list than to ask for each.
const MANY: usize = 100;
/// Pages whose tags are kept.
const MAX_TAGS: usize = 1000;

impl Session<'_> {
    /// Takes over what the list has that is new: newest first, until a page has nothing.
    ///
    /// When that is interrupted after newer issues were written and before older ones were, the next list would seem to have nothing new on
    /// its first page. Therefore, until one list was taken in full, a page ends it only if the parts of all its issues are known too: these
    /// are asked for after the list.
    pub(super) async fn list(&mut self, wake: Wake) -> Result<(), SourceError> {
        let first_path = self.path(&list_path(None));
        let walks = self.walk_is_due();
        let was_taken = std::mem::take(&mut self.source.state.list_taken);
        let mut seen = HashSet::new();
        let mut first = None;
        let mut next = None;
        for page in 0.. {
            let path = self.path(&list_path(next.as_deref()));
            if page == MAX_PAGES {
                let (url, pages) = (path, MAX_PAGES);
                return Err(GithubError::Endless { url, pages }.into());
            }
            let before = (page == 0 && wake != Wake::Hint && !walks)
                .then(|| self.source.state.pages.get(&path).cloned())
                .flatten();
            let answer = self
                .get(&path, Want::List, before.as_ref().map(|page| &page.etag))
                .await?;
            let (settled, onward) = if answer.status == StatusCode::NOT_MODIFIED {
                (true, before.and_then(|page| page.next))
            } else {
                if answer.is_gone() {
                    return Err(self.no_list(&answer).into());
                }
                if answer.moved && page == 0 {
                    self.current_name().await?;
                }
                let onward = next_page(&answer);
                if page == 0 {
                    first = tagged(&answer, onward.clone());
                }
                (self.take_page(&answer, was_taken, &mut seen).await?, onward)
            };
            let Some(onward) = onward else {
                self.source.state.exhausted = true;
                if walks {
                    self.end_walk(&seen);
                }
                break;
            };
            if next.as_ref() == Some(&onward) {
                let url = path;
                return Err(GithubError::Endless { url, pages: page }.into());
            }
            if settled && !walks && !self.is_full_of_gaps() {
                break;
            }
            next = Some(onward);
        }
        if walks && !self.asked_for_names {
            self.names().await?;
        }
        // Only now, as nothing of this list is missing any more.
        self.source.state.list_taken = true;
        if let Some(first) = first {
            self.keep_tag(first_path, first);
        }
        Ok(())
    }

    /// Writes what a page of issues has that is new. Tells whether there was nothing, and nothing older can be missing.
    async fn take_page(
        &mut self,
        answer: &Answer,
        was_taken: bool,
        seen: &mut HashSet<i32>,
    ) -> Result<bool, SourceError> {
        let page = json::page(&answer.body, &mut self.tolerated).unwrap_or_default();
        let told = page
            .into_iter()
            .filter_map(|fields| model::issue(fields, &mut self.tolerated));
        let mut told: Vec<_> = told.collect();
        let mut numbers = HashSet::new();
        let all = told.len();
        told.retain(|issue| issue.number <= MAX_NUMBER && numbers.insert(issue.number));
        self.tolerated.elements += (all - told.len()) as u64;
        model::settle_logins(&mut told);
        seen.extend(&numbers);

        let name = self.source.name.clone();
        let view = self.leader.view();
        let planned = told
            .iter()
            .filter_map(|told| plan::issue(&name, self.issue(&view, told.number), told));
        let planned: Vec<_> = planned.collect();
        drop(view);
        let is_news = !planned.is_empty();
        if is_news && !self.asked_for_names {
            self.names().await?;
        }
        self.append(planned).await?;
        let view = self.leader.view();
        let mut known = numbers
            .iter()
            .filter_map(|&number| self.issue(&view, number));
        Ok(!is_news && (was_taken || known.all(is_complete)))
    }

    fn no_list(&mut self, answer: &Answer) -> GithubError {
        // Whoever has the new name now, the old one is what was asked for.
        self.source.state.renamed = None;
        let repo = self.source.name.to_string();
        match answer.status {
            StatusCode::GONE => GithubError::IssuesDisabled { repo },
            status => GithubError::NoRepository { repo, status },
        }
    }

    /// Whether so many issues are missing that the rest of the list is the way to them.
    fn is_full_of_gaps(&self) -> bool {
        let view = self.leader.view();
        let missing = self
            .repo(&view)
            .into_iter()
            .flat_map(|repo| repo.missing_issues());
        !self.source.state.exhausted && missing.take(MANY).count() == MANY
    }

    fn walk_is_due(&mut self) -> bool {
        let every = self.source.walk_every;
        let walked = self.source.state.walked.get_or_insert_with(Instant::now);
        walked.elapsed() >= every
    }

    /// What is known here and was not in the whole list may be gone, or was updated while the list was read.
    fn end_walk(&mut self, seen: &HashSet<i32>) {
        let view = self.leader.view();
        let known = self.repo(&view).into_iter().flat_map(|repo| repo.issues());
        let unseen = known.filter(|issue| !issue.not_exist() && !seen.contains(&issue.number()));
        let doubtful = unseen
            .map(|issue| issue.number())
            .filter(|&number| number > 0)
            .collect();
        let state = &mut self.source.state;
        state.doubtful = doubtful;
        state.hopeless.clear();
        state.walked = Some(Instant::now());
    }

    /// Brings labels and milestones up to date, once a round.
    async fn names(&mut self) -> Result<(), SourceError> {
        self.name_pages("milestones?page=1&state=all", |sync, page| {
            let told = page
                .into_iter()
                .filter_map(|fields| model::milestone(fields, &mut sync.tolerated));
            let told: Vec<_> = told.collect();
            let view = sync.leader.view();
            plan::milestones(&sync.source.name, sync.repo(&view), &told)
        })
        .await?;
        self.name_pages("labels?page=1", |sync, page| {
            let told = page
                .into_iter()
                .filter_map(|fields| model::label(fields, &mut sync.tolerated));
            let told: Vec<_> = told.collect();
            let view = sync.leader.view();
            plan::labels(&sync.source.name, sync.repo(&view), &told)
        })
        .await?;
        self.asked_for_names = true;
        Ok(())
    }

    async fn name_pages(
        &mut self,
        first: &str,
        plan: impl Fn(&mut Self, Vec<Fields>) -> Option<pb::Mutation>,
    ) -> Result<(), SourceError> {
        let mut rest = first.to_owned();
        for _ in 0..MAX_PAGES {
            let path = self.path(&rest);
            let before = self.source.state.pages.get(&path).cloned();
            let answer = self
                .get(&path, Want::List, before.as_ref().map(|page| &page.etag))
                .await?;
            let next = if answer.status == StatusCode::NOT_MODIFIED {
                before.and_then(|page| page.next)
            } else if answer.is_gone() {
                // The list of issues was there; issues bring the names that they use.
                return Ok(());
            } else {
                let page = json::page(&answer.body, &mut self.tolerated).unwrap_or_default();
                let planned = plan(self, page);
                self.append(planned.into_iter().collect()).await?;
                let next = next_page(&answer);
                if let Some(tagged) = tagged(&answer, next.clone()) {
                    self.keep_tag(path.clone(), tagged);
                }
                next
            };
            // `page=2`, in place of the number that stands there.
            let Some(next) = next.filter(|next| next.starts_with("page=")) else {
                return Ok(());
            };
            let (kind, query) = rest.split_once('?').unwrap_or((&rest, ""));
            let others = query
                .split('&')
                .filter(|parameter| !parameter.starts_with("page="));
            let query: Vec<_> = std::iter::once(next.as_str()).chain(others).collect();
            let onward = format!("{kind}?{}", query.join("&"));
            if onward == rest {
                return Ok(());
            }
            rest = onward;
        }
        let url = self.path(first);
        let pages = MAX_PAGES;
        Err(GithubError::Endless { url, pages }.into())
    }

    fn keep_tag(&mut self, path: String, page: Page) {
        let pages = &mut self.source.state.pages;
        if pages.len() >= MAX_TAGS {
            pages.clear();
        }
        pages.insert(path, page);
    }
}

/// Whether all that belongs to an issue is known, up to its last update.
pub(super) fn is_complete(issue: Issue<'_>) -> bool {
    issue.comments_synced()
        && issue.events_synced()
        && (issue.reviews_synced() || !issue.pull_request())
}

fn list_path(next: Option<&str>) -> String {
    let (after, page) = match next {
        Some(next) if next.starts_with("after=") => (format!("{next}&"), String::new()),
        Some(next) => (String::new(), format!("&{next}")),
        None => (String::new(), String::new()),
    };
    format!("issues?{after}direction=desc{page}&per_page=100&sort=updated&state=all")
}

/// `after=CURSOR` or `page=N` from the address of the next page. The rest of the next request is ours.
pub(super) fn next_page(answer: &Answer) -> Option<String> {
    let address = link::next(&answer.headers)?;
    let (_, query) = address.split_once('?')?;
    let query = query.split('#').next()?;
    let parameter = |prefix: &str| {
        let mut parameters = query.split('&');
        parameters.find(|parameter| parameter.starts_with(prefix) && parameter.len() > prefix.len())
    };
    let next = parameter("after=").or_else(|| parameter("page="))?;
    Some(next.to_owned())
}

fn tagged(answer: &Answer, next: Option<String>) -> Option<Page> {
    let etag: &HeaderValue = answer.headers.get(ETAG)?;
    Some(Page {
        etag: etag.clone(),
        next,
    })
}
