//! What belongs to single issues: comments, events, reviews.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::leader::SourceError;
use crate::mutation::pb;
use crate::sync::github::client::{Answer, Want};
use crate::sync::github::error::GithubError;
use crate::sync::github::list::next_page;
use crate::sync::github::source::Session;
use crate::sync::github::{event, json, model, plan};
use crate::time::Time;
use crate::view::Issue;

/// Pages that are held in memory and written together.
const TOGETHER: usize = 10;
/// More pages than an issue can have: a hundred thousand comments.
const MAX_PAGES: u32 = 1000;
/// How long an update must have been known until the server's clock was surely past it, whatever the clock says.
const SURELY_PAST: Duration = Duration::from_secs(2);

/// Parts of issues that are asked for one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Comments,
    Events,
    Reviews,
}

impl Part {
    fn is_missing(self, issue: Issue<'_>) -> bool {
        match self {
            Self::Comments => !issue.comments_synced(),
            Self::Events => !issue.events_synced(),
            Self::Reviews => issue.pull_request() && !issue.reviews_synced(),
        }
    }

    fn set_status(self, m: &mut pb::GithubIssueMutation, as_of: Option<Time>) {
        let status = Some(plan::status(as_of));
        match self {
            Self::Comments => m.comment_status = status,
            Self::Events => m.event_status = status,
            Self::Reviews => m.review_status = status,
        }
    }
}

