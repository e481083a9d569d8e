use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::reply::{self, Body, Refusal};
use super::service::{Shared, Tunnel};
use super::ssh::Chain;
use super::{auth, form};
use crate::types::ext::Extension;
use crate::types::{Form, Status, endpoint};

/// Between the reply to `/halt` and what it does.
const HALT_DELAY: Duration = Duration::from_secs(1);

/// The most letters of `/debug/x`.
const MAX_DEBUG_X: i64 = 1 << 20;

impl Shared {
    /// Answers a request. The order of the checks is upstream's: path, password, method, parameters.
    pub(super) async fn route(
        &self,
        request: Request<Incoming>,
        tunnel: &Mutex<Option<Tunnel>>,
    ) -> Result<Response<Body>, Refusal> {
        let path = request.uri().path().to_owned();
        match path.as_str() {
            endpoint::ROOT => {
                return Ok(reply::text(format!(
                    "buildlet running on {}\n",
                    self.config.host
                )));
            }
            endpoint::HEALTHZ => return Ok(reply::text("ok\n")),
            endpoint::DEBUG_X => return debug_x(&query(&request)?),
            endpoint::DEBUG_GOROUTINES
            | endpoint::STATUS
            | endpoint::WORKDIR
            | endpoint::LS
            | endpoint::TGZ
            | endpoint::WRITE
            | endpoint::WRITETGZ
            | endpoint::EXEC
            | endpoint::ATTACH
            | endpoint::ABANDON
            | endpoint::REMOVEALL
            | endpoint::HALT
            | endpoint::CONNECT_SSH => {}
            _ => return Err(Refusal::not_found()),
        }
        if let Some(password) = &self.config.password
            && !auth::is_authorized(request.headers(), password)
        {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "invalid password"));
        }
        let method = request.method().clone();
        let require = |wanted: Method, text: &str| {
            (method == wanted)
                .then_some(())
                .ok_or_else(|| Refusal::bad_request(text))
        };
        let require_get = || require(Method::GET, "requires GET method");
        let require_post = || require(Method::POST, "requires POST method");
        match path.as_str() {
            endpoint::DEBUG_GOROUTINES => Ok(reply::text(self.describe())),
            endpoint::STATUS => {
                require_get()?;
                let json = HeaderValue::from_static("application/json; charset=utf-8");
                let offers = |one: &Extension| *one != Extension::Resume || self.kept.is_on();
                let status = Status::ours(Extension::ALL.into_iter().filter(offers));
                let status = status.with_kept(self.kept.list()).to_json();
                Ok(reply::typed(json, reply::full(status)))
            }
            endpoint::WORKDIR => {
                require_get()?;
                let path = self.workdir.path().as_os_str().as_encoded_bytes();
                Ok(reply::text(path.to_vec()))
            }
            endpoint::LS => {
                require_get()?;
                self.list(&query(&request)?).await
            }
            endpoint::TGZ => {
                require_get()?;
                self.archive(&query(&request)?, request.headers()).await
            }
            endpoint::WRITE => {
                // Not a slip of ours: peers know the text.
                require(Method::PUT, "requires POST method")?;
                self.write(request).await
            }
            endpoint::WRITETGZ => match method {
                Method::PUT => self.unpack_body(request).await,
                Method::POST => self.unpack_url(request).await,
                _ => Err(Refusal::bad_request("requires PUT or POST method")),
            },
            endpoint::EXEC => {
                require_post()?;
                self.exec(request).await
            }
            endpoint::ATTACH => {
                require_post()?;
                self.attach(request).await
            }
            endpoint::ABANDON => {
                require_post()?;
                self.abandon(request).await
            }
            endpoint::REMOVEALL => {
                require_post()?;
                self.remove_all(request).await
            }
            endpoint::HALT => {
                require_post()?;
                self.halt()
            }
            _ => {
                // The adapter below hyper took the connection for taken over: whatever follows is no request.
                require_post().map_err(Refusal::closing)?;
                self.connect_ssh(request, tunnel)
                    .await
                    .map_err(Refusal::closing)
            }
        }
    }

    /// The query and, behind it, the form in the body.
    pub(super) async fn forms(&self, request: Request<Incoming>) -> Result<Forms, Refusal> {
        let query = query(&request)?;
        let (head, body) = request.into_parts();
        let config = &self.config;
        let body = form::read(&head.headers, body, config.max_form, config.stall_limit).await?;
        Ok(Forms { query, body })
    }

    fn describe(&self) -> String {
        let config = &self.config;
        let commands = config.max_execs - self.execs.available_permits();
        let connections = config.max_connections - self.connections.available_permits();
        let threads = self.tasks.len();
        format!("{commands} commands, {connections} connections, {threads} file operations\n")
    }

    fn halt(&self) -> Result<Response<Body>, Refusal> {
        let Some(halt) = self.config.halt.clone() else {
            let text = "this buildlet cannot be halted";
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, text));
        };
        let tasks = self.tasks.clone();
        self.tasks.spawn(async move {
            tokio::time::sleep(HALT_DELAY).await;
            tasks.spawn_blocking(move || halt());
        });
        Ok(reply::empty())
    }

    async fn connect_ssh(
        &self,
        mut request: Request<Incoming>,
        tunnel: &Mutex<Option<Tunnel>>,
    ) -> Result<Response<Body>, Refusal> {
        if !hyper::body::Body::is_end_stream(request.body()) {
            return Err(Refusal::bad_request("requires zero Content-Length"));
        }
        let Some(target) = &self.config.ssh else {
            let text = "this buildlet has no SSH server";
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, text));
        };
        let headers = request.headers();
        let user = text(headers, endpoint::SSH_USER)?;
        let key = text(headers, endpoint::SSH_AUTHORIZED_KEY)?;
        if !user.is_empty() && !key.is_empty() {
            target.authorize(user, key).await.map_err(|error| {
                let error = Chain(error.as_ref());
                Refusal::bad_request(format_args!("adding ssh authorized key: {error}"))
            })?;
        }
        let Some(client) = request.extensions_mut().remove::<OnUpgrade>() else {
            let text = "the head of this request is too odd to take its connection over";
            return Err(Refusal::bad_request(text));
        };
        let session = target
            .connect()
            .await
            .map_err(|error| Refusal::new(StatusCode::BAD_GATEWAY, Chain(&error)))?;
        *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(Tunnel { client, session });
        let mut response = reply::empty();
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        // In this order on the wire.
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("ssh"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        Ok(response)
    }
}

