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
    /// Counted from 0, where it is known.
    page: Option<usize>,
    legend: [State; 7],
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct DashboardQuery {
    repo: String,
    branch: String,
    before: String,
    page: String,
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
    let page_number = page_number(&query.page)?;
    let rows = number(&query.rows, "rows", MAX_GRID_ROWS, GRID_ROWS)?;
    let wanted = GridQuery {
        repository: query.repo,
        branch: query.branch,
        before,
        page: page_number,
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
        page: before.is_none().then_some(page_number),
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
    fn link(&self, page: usize) -> String {
        let page = if page == 0 {
            String::new()
        } else {
            page.to_string()
        };
        self.link_with(("page", &page))
    }

    fn newer(&self) -> Option<String> {
        Some(self.link(self.page?.checked_sub(1)?))
    }

    fn older(&self) -> Option<String> {
        let before = self.grid.next?;
        Some(match self.page {
            Some(page) => self.link(page + 1),
            None => self.link_with(("before", &before.to_string())),
        })
    }

    fn link_with(&self, place: (&str, &str)) -> String {
        let Grid {
            repository, branch, ..
        } = &self.grid;
        let rows = match self.rows {
            GRID_ROWS => String::new(),
            rows => rows.to_string(),
        };
        let query = encoded(&[
            ("repo", repository),
            ("branch", branch),
            ("rows", &rows),
            place,
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

/// The page that upstream's dashboard would show, and what it says if it shows none.
fn page_number(text: &str) -> Result<usize, Failure> {
    let number: i64 = match text {
        "" => 0,
        text => text
            .parse()
            .map_err(|_| Failure::bad(format!("invalid page value {text:?}")))?,
    };
    usize::try_from(number).map_err(|_| Failure::bad("negative page"))
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
