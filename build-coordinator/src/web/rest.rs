//! `/api/v1`.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State as Extracted};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Deserialize;

use crate::api::{
    Accepted, Build, Builds, CreatedToken, Drained, Enqueue, Enqueued, Health, LogTime, LogTimes,
    Machines, NewToken, OPENAPI, Pruned, Queue, Reloaded, Revoked, TokenId, Tokens,
};
use crate::web::backend::Actor;
use crate::web::caller::{Caller, Who};
use crate::web::failure::Failure;
use crate::web::pages::{BuildsQuery, list};
use crate::web::raw_log;
use crate::web::site::Shared;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/openapi.json", get(openapi))
        .route("/api/v1/builds", get(builds).post(enqueue))
        .route("/api/v1/builds/{id}", get(build))
        .route("/api/v1/builds/{id}/cancel", post(cancel))
        .route("/api/v1/builds/{id}/retry", post(retry))
        .route(
            "/api/v1/builds/{id}/attempts/{attempt}/log",
            get(raw_log::log),
        )
        .route(
            "/api/v1/builds/{id}/attempts/{attempt}/log/times",
            get(log_times),
        )
        .route(
            "/api/v1/builds/{id}/attempts/{attempt}/files/{*name}",
            get(raw_log::artifact),
        )
        .route("/api/v1/queue", get(queue))
        .route("/api/v1/machines", get(machines))
        .route("/api/v1/machines/{name}/drain", post(drain))
        .route("/api/v1/machines/{name}/undrain", post(undrain))
        .route("/api/v1/health", get(health))
        .route("/api/v1/reload", post(reload))
        .route("/api/v1/prune", post(prune))
        .route("/api/v1/tokens", get(tokens).post(create_token))
        .route("/api/v1/tokens/{id}/revoke", post(revoke_token))
}

async fn openapi() -> ([(http::HeaderName, &'static str); 1], &'static str) {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}

async fn builds(
    Extracted(site): Extracted<Arc<Shared>>,
    query: Result<Query<BuildsQuery>, QueryRejection>,
) -> Result<Json<Builds>, Failure> {
    let Query(query) = query.map_err(|error| Failure::bad(error.body_text()))?;
    Ok(Json(list(&site, &query.filter()?).await?))
}

async fn build(
    Extracted(site): Extracted<Arc<Shared>>,
    Path(id): Path<u64>,
) -> Result<Json<Build>, Failure> {
    let build = site.backend.build(id).await?;
    build
        .map(Json)
        .ok_or_else(|| Failure::not_found("There is no such build."))
}

async fn enqueue(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    body: Result<Json<Enqueue>, JsonRejection>,
) -> Result<(StatusCode, Json<Enqueued>), Failure> {
    let actor = allowed(&site, &caller)?;
    let what = read(body)?;
    let builds = site.backend.enqueue(&what, &actor).await?;
    Ok((StatusCode::CREATED, Json(Enqueued { builds })))
}

async fn cancel(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<u64>,
) -> Result<(StatusCode, Json<Accepted>), Failure> {
    site.backend.cancel(id, &allowed(&site, &caller)?).await?;
    Ok((StatusCode::ACCEPTED, Json(Accepted { build: id })))
}

async fn retry(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<u64>,
) -> Result<(StatusCode, Json<Accepted>), Failure> {
    site.backend.retry(id, &allowed(&site, &caller)?).await?;
    Ok((StatusCode::ACCEPTED, Json(Accepted { build: id })))
}

async fn log_times(
    Extracted(site): Extracted<Arc<Shared>>,
    Path((build, attempt)): Path<(u64, u32)>,
) -> Result<Json<LogTimes>, Failure> {
    let log = site.backend.log(build, attempt, 0).await?;
    let log = log.ok_or_else(|| Failure::not_found("There is no such log."))?;
    let marks = log.marks.iter().map(|mark| LogTime {
        offset: mark.offset,
        time: mark.time,
    });
    Ok(Json(LogTimes {
        marks: marks.collect(),
    }))
}

async fn queue(Extracted(site): Extracted<Arc<Shared>>) -> Result<Json<Queue>, Failure> {
    Ok(Json(site.backend.queue().await?))
}

async fn machines(Extracted(site): Extracted<Arc<Shared>>) -> Result<Json<Machines>, Failure> {
    Ok(Json(site.backend.machines().await?))
}

async fn health(Extracted(site): Extracted<Arc<Shared>>) -> Result<Json<Health>, Failure> {
    Ok(Json(site.backend.health().await?))
}

async fn drain(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<Drained>, Failure> {
    set_drained(&site, &caller, name, true).await
}

async fn undrain(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<Drained>, Failure> {
    set_drained(&site, &caller, name, false).await
}

async fn set_drained(
    site: &Shared,
    caller: &Caller,
    name: String,
    drained: bool,
) -> Result<Json<Drained>, Failure> {
    let actor = administers(site, caller)?;
    let is_here = site.backend.drain_machine(&name, drained, &actor).await?;
    Ok(Json(Drained {
        name,
        drained,
        is_here,
    }))
}

async fn reload(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Reloaded>, Failure> {
    let actor = administers(&site, &caller)?;
    Ok(Json(site.backend.reload(&actor).await?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PruneQuery {
    /// Any value but `0` and `false`.
    dry_run: String,
}

async fn prune(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<PruneQuery>,
) -> Result<Json<Pruned>, Failure> {
    let actor = administers(&site, &caller)?;
    let dry_run = !matches!(query.dry_run.as_str(), "" | "0" | "false");
    Ok(Json(site.backend.prune(dry_run, &actor).await?))
}

async fn tokens(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Tokens>, Failure> {
    administers(&site, &caller)?;
    let tokens = site.backend.tokens().await?;
    Ok(Json(Tokens { tokens }))
}

/// What nobody may keep but whoever asked for it.
type Secret<T> = (StatusCode, [(http::HeaderName, &'static str); 1], Json<T>);

async fn create_token(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    body: Result<Json<NewToken>, JsonRejection>,
) -> Result<Secret<CreatedToken>, Failure> {
    let actor = administers(&site, &caller)?;
    let created = site.backend.create_token(&read(body)?, &actor).await?;
    let headers = [(CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Json(created)))
}

async fn revoke_token(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Revoked>, Failure> {
    let actor = administers(&site, &caller)?;
    let token = TokenId::new(id.as_str());
    site.backend.revoke_token(&token, &actor).await?;
    Ok(Json(Revoked { id }))
}

fn read<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Failure> {
    let Json(what) = body.map_err(|error| Failure {
        status: error.status(),
        code: "bad_request",
        message: error.body_text(),
    })?;
    Ok(what)
}

/// Whoever may change builds.
fn allowed(site: &Shared, caller: &Caller) -> Result<Actor, Failure> {
    match &caller.who {
        _ if caller.may_change() => Ok(caller.actor()),
        Who::Anonymous => Err(site.no_token("Changing anything")),
        _ => Err(Failure::forbidden("This token allows reading alone.")),
    }
}

/// Whoever may change the coordinator itself.
fn administers(site: &Shared, caller: &Caller) -> Result<Actor, Failure> {
    match &caller.who {
        _ if caller.may_administer() => Ok(caller.actor()),
        Who::Anonymous => Err(site.no_token("That")),
        _ => Err(Failure::forbidden(
            "That takes a token of the scope `admin`.",
        )),
    }
}
