use std::collections::HashSet;
use std::time::Duration;

use super::{GitError, Head, Repository};
use crate::model::{Branch, BranchUpdate, Commit};

/// New commits of a branch that are looked at; if more came at once, the older ones are history that nobody saw.
const MAX_NEW: u32 = 1000;

/// What to look for in a repository.
#[derive(Clone, Debug, Default)]
pub struct PollPlan {
    branches: Option<Vec<String>>,
    history: u32,
}

/// What a look at a repository found.
///
/// Store the builds of [`found`](Self::found), then the updates: what is interrupted between is found again by the next look,
/// and a build that is there is not made twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Poll {
    /// Commits to build: first the newest of each branch, then what lies before them, newest first and in turns.
    pub found: Vec<Found>,
    /// What to tell [`Store::update_branch`](crate::store::Store::update_branch).
    pub updates: Vec<BranchUpdate>,
    /// Branches that are gone, for [`Store::remove_branch`](crate::store::Store::remove_branch).
    pub removed: Vec<String>,
}

/// A commit that nobody had seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Its branch.
    pub branch: String,
    /// The commit.
    pub commit: Commit,
    /// Whether it is the branch's newest.
    pub is_head: bool,
}

/// When to look next: at an interval, and less often while it fails.
#[derive(Clone, Debug)]
pub struct PollSchedule {
    interval: Duration,
    failures: u32,
}

impl PollPlan {
    /// Only these branches; a name may have `*` in it, which stands for any text. All by default.
    #[must_use]
    pub fn branches(mut self, patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.branches = Some(patterns.into_iter().map(Into::into).collect());
        self
    }

    /// How many commits before the newest count when a branch is seen for the first time, or when that were fewer then; 0 by default,
    /// at most 9,999.
    #[must_use]
    pub fn history(mut self, commits: u32) -> Self {
        self.history = commits.min(9_999);
        self
    }

    fn wants(&self, branch: &str) -> bool {
        self.branches
            .as_ref()
            .is_none_or(|patterns| patterns.iter().any(|pattern| matches(pattern, branch)))
    }
}

impl Repository {
    /// Fetches, and compares the branches with those that are known from before:
    /// [`Store::branches`](crate::store::Store::branches).
    ///
    /// A branch whose history was rewritten has its new commits as updates, and loses those that are not on it any more.
    ///
    /// # Errors
    ///
    /// As [`fetch`](Self::fetch) and [`history`](Self::history).
    pub async fn poll(&self, known: &[Branch], plan: &PollPlan) -> Result<Poll, GitError> {
        self.fetch().await?;
        let heads = self.branches().await?;
        let mut poll = Poll::default();
        let mut news = Vec::new();
        for head in heads.iter() {
            if !plan.wants(&head.name) {
                continue;
            }
            let before = known.iter().find(|known| known.name == head.name);
            let update = match before {
                Some(before) if before.head == head.revision => {
                    if plan.history <= before.history {
                        continue;
                    }
                    let limit = plan.history.saturating_add(1);
                    let known = self.history(&head.revision, None, limit).await?;
                    BranchUpdate {
                        older: known.into_iter().skip(1).collect(),
                        history: plan.history,
                        ..self.update(head, Vec::new())
                    }
                }
                Some(before) => {
                    let newer = self
                        .history(&head.revision, Some(&before.head), MAX_NEW)
                        .await?;
                    // What the old head leads to and the new one does not; nothing, if the branch only grew.
                    let removed = self
                        .walk(&before.head, Some(&head.revision), MAX_NEW)
                        .await?;
                    BranchUpdate {
                        removed: removed.unwrap_or_default(),
                        ..self.update(head, newer)
                    }
                }
                None => {
                    let limit = plan.history.saturating_add(1);
                    let newer = self.history(&head.revision, None, limit).await?;
                    BranchUpdate {
                        history: plan.history,
                        ..self.update(head, newer)
                    }
                }
            };
            let newest_first = update.newer.iter().rev().chain(&update.older);
            news.push(newest_first.cloned().collect::<Vec<_>>());
            poll.updates.push(update);
        }
        let longest = news.iter().map(Vec::len).max().unwrap_or(0);
        for depth in 0..longest {
            for (update, commits) in poll.updates.iter().zip(&news) {
                if let Some(commit) = commits.get(depth) {
                    poll.found.push(Found {
                        branch: update.branch.clone(),
                        is_head: commit.revision == update.head,
                        commit: commit.clone(),
                    });
                }
            }
        }
        let there: HashSet<&str> = heads
            .iter()
            .map(|head| head.name.as_str())
            .filter(|name| plan.wants(name))
            .collect();
        poll.removed = known
            .iter()
            .filter(|known| !there.contains(known.name.as_str()))
            .map(|known| known.name.clone())
            .collect();
        Ok(poll)
    }

    fn update(&self, head: &Head, mut newest_first: Vec<Commit>) -> BranchUpdate {
        newest_first.reverse();
        BranchUpdate {
            repository: self.name().to_owned(),
            branch: head.name.clone(),
            head: head.revision.clone(),
            removed: Vec::new(),
            newer: newest_first,
            older: Vec::new(),
            history: 0,
        }
    }
}

impl PollSchedule {
    /// Looks every `interval`, at least every second.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            interval: interval.max(Duration::from_secs(1)),
            failures: 0,
        }
    }

    /// How long to wait after a look that succeeded or failed: the interval, doubled with each failure in a row, up to an hour.
    pub fn next(&mut self, succeeded: bool) -> Duration {
        const LONGEST: Duration = Duration::from_secs(3600);
        self.failures = if succeeded {
            0
        } else {
            self.failures.saturating_add(1)
        };
        let factor = 2_u32.saturating_pow(self.failures.min(16));
        let longest = LONGEST.max(self.interval);
        self.interval.saturating_mul(factor).min(longest)
    }
}

/// Whether `pattern`, in which `*` stands for any text, is `text`. Takes time in proportion to both lengths' product at worst.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else {
        return rest.is_empty();
    };
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("main", "main"),
            ("*", ""),
            ("release-*", "release-"),
            ("r*-*", "r-1-2"),
            ("a*a", "aa"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("main", "mains"),
            ("", "x"),
            ("release-*", "release"),
            ("a*a", "a"),
            ("a*b*c", "acb"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn what_fails_is_tried_less_often_and_never_forgotten() {
        let mut schedule = PollSchedule::new(Duration::from_secs(60));
        let waits = [false, false, true].map(|ok| schedule.next(ok).as_secs());
        assert_eq!(waits, [120, 240, 60]);
        for _ in 0..100 {
            assert!(schedule.next(false) <= Duration::from_secs(3600));
        }
        assert_eq!(
            PollSchedule::new(Duration::ZERO).next(true),
            Duration::from_secs(1)
        );
    }
}