/// The fields of a request.
pub(super) struct Forms {
    pub(super) query: Form,
    pub(super) body: Form,
}

impl Forms {
    /// The first value of `key`; those of the body go before those of the query.
    pub(super) fn get(&self, key: &str) -> Option<&[u8]> {
        self.body.get(key).or_else(|| self.query.get(key))
    }
}

/// The fields of the query.
pub(super) fn query<B>(request: &Request<B>) -> Result<Form, Refusal> {
    let query = request.uri().query().unwrap_or_default();
    Form::parse(query.as_bytes()).map_err(Refusal::bad_request)
}

/// The text of a header; empty if there is none.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refusal> {
    match headers.get(name) {
        None => Ok(""),
        Some(value) => value
            .to_str()
            .map_err(|_| Refusal::bad_request(format_args!("{name} is not ASCII"))),
    }
}

fn debug_x(query: &Form) -> Result<Response<Body>, Refusal> {
    let count = query
        .get("n")
        .and_then(|digits| str::from_utf8(digits).ok()?.parse().ok())
        .unwrap_or(0_i64)
        .min(MAX_DEBUG_X);
    let count = usize::try_from(count).map_err(|_| Refusal::bad_request("n is negative"))?;
    Ok(reply::text(vec![b'X'; count]))
}
