use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State as Extracted};
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::api::{
    Build, BuildFilter, Builds, MAX_LISTED, Machine, Machines, Queue, State, Timestamp,
};
use crate::web::backend::{Builders, Grid, GridQuery, Repository};
use crate::web::caller::Caller;
use crate::web::classic;
use crate::web::failure::Failure;
use crate::web::filters;
use crate::web::frame::{Account, Frame, page};
use crate::web::site::Shared;

/// Commits on a page of the dashboard, as upstream's has them.
const GRID_ROWS: usize = 30;
/// The most that its reader may ask for.
const MAX_GRID_ROWS: usize = 200;
const DEFAULT_LISTED: usize = 50;

#[derive(Template)]
#[template(path = "dashboard.html")]
struct Dashboard {
    frame: Frame,
    now: Timestamp,
    grid: Grid,
    repositories: Vec<Repository>,
    branches: Vec<String>,
    rows: usize,
    is_newest: bool,
    legend: [State; 7],
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct DashboardQuery {
    repo: String,
    branch: String,
    before: String,
    rows: String,
    mode: String,
}

/// `/dashboard`: commits by builders; `mode=json` and `mode=failures` as upstream's build dashboard answers them.
pub(in crate::web) async fn dashboard(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<DashboardQuery>,
) -> Result<Response, Failure> {
    let before = match query.before.as_str() {
        "" => None,
        place => Some(
            place
                .parse()
                .map_err(|_| Failure::bad("invalid before: where a page ends is"))?,
        ),
    };
    let rows = number(&query.rows, "rows", MAX_GRID_ROWS, GRID_ROWS)?;
    let wanted = GridQuery {
        repository: query.repo,
        branch: query.branch,
        before,
        rows,
    };
    let Some(grid) = site.backend.grid(&wanted).await? else {
        return Err(Failure::not_found("There is no such repository."));
    };
    match query.mode.as_str() {
        "" => {}
        "json" => return Ok(classic::build_status(&grid, &caller.origin)),
        "failures" => return Ok(classic::failures(&grid, &caller.origin)),
        _ => return Err(Failure::bad("unsupported mode argument")),
    }
    let repositories = site.backend.repositories().await?;
    let branches = repositories
        .iter()
        .find(|known| known.name == grid.repository);
    page(&Dashboard {
        frame: Frame::new(&site, &caller, "/dashboard", grid.repository.clone()).refreshing(),
        now: Timestamp::now(),
        branches: branches
            .map(|known| known.branches.clone())
            .unwrap_or_default(),
        repositories,
        grid,
        is_newest: before.is_none(),
        rows,
        legend: [
            State::Succeeded,
            State::Failed,
            State::TimedOut,
            State::Running,
            State::Waiting,
            State::Cancelled,
            State::LostBuildlet,
        ],
    })
}

impl Dashboard {
    fn page_link(&self, before: &Option<i64>) -> String {
        let Grid {
            repository, branch, ..
        } = &self.grid;
        let query = encoded(&[
            ("repo", repository),
            ("branch", branch),
            ("rows", &self.rows.to_string()),
            (
                "before",
                &before.map(|before| before.to_string()).unwrap_or_default(),
            ),
        ]);
        format!("/dashboard?{query}")
    }
}

#[derive(Template)]
#[template(path = "builds.html")]
struct BuildsPage {
    frame: Frame,
    now: Timestamp,
    filter: BuildFilter,
    builds: Vec<Build>,
    older: Option<String>,
    repositories: Vec<Repository>,
}

/// What a form or an address says about which builds; empty means any.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct BuildsQuery {
    repository: String,
    builder: String,
    branch: String,
    revision: String,
    state: String,
    before: String,
    limit: String,
}