impl Session<'_> {
    /// Asks for the parts of issues that are missing.
    pub(super) async fn details(&mut self, until: u64) -> Result<(), SourceError> {
        for part in [Part::Comments, Part::Events, Part::Reviews] {
            for number in self.missing(part) {
                if self.tally.requests >= until {
                    self.round.has_more = true;
                    return Ok(());
                }
                // Another part may have shown that it is gone.
                let view = self.leader.view();
                let is_missing = self
                    .issue(&view, number)
                    .is_some_and(|issue| part.is_missing(issue));
                drop(view);
                if !is_missing || self.source.state.hopeless.contains(&number) {
                    continue;
                }
                let asked = match part {
                    Part::Comments => self.comments(number).await,
                    Part::Events => self.events(number).await,
                    Part::Reviews => self.reviews(number).await,
                };
                self.tolerate(asked)?;
            }
        }
        Ok(())
    }

    fn missing(&self, part: Part) -> Vec<i32> {
        let view = self.leader.view();
        let issues = self.repo(&view).into_iter().flat_map(|repo| repo.issues());
        let missing = issues.filter(|issue| issue.number() > 0 && part.is_missing(*issue));
        missing.map(|issue| issue.number()).collect()
    }

    async fn comments(&mut self, number: i32) -> Result<(), SourceError> {
        let since = {
            let view = self.leader.view();
            self.issue(&view, number).and_then(known_until)
        };
        if let Some(since) = since
            && self.comments_since(number, since).await?
        {
            return Ok(());
        }
        // All of them, each page for itself.
        let mut known_from = None;
        let mut next = None;
        for page in 0.. {
            let path = self.path(&comments_path(number, next.as_deref(), None));
            let Some(answer) = self.part_of(number, &path, page).await? else {
                return Ok(());
            };
            let as_of = *known_from.get_or_insert_with(|| self.as_of(number, &answer));
            next = next_page(&answer);
            let told = self.take_comments(number, &answer);
            let is_last = next.is_none();
            if is_last || !told.is_empty() {
                self.write(
                    number,
                    Part::Comments,
                    told,
                    is_last.then_some(as_of).flatten(),
                )
                .await?;
            }
            if is_last {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes the comments that changed since then, all at once: if only some of them were written, nobody could tell later from when on
    /// others are missing. `false` if there are too many for that.
    async fn comments_since(&mut self, number: i32, since: Time) -> Result<bool, SourceError> {
        let mut as_of = None;
        let mut told = Vec::new();
        let mut next = None;
        for page in 0..TOGETHER as u32 {
            let path = self.path(&comments_path(number, next.as_deref(), Some(since)));
            let Some(answer) = self.part_of(number, &path, page).await? else {
                return Ok(true);
            };
            as_of = as_of.or_else(|| self.as_of(number, &answer));
            next = next_page(&answer);
            told.extend(self.take_comments(number, &answer));
            if next.is_none() {
                // One that was edited while pages were read is in two of them.
                let mut ids = HashSet::new();
                told.reverse();
                told.retain(|comment| ids.insert(comment.id));
                told.reverse();
                self.write(number, Part::Comments, told, as_of).await?;
                return Ok(true);
            }
        }
        // From here on it is not known what is known.
        let mut forget = plan::blank(&self.source.name, number);
        Part::Comments.set_status(&mut forget, None);
        self.append(vec![plan::of_issue(forget)]).await?;
        Ok(false)
    }

    fn take_comments(
        &mut self,
        number: i32,
        answer: &Answer,
    ) -> Vec<pb::GithubIssueCommentMutation> {
        let page = json::page(&answer.body, &mut self.tolerated).unwrap_or_default();
        let told = page
            .into_iter()
            .filter_map(|fields| model::comment(fields, &mut self.tolerated));
        let told: Vec<_> = told.collect();
        let view = self.leader.view();
        plan::comments(self.issue(&view, number), &told)
    }

    async fn events(&mut self, number: i32) -> Result<(), SourceError> {
        let known: HashSet<i64> = {
            let view = self.leader.view();
            let issue = self.issue(&view, number);
            issue
                .into_iter()
                .flat_map(|issue| issue.events())
                .map(|event| event.id())
                .collect()
        };
        // Oldest first, so that pages before this one are known. Where events were removed since, what is new begins earlier.
        let mut start = 1 + known.len().saturating_sub(1) / 100;
        let mut as_of = None;
        let mut new = Vec::new();
        let mut page = start;
        for count in 0.. {
            let path = self.path(&format!("issues/{number}/events?per_page=100&page={page}"));
            let Some(answer) = self.part_of(number, &path, count).await? else {
                return Ok(());
            };
            as_of = as_of.or_else(|| self.as_of(number, &answer));
            let fields = json::page(&answer.body, &mut self.tolerated).unwrap_or_default();
            let told = fields
                .into_iter()
                .filter_map(|fields| event::event(fields, &mut self.tolerated));
            let told: Vec<_> = told.collect();
            if page == start && page > 1 && !told.iter().any(|event| known.contains(&event.id)) {
                start -= 1;
                page = start;
                continue;
            }
            new.extend(plan::events(&known, told));
            if next_page(&answer).is_none() {
                break;
            }
            if page.is_multiple_of(TOGETHER) {
                self.write(number, Part::Events, std::mem::take(&mut new), None)
                    .await?;
            }
            page += 1;
        }
        self.write(number, Part::Events, new, as_of).await
    }

    async fn reviews(&mut self, number: i32) -> Result<(), SourceError> {
        let mut as_of = None;
        let mut new = Vec::new();
        for page in 1.. {
            let path = self.path(&format!("pulls/{number}/reviews?per_page=100&page={page}"));
            let Some(answer) = self.part_of(number, &path, page - 1).await? else {
                return Ok(());
            };
            as_of = as_of.or_else(|| self.as_of(number, &answer));
            let fields = json::page(&answer.body, &mut self.tolerated).unwrap_or_default();
            let told = fields
                .into_iter()
                .filter_map(|fields| event::review(fields, &mut self.tolerated));
            let told: Vec<_> = told.collect();
            let view = self.leader.view();
            new.extend(plan::reviews(self.issue(&view, number), told));
            drop(view);
            if next_page(&answer).is_none() {
                break;
            }
            if (page as usize).is_multiple_of(TOGETHER) {
                self.write(number, Part::Reviews, std::mem::take(&mut new), None)
                    .await?;
            }
        }
        self.write(number, Part::Reviews, new, as_of).await
    }

    /// One page of a part of an issue; `None` if nothing is to be had, which is dealt with then.
    async fn part_of(
        &mut self,
        number: i32,
        path: &str,
        page: u32,
    ) -> Result<Option<Answer>, SourceError> {
        if page == MAX_PAGES {
            let (url, pages) = (path.to_owned(), MAX_PAGES);
            return Err(GithubError::Endless { url, pages }.into());
        }
        let answer = self.get(path, Want::List, None).await?;
        if !answer.is_gone() && !answer.moved {
            return Ok(Some(answer));
        }
        // What belongs to an issue is also refused to those who may not see it. Only the issue itself tells whether it is gone.
        let exists = self.ask_for(number).await?;
        if answer.moved && exists {
            return Ok(Some(answer));
        }
        if exists {
            self.give_up(number);
        }
        Ok(None)
    }

    async fn write<P: PartOfIssue>(
        &mut self,
        number: i32,
        part: Part,
        new: Vec<P>,
        as_of: Option<Time>,
    ) -> Result<(), SourceError> {
        if new.is_empty() && as_of.is_none() {
            return Ok(());
        }
        let blank = plan::blank(&self.source.name, number);
        let finish = |m: &mut pb::GithubIssueMutation| {
            if as_of.is_some() {
                part.set_status(m, as_of);
            }
        };
        self.append(plan::split(new, &blank, P::put, finish)).await
    }

    /// Until when the parts are known that come with this answer: the server's clock. `None` if that is not to be had, or not past the
    /// issue's last update yet, and the update came only just now; a later round asks again.
    fn as_of(&mut self, number: i32, answer: &Answer) -> Option<Time> {
        let updated = {
            let view = self.leader.view();
            self.issue(&view, number).and_then(|issue| issue.updated())
        };
        let date = answer.date().and_then(|date| i64::try_from(date).ok());
        let date = date.map(|seconds| Time::new(seconds, 0));
        if date > updated {
            return date;
        }
        let since = self.source.state.known_since(number, updated);
        if Instant::now().duration_since(since) < SURELY_PAST {
            return date;
        }
        let updated = updated.unwrap_or(Time::new(0, 0));
        Some(Time::new(
            updated.unix_seconds().saturating_add(1),
            updated.subsec_nanos(),
        ))
    }
}

/// The time of the last edit among comments that are known with all before them, less a second, as GitHub calls it "after".
fn known_until(issue: Issue<'_>) -> Option<Time> {
    let as_of = issue.comments_synced_as_of()?;
    let edited = issue.comments().filter_map(|comment| comment.updated());
    // Later ones are of a reading that was broken off.
    let last = edited.filter(|&edited| edited <= as_of).max()?;
    Some(Time::new(last.unix_seconds().saturating_sub(1), 0))
}

fn comments_path(number: i32, next: Option<&str>, since: Option<Time>) -> String {
    let page = next.map_or(String::new(), |next| format!("&{next}"));
    let since = since.map_or(String::new(), |since| format!("&since={since}"));
    format!("issues/{number}/comments?direction=asc{page}&per_page=100{since}&sort=updated")
}

/// What a mutation has several of.
trait PartOfIssue: prost::Message {
    fn put(m: &mut pb::GithubIssueMutation, part: Self);
}

impl PartOfIssue for pb::GithubIssueCommentMutation {
    fn put(m: &mut pb::GithubIssueMutation, part: Self) {
        m.comment.push(part);
    }
}

impl PartOfIssue for pb::GithubIssueEvent {
    fn put(m: &mut pb::GithubIssueMutation, part: Self) {
        m.event.push(part);
    }
}

impl PartOfIssue for pb::GithubReview {
    fn put(m: &mut pb::GithubIssueMutation, part: Self) {
        m.review.push(part);
    }
}
