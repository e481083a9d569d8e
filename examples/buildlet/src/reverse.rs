use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use buildlet_proto::key::{BuilderKey, KeyFile, MasterKey};
use buildlet_proto::server::{self, ServeError, Server};
use buildlet_proto::types::Status;
use futures_util::StreamExt as _;
use revdial::{
    Backoff, Listener, ListenerConfig, ListenerEnd, ListenerEvent, Proxy, RegisterError,
    Registration, TcpConnector,
};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::args::{Config, Reverse, Role, Trust};
use crate::{machine, metadata, session};

/// A session that lasted so long was none that failed at once: the next one need not wait.
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// The longest pause between two attempts to register. A coordinator that was started again waits a minute for machines that have
/// kept its commands.
const LONGEST_DELAY: Duration = Duration::from_secs(15);

/// Works for a coordinator: registers, serves what it asks for, and begins anew when that ends.
pub(crate) async fn serve(
    reverse: &Reverse,
    config: &Config,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let worker = Worker::new(reverse)?;
    let mut delays = Backoff::from_os()?.longest(LONGEST_DELAY);
    let mut health = None;
    let mut current = None;
    loop {
        // What it keeps over the end of a session ends when it is told to halt.
        let (server, halted) = match current.take() {
            Some(kept) => kept,
            None => begin(reverse, config).await?,
        };
        if health.is_none() {
            health = serve_health(&server, reverse.health_address.as_deref(), &stop).await;
        }
        let began = Instant::now();
        match worker.session(&server, &stop, &halted).await {
            Ok(()) if stop.is_cancelled() || reverse.once => return Ok(ExitCode::SUCCESS),
            Ok(()) => tracing::info!("session ended; registering again"),
            Err(error) => {
                let error = error.context(format!("registering with {}", reverse.coordinator));
                if reverse.once || is_final(&error) {
                    return Err(error);
                }
                tracing::warn!("{error:#}");
            }
        }
        if began.elapsed() >= STEADY_AFTER {
            delays.reset();
        }
        if halted.is_cancelled() {
            server.end_kept_commands();
        } else {
            current = Some((server, halted));
        }
        tokio::select! {
            () = sleep(delays.next_delay()) => {}
            () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// A server with an empty work directory, and what fires when it is told to halt.
async fn begin(reverse: &Reverse, config: &Config) -> anyhow::Result<(Server, CancellationToken)> {
    // As upstream: who registers as a builder's machine is asked for no password.
    let password = match reverse.role {
        Role::Builder { .. } => None,
        Role::Gomote => metadata::get("password")?,
    };
    let halted = CancellationToken::new();
    let host_type = reverse.role.host_type();
    let server = session::start(config, host_type, password, halted.clone()).await?;
    Ok((server, halted))
}

struct Worker {
    connector: TcpConnector,
    registration: Registration,
    once: bool,
}

impl Worker {
    fn new(reverse: &Reverse) -> anyhow::Result<Self> {
        let (ca, insecure): (Option<&PathBuf>, bool) = match &reverse.trust {
            Trust::System => (None, false),
            Trust::Authorities(file) => (Some(file), false),
            Trust::Anybody => (None, true),
        };
        let tls = program::tls_client_config(ca.map(PathBuf::as_path), insecure)?;
        let connector = TcpConnector::new(&reverse.coordinator)?
            .tls(tls)?
            .proxy(Proxy::from_env(&reverse.coordinator)?);
        let name = machine::name(reverse.hostname.as_deref());
        let registration = match &reverse.role {
            Role::Builder {
                host_type,
                key_file,
                dev_key,
            } => {
                let key = find_key(
                    host_type,
                    key_file.as_deref(),
                    *dev_key,
                    &reverse.coordinator,
                )?;
                tracing::info!(
                    "{name}, a machine of type {host_type}, works for {}",
                    reverse.coordinator
                );
                let version = Status::VERSION.to_string();
                Registration::buildlet(host_type, key.as_str(), &name, &version)?
            }
            Role::Gomote => {
                let id = from_environment(GOMOTE_ID, "the gomote that this machine is to be")?;
                let token = from_environment(GOMOTE_TOKEN, "the token that proves it")?;
                tracing::info!("{name} is the gomote {id} of {}", reverse.coordinator);
                Registration::gomote(&id, &token, &name)?
            }
        };
        Ok(Self {
            connector,
            registration,
            once: reverse.once,
        })
    }

    /// One registration, or with reconnecting several, until it ends, `/halt` is posted or the program is to stop.
    async fn session(
        &self,
        server: &Server,
        stop: &CancellationToken,
        halted: &CancellationToken,
    ) -> anyhow::Result<()> {
        let reconnect = if self.once {
            None
        } else {
            Some(Backoff::from_os()?.longest(LONGEST_DELAY))
        };
        let over = stop.child_token();
        let unreachable = over.clone();
        let config = ListenerConfig::default()
            .reconnect(reconnect)
            .observer(move |event| {
                report(event);
                if let ListenerEvent::Lost(end) = event
                    && end.is_unreachable()
                {
                    // Whoever asked for what runs cannot be told of it any more; what is to outlive that, does.
                    unreachable.cancel();
                }
            });
        let register =
            Listener::register(self.connector.clone(), self.registration.clone(), config);
        let mut listener = tokio::select! {
            registered = register => registered?,
            () = stop.cancelled() => return Ok(()),
        };
        let _watch = AbortOnDropHandle::new(tokio::spawn({
            let (over, halted) = (over.clone(), halted.clone());
            async move {
                halted.cancelled().await;
                over.cancel();
            }
        }));
        let served = server.serve((&mut listener).map(Ok), over).await;
        let end = listener.end();
        listener.close().await;
        match (served, end) {
            (_, Some(ListenerEnd::Register(error))) => Err(error.into()),
            // Whoever asked has gone.
            (Err(ServeError::Grace { .. }), _) | (Ok(()), _) => Ok(()),
            (Err(error), _) => Err(error.into()),
        }
    }
}

fn report(event: &ListenerEvent<'_>) {
    match event {
        ListenerEvent::Registered => tracing::info!("registered"),
        ListenerEvent::PickupFailed(failure) => tracing::warn!("pick-up failed: {}", failure.error),
        ListenerEvent::Lost(end) => tracing::warn!("session ended: {end}"),
        ListenerEvent::Retrying { delay } => tracing::info!("registering again in {delay:.1?}"),
        ListenerEvent::RegisterFailed(error) => {
            tracing::warn!(
                "cannot register: {:#}",
                anyhow::Error::new((*error).clone())
            );
        }
        other => tracing::debug!("{other:?}"),
    }
}

/// Whether trying again is of no use: the coordinator does not want this machine.
fn is_final(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<RegisterError>()
        .is_some_and(RegisterError::is_final)
}

/// Set by whoever starts a gomote's machine, as upstream.
const GOMOTE_ID: &str = "GOMOTEID";
const GOMOTE_TOKEN: &str = "GO_BUILDLET_TOKEN";

fn from_environment(name: &str, what: &str) -> anyhow::Result<String> {
    let value = env::var(name).unwrap_or_default();
    ensure!(
        !value.is_empty(),
        "--swarming-bot needs {what} in the environment variable {name}"
    );
    Ok(value)
}

/// The key of the host type: from its file; or, for a coordinator that is on this machine or if asked for, the one of
/// upstream's development mode.
fn find_key(
    host_type: &str,
    key_file: Option<&Path>,
    dev_key: bool,
    coordinator: &str,
) -> anyhow::Result<BuilderKey> {
    if dev_key {
        return Ok(MasterKey::development().key_for(host_type));
    }
    let file = match key_file {
        Some(path) => KeyFile::new(path),
        None => KeyFile::from_env(host_type, is_root()),
    };
    let host = coordinator.rsplit_once(':').map_or("", |(host, _)| host);
    let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    if key_file.is_none() && is_here && !file.path().exists() {
        tracing::info!(
            "there is no {}: using the development key, as the coordinator is on this machine",
            file.path().display()
        );
        return Ok(MasterKey::development().key_for(host_type));
    }
    file.read().with_context(|| {
        format!(
            "no key for the host type {host_type}; make one with genbuilderkey on the coordinator, or use --dev-key for one in development mode"
        )
    })
}

#[cfg(unix)]
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

/// Serves `/healthz` beside the session. Failing to is no reason not to work.
async fn serve_health(
    server: &Server,
    address: Option<&str>,
    stop: &CancellationToken,
) -> Option<AbortOnDropHandle<()>> {
    let address = address?;
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(
                "no /healthz on {address}: {error}; --health-addr names another address"
            );
            return None;
        }
    };
    if let Ok(address) = listener.local_addr() {
        tracing::info!("/healthz on {address}");
    }
    let (server, stop) = (server.clone(), stop.clone());
    Some(AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = server.serve_health(server::tcp(listener), stop).await {
            tracing::warn!("/healthz: {error}");
        }
    })))
}
