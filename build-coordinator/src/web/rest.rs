//! `/api/v1`.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State as Extracted};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::api::{Accepted, Build, Builds, Enqueue, Enqueued, Health, Machines, OPENAPI, Queue};
use crate::web::backend::Actor;
use crate::web::caller::Caller;
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
            "/api/v1/builds/{id}/attempts/{attempt}/files/{*name}",
            get(raw_log::artifact),
        )
        .route("/api/v1/queue", get(queue))
        .route("/api/v1/machines", get(machines))
        .route("/api/v1/health", get(health))
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
    let actor = allowed(&caller)?;
    let Json(what) = body.map_err(|error| Failure {
        status: error.status(),
        code: "bad_request",
        message: error.body_text(),
    })?;
    let builds = site.backend.enqueue(&what, &actor).await?;
    Ok((StatusCode::CREATED, Json(Enqueued { builds })))
}

async fn cancel(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<u64>,
) -> Result<(StatusCode, Json<Accepted>), Failure> {
    site.backend.cancel(id, &allowed(&caller)?).await?;
    Ok((StatusCode::ACCEPTED, Json(Accepted { build: id })))
}

async fn retry(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<u64>,
) -> Result<(StatusCode, Json<Accepted>), Failure> {
    site.backend.retry(id, &allowed(&caller)?).await?;
    Ok((StatusCode::ACCEPTED, Json(Accepted { build: id })))
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

fn allowed(caller: &Caller) -> Result<Actor, Failure> {
    if caller.may_change() {
        return Ok(caller.actor());
    }
    match caller.who {
        crate::web::caller::Who::Anonymous => {
            Err(Failure::unauthorized("Changing anything takes a token."))
        }
        _ => Err(Failure::forbidden("This token allows reading alone.")),
    }
}
