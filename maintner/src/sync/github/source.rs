use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderValue;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::View;
use crate::leader::{Leader, Round, Source, SourceError, Wake};
use crate::mutation::pb;
use crate::sync::github::client::{Answer, GithubClient, Tally, Want};
use crate::sync::github::error::GithubError;
use crate::sync::github::event::repository;
use crate::sync::github::name::RepoName;
use crate::sync::github::{json, model, plan};
use crate::time::Time;
use crate::view::{Issue, Repo};

/// What can be remembered of issues that were not usable, or seem to be of the future.
const MAX_REMEMBERED: usize = 10_000;
/// Failures of single issues in a row after which a round is given up: then it is not the issue.
const MAX_FAILURES: u32 = 5;

/// Follows one repository.
#[derive(Debug)]
pub struct GithubSource {
    pub(super) client: GithubClient,
    pub(super) name: RepoName,
    source_name: String,
    requests_per_round: u64,
    pub(super) walk_every: Duration,
    pub(super) state: State,
    report: GithubReport,
}

/// What a source knows beside the corpus: nothing that would be missed.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The name by which GitHub knows the repository now, if it was renamed.
    pub(super) renamed: Option<RepoName>,
    /// Of pages that were taken in full, by their paths.
    pub(super) pages: HashMap<String, Page>,
    /// The list before this one was taken in full, so that all that is new now is at the beginning.
    pub(super) list_taken: bool,
    /// The whole list was seen, so that what it lacks must be asked for one by one.
    pub(super) exhausted: bool,
    pub(super) walked: Option<Instant>,
    /// Issues that exist here and were not in the whole list.
    pub(super) doubtful: VecDeque<i32>,
    /// Issues whose answers cannot be used, until the next walk.
    pub(super) hopeless: BTreeSet<i32>,
    /// Issues whose last update is not before the server's clock: since when we know of it.
    pub(super) waiting: HashMap<i32, (Option<Time>, Instant)>,
}

/// What GitHub said of a page.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) etag: HeaderValue,
    pub(super) next: Option<String>,
}

impl GithubSource {
    /// Follows this repository, by a client that others may share.
    #[must_use]
    pub fn new(client: GithubClient, name: RepoName) -> Self {
        Self {
            source_name: format!("github:{name}"),
            client,
            name,
            requests_per_round: 500,
            walk_every: Duration::from_secs(86_400),
            state: State::default(),
            report: GithubReport::default(),
        }
    }

    /// How many requests a round sends for single issues, after the list; 500 by default, at least 1. When there is more to be asked, the
    /// next round begins at once.
    #[must_use]
    pub fn requests_per_round(mut self, requests: u64) -> Self {
        self.requests_per_round = requests.max(1);
        self
    }

    /// How often the whole list is read to see what is missing from it, a request for a hundred issues; a day by default, the first time
    /// that long after the start.
    #[must_use]
    pub fn walk_every(mut self, time: Duration) -> Self {
        self.walk_every = time;
        self
    }

    /// What was seen and could not be used; it goes on telling while the source runs.
    #[must_use]
    pub fn report(&self) -> GithubReport {
        self.report.clone()
    }
}

#[async_trait]
impl Source for GithubSource {
    fn name(&self) -> &str {
        &self.source_name
    }

    async fn round(&mut self, leader: &Leader, wake: Wake) -> Result<Round, SourceError> {
        let budget = self.requests_per_round;
        let report = self.report.clone();
        let mut session = Session {
            source: self,
            leader,
            tally: Tally::default(),
            tolerated: Tolerated::default(),
            round: Round::default(),
            asked_for_names: false,
            failures: 0,
            first_failure: None,
        };
        let result = session.run(wake, budget).await;
        let (mut round, tolerated) = (session.round, session.tolerated);
        round.requests = session.tally.requests;
        round.skipped = tolerated.elements;
        report.add(&tolerated, self.state.renamed.as_ref());
        result.map(|()| round)
    }
}

/// One round.
pub(super) struct Session<'s> {
    pub(super) source: &'s mut GithubSource,
    pub(super) leader: &'s Leader,
    pub(super) tally: Tally,
    pub(super) tolerated: Tolerated,
    pub(super) round: Round,
    /// Labels and milestones were asked for.
    pub(super) asked_for_names: bool,
    failures: u32,
    first_failure: Option<SourceError>,
}

