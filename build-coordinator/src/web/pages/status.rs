use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::State as Extracted;
use axum::response::Response;

use crate::api::{Build, BuildFilter, HealthCheck, Level, Pool, QueueItem, State, Timestamp};
use crate::web::caller::Caller;
use crate::web::failure::Failure;
use crate::web::filters;
use crate::web::frame::{Account, Frame, page};
use crate::web::site::Shared;

#[derive(Template)]
#[template(path = "status.html")]
struct Status {
    frame: Frame,
    now: Timestamp,
    uptime: Duration,
    active: Vec<Build>,
    recent: Vec<Build>,
    failed_lately: usize,
    ended_lately: usize,
    waiting: usize,
    next: Vec<QueueItem>,
    pools: Vec<Pool>,
    idle: usize,
    connected: usize,
    health: Vec<HealthCheck>,
    worst: Option<Level>,
}

/// Builds that the page shows as running, and as over.
const ACTIVE: usize = 50;
const RECENT: usize = 15;
/// Builds that are looked at for those.
const LATELY: usize = 100;
const NEXT: usize = 5;

/// `/`: how everything is.
pub(in crate::web) async fn status(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Failure> {
    let backend = &site.backend;
    let running = BuildFilter {
        state: Some(State::Running),
        limit: Some(ACTIVE),
        ..BuildFilter::default()
    };
    let latest = BuildFilter {
        limit: Some(LATELY),
        ..BuildFilter::default()
    };
    let active = backend.builds(&running).await?;
    let mut recent = backend.builds(&latest).await?;
    let machines = backend.machines().await?;
    let mut queue = backend.queue().await?;
    let health = backend.health().await?.checks;

    recent.retain(|build| build.state.has_ended());
    let failed_lately = recent
        .iter()
        .filter(|build| build.state.is_failure())
        .count();
    let ended_lately = recent.len();
    recent.sort_by_key(|build| std::cmp::Reverse(build.ended));
    recent.truncate(RECENT);
    queue.items.truncate(NEXT);
    page(&Status {
        frame: Frame::new(&site, &caller, "/", "").refreshing(),
        now: Timestamp::now(),
        uptime: site.begun.elapsed(),
        active,
        recent,
        failed_lately,
        ended_lately,
        waiting: queue.total,
        next: queue.items,
        idle: machines.pools.iter().map(|pool| pool.idle).sum(),
        connected: machines.pools.iter().map(|pool| pool.connected).sum(),
        pools: machines.pools,
        worst: health.iter().filter_map(HealthCheck::level).max(),
        health,
    })
}
