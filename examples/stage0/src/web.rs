//! HTTP, as far as it is needed here: GET, with limits for everything.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

/// How long a server may take to be reached, to answer, and to go on. A download as a whole has a limit of its own.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const READ_LIMIT: Duration = Duration::from_secs(30);

/// How long a probe of the network may take, as upstream has it.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// Longest small answer that is read whole: a checksum or a URL.
const MAX_TEXT: u64 = 16 << 10;

/// A client that honours `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, and never follows from https to http.
#[derive(Clone, Debug)]
pub(crate) struct Web(Agent);

impl Web {
    /// Believes the authorities in the PEM file `ca`, or else those of the system.
    pub(crate) fn new(ca: Option<&Path>, download_limit: Duration) -> anyhow::Result<Self> {
        let roots = match ca {
            None => RootCerts::PlatformVerifier,
            Some(file) => {
                let pem = std::fs::read(file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
                let items: Result<Vec<_>, _> = ureq::tls::parse_pem(&pem).collect();
                let items = items.with_context(|| format!("{} is no PEM file", file.display()))?;
                let certificates: Vec<_> = items
                    .into_iter()
                    .filter_map(|item| match item {
                        ureq::tls::PemItem::Certificate(certificate) => Some(certificate),
                        _ => None,
                    })
                    .collect();
                if certificates.is_empty() {
                    bail!("{} has no certificate", file.display());
                }
                RootCerts::Specific(Arc::new(certificates))
            }
        };
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(roots)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(5)
            .user_agent(concat!("stage0/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_LIMIT))
            .timeout_recv_response(Some(ANSWER_LIMIT))
            .timeout_per_read(Some(READ_LIMIT))
            .timeout_global(Some(download_limit))
            .build();
        Ok(Self(config.into()))
    }

    /// Asks for `url`; any status is an answer.
    pub(crate) fn get(
        &self,
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.0.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.config().https_only(is_https(url)).build().call()
    }

    /// A small text.
    pub(crate) fn text(&self, url: &str, headers: &[(&str, &str)]) -> anyhow::Result<String> {
        let mut response = self
            .get(url, headers)
            .with_context(|| format!("cannot get {url}"))?;
        let status = response.status();
        if status.as_u16() != 200 {
            bail!("cannot get {url}: {status}");
        }
        response
            .body_mut()
            .with_config()
            .limit(MAX_TEXT)
            .read_to_string()
            .with_context(|| format!("cannot read {url}"))
    }

    /// Whether anybody answers, whatever they say.
    pub(crate) fn answers(&self, url: &str) -> Result<(), ureq::Error> {
        self.0
            .head(url)
            .config()
            .timeout_global(Some(PROBE_LIMIT))
            .max_redirects(0)
            .build()
            .call()
            .map(drop)
    }
}

pub(crate) fn is_https(url: &str) -> bool {
    url.get(..8)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}