impl Session<'_> {
    async fn run(&mut self, wake: Wake, budget: u64) -> Result<(), SourceError> {
        self.list(wake).await?;
        let until = self.tally.requests + budget;
        self.fill_gaps(until).await?;
        self.details(until).await?;
        // The others were served; this one is tried in the next round, and told of.
        self.first_failure.take().map_or(Ok(()), Err)
    }

    /// Asks for numbers that the list lacks, and for issues that it lacks any more.
    async fn fill_gaps(&mut self, until: u64) -> Result<(), SourceError> {
        let room = usize::try_from(until.saturating_sub(self.tally.requests)).unwrap_or(usize::MAX);
        let view = self.leader.view();
        let hopeless = &self.source.state.hopeless;
        let missing = self
            .repo(&view)
            .into_iter()
            .flat_map(|repo| repo.missing_issues());
        let missing = missing.filter(|number| !hopeless.contains(number));
        let mut missing: Vec<_> = missing.take(room.saturating_add(1)).collect();
        drop(view);
        self.round.has_more |= missing.len() > room;
        missing.truncate(room);
        for number in missing {
            let asked = self.ask_for(number).await;
            self.tolerate(asked)?;
        }
        while self.tally.requests < until
            && let Some(&number) = self.source.state.doubtful.front()
        {
            let asked = self.ask_for(number).await;
            self.tolerate(asked)?;
            self.source.state.doubtful.pop_front();
        }
        self.round.has_more |= !self.source.state.doubtful.is_empty();
        Ok(())
    }

    /// Asks for one issue, and writes what it says: what it is, or that it does not exist. Tells whether it does.
    pub(super) async fn ask_for(&mut self, number: i32) -> Result<bool, SourceError> {
        let path = self.path(&format!("issues/{number}"));
        let answer = self.get(&path, Want::Object, None).await?;
        let name = self.source.name.clone();
        if answer.is_gone() {
            self.append(vec![plan::tombstone(&name, number)]).await?;
            return Ok(false);
        }
        let fields = json::object(&answer.body);
        let told = fields.and_then(|fields| model::issue(fields, &mut self.tolerated));
        let Some(told) = told else {
            self.give_up(number);
            return Ok(true);
        };
        let is_here = !answer.moved || self.is_ours(&told).await?;
        if !is_here {
            self.append(vec![plan::tombstone(&name, number)]).await?;
            return Ok(false);
        }
        if told.number != number {
            self.tolerated.elements += 1;
            self.give_up(number);
            return Ok(true);
        }
        let planned = {
            let view = self.leader.view();
            plan::issue(&name, self.issue(&view, number), &told)
        };
        self.append(planned.into_iter().collect()).await?;
        Ok(true)
    }

    /// Whether an issue that was found elsewhere is still of this repository, which was renamed then; others were transferred.
    async fn is_ours(&mut self, told: &model::Issue) -> Result<bool, GithubError> {
        let current = self.current_name().await?;
        let its = told.repository_url.as_deref().and_then(repository);
        Ok(its.is_some_and(|(owner, repo)| current.is(owner, repo)))
    }

    /// The name that the repository has now, which is used from here on.
    pub(super) async fn current_name(&mut self) -> Result<RepoName, GithubError> {
        let path = format!("/repos/{}", self.source.name);
        let answer = self.get(&path, Want::Object, None).await?;
        let full = json::object(&answer.body).and_then(|mut repo| repo.text("full_name"));
        let full = full.and_then(|full| full.parse::<RepoName>().ok());
        let Some(full) = full.filter(|_| !answer.is_gone()) else {
            return Err(GithubError::NoRepository {
                repo: self.source.name.to_string(),
                status: answer.status,
            });
        };
        let is_other = !self.source.name.is(full.owner(), full.repo());
        let renamed = is_other.then(|| full.clone());
        if renamed.is_some() && self.source.state.renamed != renamed {
            info!(source = self.source.source_name, now = %full, "the repository was renamed");
        }
        self.source.state.renamed = renamed;
        Ok(full)
    }

    /// An issue of which nothing useful is to be had for now.
    pub(super) fn give_up(&mut self, number: i32) {
        let hopeless = &mut self.source.state.hopeless;
        if hopeless.len() < MAX_REMEMBERED {
            hopeless.insert(number);
        }
        let source = &self.source.source_name;
        warn!(
            source,
            number, "what GitHub says of an issue cannot be used"
        );
    }

    /// Goes on after the failure of one issue, but not after what will happen to all, or has happened to many.
    pub(super) fn tolerate<T>(
        &mut self,
        asked: Result<T, SourceError>,
    ) -> Result<Option<T>, SourceError> {
        let error = match asked {
            Ok(value) => {
                self.failures = 0;
                return Ok(Some(value));
            }
            Err(error) => error,
        };
        let own =
            std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<GithubError>());
        let is_of_one = own.is_some_and(|own| {
            matches!(
                own,
                GithubError::Status { .. }
                    | GithubError::Body { .. }
                    | GithubError::NotJson { .. }
                    | GithubError::TimedOut { .. }
                    | GithubError::Transport { .. }
                    | GithubError::Forbidden { .. }
                    | GithubError::Redirect { .. }
                    | GithubError::Endless { .. }
            )
        });
        self.failures += 1;
        if !is_of_one || self.failures >= MAX_FAILURES {
            return Err(error);
        }
        self.first_failure.get_or_insert(error);
        Ok(None)
    }

    pub(super) async fn get(
        &mut self,
        path: &str,
        want: Want,
        etag: Option<&HeaderValue>,
    ) -> Result<Answer, GithubError> {
        self.source
            .client
            .get(path, want, etag, &mut self.tally)
            .await
    }

    /// A path below the repository, by the name that it has now.
    pub(super) fn path(&self, rest: &str) -> String {
        let name = self
            .source
            .state
            .renamed
            .as_ref()
            .unwrap_or(&self.source.name);
        format!("/repos/{name}/{rest}")
    }

    pub(super) async fn append(&mut self, mutations: Vec<pb::Mutation>) -> Result<(), SourceError> {
        if mutations.is_empty() {
            return Ok(());
        }
        let count = mutations.len() as u64;
        self.leader.append(mutations).await?;
        self.round.mutations += count;
        Ok(())
    }

    pub(super) fn repo<'v>(&self, view: &'v View) -> Option<Repo<'v>> {
        view.github()
            .repo(self.source.name.owner(), self.source.name.repo())
    }

    pub(super) fn issue<'v>(&self, view: &'v View, number: i32) -> Option<Issue<'v>> {
        self.repo(view)?.issue(number)
    }
}

