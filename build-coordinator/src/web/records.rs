//! What the store keeps, as pages and the API tell it.

use std::collections::BTreeMap;

use crate::api;
use crate::model::{
    Build, BuildDetail, BuildId, BuildState, Cause, Commit, Revision, Span, Step, StepOutcome,
    Timestamp,
};
use crate::store::{BuildFilter, BuildRow, Store, StoreError};
use crate::web::backend::{Cell, Grid, GridQuery, GridRow, Identity};

/// Rows that are looked through for those that a filter of the API means, and the store has no question for: at most ten times
/// a thousand.
const PAGE: u32 = 1000;
const MAX_PAGES: usize = 10;

/// The newest builds of a filter.
pub(super) async fn builds(
    store: &Store,
    wanted: &api::BuildFilter,
) -> Result<Vec<api::Build>, StoreError> {
    let limit = wanted.limit.unwrap_or(api::MAX_LISTED);
    let mut filter = BuildFilter::default();
    if let Some(name) = &wanted.repository {
        filter = filter.repository(name);
    }
    if let Some(name) = &wanted.branch {
        filter = filter.branch(name);
    }
    if let Some(name) = &wanted.builder {
        filter = filter.builder(name);
    }
    let mut is_exact = true;
    if let Some(revision) = &wanted.revision {
        filter = match revision.parse::<Revision>() {
            Ok(revision) => filter.revision(&revision),
            Err(_) => {
                is_exact = false;
                filter.text(revision)
            }
        };
    }
    match wanted.state {
        None => {}
        Some(state) => match cause_of(state) {
            Some(cause) => filter = filter.cause(cause),
            None => {
                is_exact = false;
                filter = filter.done(false);
            }
        },
    }
    let page = if is_exact {
        u32::try_from(limit).unwrap_or(PAGE)
    } else {
        PAGE
    };
    let mut before = wanted.before.map(BuildId);
    let mut found = Vec::new();
    for _ in 0..MAX_PAGES {
        let asked = match before {
            Some(before) => filter.clone().before(before),
            None => filter.clone(),
        };
        let listed = store.builds(&asked, page).await?;
        found.extend(listed.builds.into_iter().map(row).filter(|build| {
            wanted
                .revision
                .as_ref()
                .is_none_or(|prefix| build.revision.starts_with(prefix.as_str()))
                && wanted.state.is_none_or(|state| build.state == state)
        }));
        before = listed.next;
        if found.len() >= limit || before.is_none() {
            break;
        }
    }
    found.truncate(limit);
    Ok(found)
}

/// A build with its attempts.
pub(super) async fn build(store: &Store, id: u64) -> Result<Option<api::Build>, StoreError> {
    let Some(BuildDetail {
        build, attempts, ..
    }) = store.detail(BuildId(id)).await?
    else {
        return Ok(None);
    };
    let commit = store
        .commit(&build.key.repository, &build.key.revision)
        .await?;
    let mut told = summary(build, commit.as_ref());
    for attempt in attempts {
        let spans = store.spans(attempt.id).await?;
        told.attempts.push(api::Attempt {
            number: attempt.id.number,
            state: attempt
                .end
                .as_ref()
                .map_or(api::State::Running, |end| state_of_cause(end.cause)),
            reason: attempt
                .end
                .as_ref()
                .map(|end| end.message.clone())
                .filter(|message| !message.is_empty()),
            machine: Some(attempt.machine),
            started: attempt.started,
            awaited_until: attempt.awaited,
            ended: attempt.end.as_ref().map(|end| end.at),
            steps: attempt.steps.into_iter().map(step).collect(),
            spans: spans.into_iter().map(span).collect(),
            artifacts: attempt
                .artifacts
                .into_iter()
                .map(|kept| api::Artifact {
                    name: kept.name,
                    bytes: kept.bytes,
                })
                .collect(),
            log_bytes: attempt.log.map(|log| log.bytes),
        });
    }
    Ok(Some(told))
}

