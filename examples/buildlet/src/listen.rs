use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use buildlet_proto::server::{self, ServeError, Server};
use futures_util::{StreamExt as _, TryStreamExt as _};
use revdial::serve_tls::Acceptor;
use tokio::net::{TcpListener, lookup_host};
use tokio_util::sync::CancellationToken;

use crate::args::{Config, Listen};
use crate::{metadata, session};

/// Handshakes at the same time; further callers wait in the system's queue.
const MAX_HANDSHAKES: usize = 64;

/// Answers callers at an address.
pub(crate) async fn serve(
    listen: &Listen,
    config: &Config,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let password = match &listen.password_file {
        Some(file) => Some(read_password(file)?),
        None => metadata::get("password")?,
    };
    let acceptor = acceptor(listen)?;
    let addresses = addresses(&listen.address).await?;
    let everybody = addresses.iter().find(|address| !address.ip().is_loopback());
    if let (Some(address), None, false) = (everybody, &password, listen.insecure) {
        bail!(
            "refusing to listen on {address} without a password: whoever reaches it could run commands here; \
             give one with --password-file, or allow it with --insecure"
        );
    }
    let listener = TcpListener::bind(&addresses[..])
        .await
        .with_context(|| format!("cannot listen on {}", listen.address))?;
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    tracing::info!("listening on {scheme}://{}", listener.local_addr()?);

    // Posting /halt ends the process.
    let server = session::start(config, None, password, stop.clone()).await?;
    match acceptor {
        None => ended(server.serve(server::tcp(listener), stop).await),
        Some(acceptor) => serve_tls(&server, listener, acceptor, stop).await,
    }
}

async fn serve_tls(
    server: &Server,
    listener: TcpListener,
    acceptor: Acceptor,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let connections = server::tcp(listener)
        .map_ok(|tcp| {
            let acceptor = acceptor.clone();
            async move {
                // A caller who cannot agree on TLS is no failure to accept.
                let tls = acceptor.accept(tcp).await;
                Ok(tls
                    .inspect_err(|error| tracing::debug!("TLS handshake: {error}"))
                    .ok())
            }
        })
        .try_buffer_unordered(MAX_HANDSHAKES)
        .try_filter_map(async |tls| Ok(tls))
        .boxed();
    ended(server.serve(connections, stop).await)
}

/// Requests that had to be cut off are a failure, as upstream has it.
fn ended(result: Result<(), ServeError>) -> anyhow::Result<ExitCode> {
    result?;
    Ok(ExitCode::SUCCESS)
}

/// The acceptor, if there is a certificate by flags or metadata.
fn acceptor(listen: &Listen) -> anyhow::Result<Option<Acceptor>> {
    if let Some((chain, key)) = &listen.tls {
        return program::acceptor(chain, key).map(Some);
    }
    match (metadata::get("tls-cert")?, metadata::get("tls-key")?) {
        (None, None) => Ok(None),
        (Some(chain), Some(key)) => program::acceptor_from_pem(&chain, &key)
            .context("metadata tls-cert and tls-key")
            .map(Some),
        _ => bail!("metadata tls-cert and tls-key belong together, and only one of them is set"),
    }
}

async fn addresses(address: &str) -> anyhow::Result<Vec<SocketAddr>> {
    let found: Vec<_> = lookup_host(address)
        .await
        .with_context(|| {
            format!("cannot listen on {address:?}: it is to be HOST:PORT, :PORT or AUTO")
        })?
        .collect();
    if found.is_empty() {
        bail!("cannot listen on {address:?}: it has no address");
    }
    Ok(found)
}

fn read_password(file: &Path) -> anyhow::Result<String> {
    let content = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the password from {}", file.display()))?;
    let password = content.trim();
    if password.is_empty() {
        bail!("{} holds no password", file.display());
    }
    Ok(password.to_owned())
}