impl State {
    /// Since when this update of an issue is known.
    pub(super) fn known_since(&mut self, number: i32, updated: Option<Time>) -> Instant {
        let now = Instant::now();
        if self.waiting.len() >= MAX_REMEMBERED {
            self.waiting.clear();
        }
        let entry = self.waiting.entry(number).or_insert((updated, now));
        if entry.0 != updated {
            *entry = (updated, now);
        }
        entry.1
    }
}

/// What of GitHub's answers could not be taken as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tolerated {
    /// Issues, comments, events and so on that were left out: no object, without an id, or without what makes them one.
    pub elements: u64,
    /// Fields of another type than they should have, which were taken for absent.
    pub fields: u64,
    /// Events and reviews with fields that the log has no place for; these are kept as JSON.
    pub unknown: u64,
}

/// What a source tells beside its mutations. Clones are of the same source.
#[derive(Debug, Clone, Default)]
pub struct GithubReport {
    shared: Arc<Mutex<(Tolerated, Option<RepoName>)>>,
}

impl GithubReport {
    /// What could not be taken as it is, in all rounds.
    #[must_use]
    pub fn tolerated(&self) -> Tolerated {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// The name that the repository has now, if it was renamed. The log goes on with the old one.
    #[must_use]
    pub fn renamed(&self) -> Option<RepoName> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.1.clone()
    }

    fn add(&self, more: &Tolerated, renamed: Option<&RepoName>) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.0.elements += more.elements;
        shared.0.fields += more.fields;
        shared.0.unknown += more.unknown;
        shared.1 = renamed.cloned();
    }
}