impl BuildsQuery {
    pub(in crate::web) fn filter(self) -> Result<BuildFilter, Failure> {
        let some = |text: String| (!text.is_empty()).then_some(text);
        let revision = some(self.revision.trim().to_ascii_lowercase());
        let is_prefix = |text: &String| {
            (4..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
        };
        if revision
            .as_ref()
            .is_some_and(|revision| !is_prefix(revision))
        {
            return Err(Failure::bad(
                "A revision is at least four hexadecimal digits.",
            ));
        }
        let state = match some(self.state) {
            Some(name) => Some(
                State::from_name(&name).ok_or_else(|| Failure::bad("There is no such state."))?,
            ),
            None => None,
        };
        let before = match some(self.before) {
            Some(id) => Some(
                id.parse()
                    .map_err(|_| Failure::bad("`before` is the number of a build."))?,
            ),
            None => None,
        };
        Ok(BuildFilter {
            repository: some(self.repository),
            builder: some(self.builder),
            branch: some(self.branch),
            revision,
            state,
            before,
            limit: Some(number(&self.limit, "limit", MAX_LISTED, DEFAULT_LISTED)?.max(1)),
        })
    }
}

/// The builds of a filter, and where the next page begins.
pub(in crate::web) async fn list(site: &Shared, filter: &BuildFilter) -> Result<Builds, Failure> {
    let limit = filter.limit.unwrap_or(DEFAULT_LISTED).min(MAX_LISTED);
    let mut more = filter.clone();
    more.limit = Some(limit + 1);
    let mut builds = site.backend.builds(&more).await?;
    let next_before = (builds.len() > limit).then(|| builds[limit - 1].id);
    builds.truncate(limit);
    Ok(Builds {
        builds,
        next_before,
    })
}

/// `/builds`: the newest builds.
pub(in crate::web) async fn builds(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<BuildsQuery>,
) -> Result<Response, Failure> {
    let filter = query.filter()?;
    let listed = list(&site, &filter).await?;
    let older = listed.next_before.map(|before| {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let query = encoded(&[
            ("repository", &text(&filter.repository)),
            ("builder", &text(&filter.builder)),
            ("branch", &text(&filter.branch)),
            ("revision", &text(&filter.revision)),
            ("state", filter.state.map_or("", State::name)),
            ("before", &before.to_string()),
        ]);
        format!("/builds?{query}")
    });
    page(&BuildsPage {
        frame: Frame::new(&site, &caller, "/builds", "Builds").refreshing(),
        now: Timestamp::now(),
        repositories: site.backend.repositories().await?,
        builds: listed.builds,
        filter,
        older,
    })
}

#[derive(Template)]
#[template(path = "queue.html")]
struct QueuePage {
    frame: Frame,
    now: Timestamp,
    queue: Queue,
}

/// `/queue`: what waits, and why.
pub(in crate::web) async fn queue(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Failure> {
    page(&QueuePage {
        frame: Frame::new(&site, &caller, "/queue", "Queue").refreshing(),
        now: Timestamp::now(),
        queue: site.backend.queue().await?,
    })
}

#[derive(Template)]
#[template(path = "machines.html")]
struct MachinesPage {
    frame: Frame,
    now: Timestamp,
    machines: Machines,
    may_drain: bool,
}

impl MachinesPage {
    fn of(&self, host_type: &str) -> Vec<&Machine> {
        self.machines
            .machines
            .iter()
            .filter(|machine| machine.host_type == host_type)
            .collect()
    }
}

/// `/machines`: what builds run on.
pub(in crate::web) async fn machines(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Failure> {
    page(&MachinesPage {
        frame: Frame::new(&site, &caller, "/machines", "Machines").refreshing(),
        now: Timestamp::now(),
        machines: site.backend.machines().await?,
        may_drain: caller.may_administer(),
    })
}

#[derive(Template)]
#[template(path = "builders.html")]
struct BuildersPage {
    frame: Frame,
    builders: Builders,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct Mode {
    mode: String,
}

/// `/builders`: the configuration, for people or as upstream's JSON.
pub(in crate::web) async fn builders(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Query(Mode { mode }): Query<Mode>,
) -> Result<Response, Failure> {
    let builders = site.backend.builders().await?;
    if mode == "json" {
        return Ok(([(CONTENT_TYPE, "application/json")], builders.json).into_response());
    }
    page(&BuildersPage {
        frame: Frame::new(&site, &caller, "/builders", "Builders"),
        builders,
    })
}

/// Reads a number of an address.
fn number(text: &str, name: &str, max: usize, default: usize) -> Result<usize, Failure> {
    match text {
        "" => Ok(default),
        _ => text
            .parse()
            .ok()
            .filter(|number| *number <= max)
            .ok_or_else(|| Failure::bad(format!("invalid {name}: a number up to {max} is"))),
    }
}

/// Pairs as a query, without those that are empty.
fn encoded(pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()));
    query.finish()
}