/// Commits and their builds; the columns are `builders`, and those that have builds besides.
pub(super) async fn grid(
    store: &Store,
    query: &GridQuery,
    mut builders: Vec<String>,
) -> Result<Grid, StoreError> {
    let rows = u32::try_from(query.rows).unwrap_or(u32::MAX);
    let (repository, branch) = (&query.repository, &query.branch);
    let before = match query.before {
        None if query.page > 0 => {
            let newer = rows.saturating_mul(u32::try_from(query.page).unwrap_or(u32::MAX));
            let place = store.grid_behind(repository, branch, newer).await?;
            // Behind the end there is nothing.
            Some(place.unwrap_or(i64::MIN))
        }
        before => before,
    };
    let found = store.grid(repository, branch, before, rows).await?;
    for row in &found.rows {
        for cell in &row.cells {
            if !builders.contains(&cell.builder) {
                builders.push(cell.builder.clone());
            }
        }
    }
    let columns: BTreeMap<&str, usize> = builders
        .iter()
        .enumerate()
        .map(|(n, name)| (name.as_str(), n))
        .collect();
    let mut rows = Vec::with_capacity(found.rows.len());
    for row in &found.rows {
        // What it was built against, the newest first: that of the latest build.
        let mut bases: BTreeMap<_, BuildId> = BTreeMap::new();
        for cell in &row.cells {
            let latest = bases.entry(cell.base.as_ref()).or_insert(cell.build);
            *latest = cell.build.max(*latest);
        }
        let mut bases: Vec<_> = bases.into_iter().collect();
        bases.sort_unstable_by_key(|(_, latest)| std::cmp::Reverse(*latest));
        if bases.is_empty() {
            bases.push((None, BuildId(0)));
        }
        for (base, _) in bases {
            let mut cells = vec![None; columns.len()];
            for cell in row.cells.iter().filter(|cell| cell.base.as_ref() == base) {
                cells[columns[cell.builder.as_str()]] = Some(Cell {
                    build: cell.build.0,
                    state: state_of(cell.state),
                });
            }
            rows.push(GridRow {
                revision: row.commit.revision.to_string(),
                author: author(&row.commit),
                subject: row.commit.subject.clone(),
                time: row.commit.committed,
                base: base.map(ToString::to_string),
                cells,
            });
        }
    }
    Ok(Grid {
        repository: query.repository.clone(),
        branch: query.branch.clone(),
        rows,
        next: found.next,
        builders,
    })
}

/// Who a token stands for now.
pub(super) async fn authenticate(
    store: &Store,
    token: &str,
) -> Result<Option<Identity>, StoreError> {
    let token = store.check_token(Timestamp::now(), token).await?;
    Ok(token.map(|token| Identity {
        name: token.name,
        scope: token.scope,
    }))
}

fn row(
    BuildRow {
        build,
        subject,
        author,
        ..
    }: BuildRow,
) -> api::Build {
    api::Build {
        subject,
        author,
        ..summary(build, None)
    }
}

fn summary(build: Build, commit: Option<&Commit>) -> api::Build {
    api::Build {
        id: build.id.0,
        repository: build.key.repository,
        revision: build.key.revision.to_string(),
        branch: build.branch,
        base_revision: build.key.base.map(|base| base.to_string()),
        builder: build.key.builder,
        state: state_of(build.state),
        created: build.created,
        started: build.started,
        ended: build.ended,
        subject: commit.map(|commit| commit.subject.clone()),
        author: commit.map(author),
        attempts: Vec::new(),
    }
}

fn author(commit: &Commit) -> String {
    format!("{} <{}>", commit.author_name, commit.author_email)
}

fn step(step: Step) -> api::Step {
    let was_run = step.outcome != Some(StepOutcome::Skipped);
    api::Step {
        name: step.name,
        state: match step.outcome {
            None => api::State::Running,
            Some(StepOutcome::Succeeded | StepOutcome::FailureIgnored) => api::State::Succeeded,
            Some(StepOutcome::Failed) => api::State::Failed,
            Some(StepOutcome::TimedOut) => api::State::TimedOut,
            Some(StepOutcome::Interrupted | StepOutcome::Skipped) => api::State::Cancelled,
        },
        log_offset: was_run.then_some(step.log_start),
        started: was_run.then_some(step.started),
        ended: step.ended.filter(|_| was_run),
        exit: match step.outcome {
            Some(StepOutcome::FailureIgnored) => Some(format!("{} (does not count)", step.message)),
            Some(StepOutcome::Skipped) => Some("not run".to_owned()),
            _ => Some(step.message).filter(|message| !message.is_empty()),
        },
    }
}

fn span(span: Span) -> api::Span {
    let detail = match span.error {
        Some(error) if span.detail.is_empty() => error,
        Some(error) => format!("{}: {error}", span.detail),
        None => span.detail,
    };
    api::Span {
        name: span.name,
        detail: Some(detail).filter(|detail| !detail.is_empty()),
        started: span.start,
        ended: Some(span.end),
    }
}

fn state_of(state: BuildState) -> api::State {
    match state {
        BuildState::Queued { .. } => api::State::Waiting,
        BuildState::Running { .. } => api::State::Running,
        BuildState::Done { cause } => state_of_cause(cause),
    }
}

fn state_of_cause(cause: Cause) -> api::State {
    match cause {
        Cause::Succeeded => api::State::Succeeded,
        Cause::Failed => api::State::Failed,
        Cause::TimedOut => api::State::TimedOut,
        Cause::Cancelled => api::State::Cancelled,
        Cause::Superseded => api::State::Superseded,
        Cause::LostBuildlet => api::State::LostBuildlet,
        Cause::Network => api::State::Network,
        Cause::Preempted => api::State::Preempted,
        Cause::SetupError => api::State::SetupError,
        Cause::CoordinatorLost => api::State::CoordinatorLost,
    }
}

fn cause_of(state: api::State) -> Option<Cause> {
    Cause::ALL
        .into_iter()
        .find(|cause| state_of_cause(*cause) == state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_and_its_state_have_one_name() {
        for cause in Cause::ALL {
            assert_eq!(state_of_cause(cause).name(), cause.as_str());
            assert_eq!(cause_of(state_of_cause(cause)), Some(cause));
        }
        assert_eq!(cause_of(api::State::Waiting), None);
    }
}
