use std::sync::Arc;
use std::time::Instant;

use askama::Template;
use axum::extract::{Path, State as Extracted};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::{Extension, Form};
use http::header::SET_COOKIE;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use crate::api::Enqueue;
use crate::web::access::Reading;
use crate::web::backend::Actor;
use crate::web::caller::Caller;
use crate::web::failure::Failure;
use crate::web::frame::{Account, Frame};
use crate::web::guard::COOKIE_NAME;
use crate::web::sessions::{LIFETIME, same};
use crate::web::site::Shared;

/// A form with nothing but its proof that it is ours.
#[derive(Debug, Deserialize)]
pub(in crate::web) struct Bare {
    #[serde(default)]
    csrf: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::web) struct NewBuild {
    #[serde(default)]
    csrf: String,
    repository: String,
    revision: String,
    #[serde(default)]
    builder: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::web) struct Drain {
    #[serde(default)]
    csrf: String,
    machine: String,
    drained: bool,
}

#[derive(Debug, Deserialize)]
pub(in crate::web) struct SignIn {
    #[serde(default)]
    csrf: String,
    token: String,
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    frame: Frame,
    is_closed: bool,
    is_wrong: bool,
    hint: String,
}

/// Whoever may change things, with a form that is ours.
fn allowed(caller: &Caller, csrf: &str) -> Result<Actor, Failure> {
    is_ours(caller, csrf)?;
    if caller.may_change() {
        Ok(caller.actor())
    } else {
        Err(Failure::forbidden(
            "Changing anything takes a token that allows it.",
        ))
    }
}

fn is_ours(caller: &Caller, csrf: &str) -> Result<(), Failure> {
    if !caller.csrf.is_empty() && same(csrf, &caller.csrf) {
        return Ok(());
    }
    Err(Failure::forbidden(
        "This form is too old, or not from here. Go back, reload the page and try again.",
    ))
}

/// Cancels a build, and shows it again.
pub(in crate::web) async fn cancel(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<u64>,
    Form(Bare { csrf }): Form<Bare>,
) -> Result<Redirect, Failure> {
    site.backend.cancel(id, &allowed(&caller, &csrf)?).await?;
    Ok(Redirect::to(&format!("/builds/{id}")))
}

/// Starts a build once more, and shows it again.
pub(in crate::web) async fn retry(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<u64>,
    Form(Bare { csrf }): Form<Bare>,
) -> Result<Redirect, Failure> {
    site.backend.retry(id, &allowed(&caller, &csrf)?).await?;
    Ok(Redirect::to(&format!("/builds/{id}")))
}

/// Takes a machine out of service, or back into it.
pub(in crate::web) async fn drain(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Form(Drain {
        csrf,
        machine,
        drained,
    }): Form<Drain>,
) -> Result<Redirect, Failure> {
    is_ours(&caller, &csrf)?;
    if !caller.may_administer() {
        return Err(Failure::forbidden(
            "That takes a token of the scope `admin`.",
        ));
    }
    let actor = caller.actor();
    site.backend
        .drain_machine(&machine, drained, &actor)
        .await?;
    Ok(Redirect::to("/machines"))
}

/// Adds builds, and shows the one, or the list.
pub(in crate::web) async fn enqueue(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Form(NewBuild {
        csrf,
        repository,
        revision,
        builder,
    }): Form<NewBuild>,
) -> Result<Redirect, Failure> {
    let actor = allowed(&caller, &csrf)?;
    let builder = Some(builder).filter(|builder| !builder.is_empty());
    let added = site
        .backend
        .enqueue(
            &Enqueue {
                repository,
                revision,
                builder,
            },
            &actor,
        )
        .await?;
    Ok(match added.as_slice() {
        [id] => Redirect::to(&format!("/builds/{id}")),
        _ => Redirect::to("/builds"),
    })
}

/// `/login`: the form.
pub(in crate::web) async fn login(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Failure> {
    form(&site, &caller, false)
}

fn form(site: &Shared, caller: &Caller, is_wrong: bool) -> Result<Response, Failure> {
    let html = Login {
        frame: Frame::new(site, caller, "/login", "Sign in"),
        is_closed: site.config.reading == Reading::Closed,
        is_wrong,
        hint: site.config.token_hint.clone(),
    }
    .render()?;
    let status = if is_wrong {
        StatusCode::FORBIDDEN
    } else {
        StatusCode::OK
    };
    Ok((status, axum::response::Html(html)).into_response())
}

/// Begins a session for a token.
pub(in crate::web) async fn sign_in(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Form(SignIn { csrf, token }): Form<SignIn>,
) -> Result<Response, Failure> {
    is_ours(&caller, &csrf)?;
    let token = token.trim();
    if site.backend.authenticate(token).await?.is_none() {
        return form(&site, &caller, true);
    }
    let key = site
        .sessions
        .begin(token, Instant::now())
        .map_err(|error| Failure::internal(&error))?;
    let mut response = Redirect::to("/").into_response();
    set_cookie(&mut response, &key, LIFETIME.as_secs());
    Ok(response)
}

/// Ends the session.
pub(in crate::web) async fn sign_out(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Form(Bare { csrf }): Form<Bare>,
) -> Result<Response, Failure> {
    is_ours(&caller, &csrf)?;
    if let Some(key) = &caller.session {
        site.sessions.end(key);
    }
    let mut response = Redirect::to("/").into_response();
    set_cookie(&mut response, "", 0);
    Ok(response)
}

/// Only sent over TLS, to this host, by our own pages, and not shown to scripts.
fn set_cookie(response: &mut Response, key: &str, seconds: u64) {
    let cookie = format!(
        "{COOKIE_NAME}={key}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={seconds}"
    );
    let value = HeaderValue::try_from(cookie).expect("hexadecimal digits can stand in a header");
    response.headers_mut().insert(SET_COOKIE, value);
}
