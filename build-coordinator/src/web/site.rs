use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::web::access::Reading;
use crate::web::backend::Backend;
use crate::web::failure::Failure;
use crate::web::sessions::{Sessions, random};
use crate::web::{assets, classic, follow, guard, metrics, pages, raw_log, rest, temporary_logs};

/// Most bytes of a request's body.
pub(super) const MAX_BODY: usize = 64 << 10;
/// Requests that are worked on at once.
const MAX_REQUESTS: usize = 512;
/// Answers that last: live logs.
const MAX_STREAMS: usize = 256;

/// How a [`Site`] calls itself, and whom it lets in.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    pub(super) name: String,
    pub(super) host_names: Vec<String>,
    pub(super) reading: Reading,
    pub(super) trust_loopback: bool,
    pub(super) request_limit: Duration,
    pub(super) token_hint: String,
}

/// Answers requests about a coordinator; cheap to clone.
#[derive(Clone)]
pub struct Site {
    pub(super) shared: Arc<Shared>,
    pub(super) router: Router,
}

/// What all handlers know.
pub(super) struct Shared {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) config: SiteConfig,
    pub(super) sessions: Sessions,
    /// What forms of somebody on this machine carry.
    pub(super) local_csrf: String,
    /// What the form to sign in carries.
    pub(super) login_csrf: String,
    pub(super) requests: Semaphore,
    pub(super) streams: Arc<Semaphore>,
    pub(super) begun: Instant,
    /// Ends the answers that last.
    pub(super) stop: CancellationToken,
    pub(super) answered: Answered,
}

/// How many requests were answered with which status.
#[derive(Debug, Default)]
pub(super) struct Answered {
    total: AtomicU64,
    by_status: Mutex<BTreeMap<u16, u64>>,
}

impl Site {
    /// A site about `backend`. Its live logs end when `stop` is cancelled.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub fn new(
        backend: Arc<dyn Backend>,
        config: SiteConfig,
        stop: CancellationToken,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            backend,
            config,
            sessions: Sessions::default(),
            local_csrf: random()?,
            login_csrf: random()?,
            requests: Semaphore::new(MAX_REQUESTS),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            begun: Instant::now(),
            stop,
            answered: Answered::default(),
        });
        let router = routes()
            .layer(axum::middleware::from_fn_with_state(
                shared.clone(),
                guard::guard,
            ))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(shared.clone());
        Ok(Self { shared, router })
    }
}

fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(pages::status))
        .route("/dashboard", get(pages::dashboard))
        .route("/builds", get(pages::builds).post(pages::enqueue))
        .route("/builds/{id}", get(pages::build))
        .route("/builds/{id}/cancel", post(pages::cancel))
        .route("/builds/{id}/retry", post(pages::retry))
        .route("/builds/{id}/events", get(follow::events))
        .route("/builds/{id}/attempts/{attempt}/log", get(raw_log::log))
        .route(
            "/builds/{id}/attempts/{attempt}/files/{*name}",
            get(raw_log::artifact),
        )
        .route("/queue", get(pages::queue))
        .route("/queues", get(pages::queue))
        .route("/machines", get(pages::machines).post(pages::drain))
        .route("/builders", get(pages::builders))
        .route("/login", get(pages::login).post(pages::sign_in))
        .route("/logout", post(pages::sign_out))
        .route("/temporarylogs", get(temporary_logs::temporary_logs))
        .route("/status/reverse.json", get(classic::reverse_status))
        .route("/status/post-submit-active.json", get(classic::active))
        .route("/status/{check}", get(classic::check))
        .route("/healthz", get(classic::healthz))
        .route("/metrics", get(metrics::metrics))
        .route("/{asset}", get(assets::asset))
        .merge(rest::routes())
        .fallback(pages::nothing)
        .method_not_allowed_fallback(pages::wrong_method)
}

impl Shared {
    /// `what` is refused for want of a token.
    pub(super) fn no_token(&self, what: &str) -> Failure {
        let hint = &self.config.token_hint;
        Failure::unauthorized(format!("{what} takes a token. {hint}").trim_end())
    }
}

impl Answered {
    pub(super) fn count(&self, status: u16) {
        self.total.fetch_add(1, Ordering::Relaxed);
        // Statuses are our own: a dozen of them.
        *self
            .by_status
            .lock()
            .expect("nothing panics while it is held")
            .entry(status)
            .or_default() += 1;
    }

    pub(super) fn by_status(&self) -> Vec<(u16, u64)> {
        let by_status = self
            .by_status
            .lock()
            .expect("nothing panics while it is held");
        by_status
            .iter()
            .map(|(status, count)| (*status, *count))
            .collect()
    }
}

impl SiteConfig {
    /// What pages have in their top left corner; `coordinator` by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Names that requests may ask for beside addresses and `localhost`, without ports. None by default.
    #[must_use]
    pub fn host_names(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.host_names = names.into_iter().collect();
        self
    }

    /// Who may read from other machines without a token; everybody by default.
    #[must_use]
    pub fn reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    /// Whether somebody on this machine needs no token; so by default. Say `false` where strangers have accounts on it, or a proxy
    /// runs on it that does not say for whom it asks.
    #[must_use]
    pub fn trust_loopback(mut self, trust: bool) -> Self {
        self.trust_loopback = trust;
        self
    }

    /// How somebody comes by a token, as a sentence: whoever is refused for want of one is told. Nothing by default.
    #[must_use]
    pub fn token_hint(mut self, hint: impl Into<String>) -> Self {
        self.token_hint = hint.into();
        self
    }

    /// How long an answer may take up to its first byte; 30 s by default.
    #[must_use]
    pub fn request_limit(mut self, limit: Duration) -> Self {
        self.request_limit = limit;
        self
    }
}

impl Default for SiteConfig {
    fn default() -> Self {
        Self {
            name: "coordinator".to_owned(),
            host_names: Vec::new(),
            reading: Reading::Open,
            trust_loopback: true,
            request_limit: Duration::from_secs(30),
            token_hint: String::new(),
        }
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}
