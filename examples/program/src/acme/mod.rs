//! A certificate by ACME (RFC 8555), kept and renewed.

mod external_account;
mod kept;
mod resolver;
mod store;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey, Identifier, NewAccount,
    NewOrder, OrderStatus, RetryPolicy,
};
use revdial::serve_tls::{Acceptor, tolerant};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use crate::acme::external_account::external_account;
use crate::acme::kept::{Certificate, Kept};
use crate::acme::resolver::{CHALLENGE_PROTOCOL, Resolver};
pub use crate::acme::store::AcmeStore;

/// How long one attempt may take, with all that the authority checks.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(300);
/// How long the authority may take to check names, and then to issue.
const ISSUE_LIMIT: Duration = Duration::from_secs(120);
/// After a failure, doubled with each: when the authority could not be reached, and when it refused. Those of today allow few failures an hour.
const UNREACHED_PAUSE: Duration = Duration::from_secs(2);
const REFUSED_PAUSE: Duration = Duration::from_secs(15 * 60);
const MOST_PAUSE: Duration = Duration::from_secs(6 * 3600);
/// How often it is looked whether a certificate grows old. The clock may be set, and the machine sleep.
const LOOK: Duration = Duration::from_secs(3600);

/// What an [`AcmeCertificate`] is for, and who issues it.
#[derive(Clone)]
pub struct AcmeConfig {
    /// The address of the authority's directory.
    pub directory: String,
    /// Whom the authority writes to.
    pub email: Option<String>,
    /// An account elsewhere that the authority asks for: its id, and the key (not base64 any more).
    pub external_account: Option<(String, Vec<u8>)>,
    /// Host names; the certificate is for all of them, and for nothing else.
    pub names: Vec<String>,
    /// Where the account and the certificate are kept.
    pub store: AcmeStore,
}

/// A certificate that an authority issues because this server answers its connections (the challenge `tls-alpn-01`, RFC 8737).
///
/// The authority connects to port 443 of each name: connections there must end at a listener with [`acceptor`](Self::acceptor).
/// Clones share it.
#[derive(Clone)]
pub struct AcmeCertificate {
    config: Arc<AcmeConfig>,
    kept: Kept,
    resolver: Arc<Resolver>,
}

impl AcmeCertificate {
    /// The certificate that is kept, if it is for these names; otherwise none, until [`keep`](Self::keep) has got one.
    ///
    /// # Errors
    ///
    /// When there is no name, or one that is no host's, and when what is kept cannot be read.
    pub async fn open(config: AcmeConfig) -> anyhow::Result<Self> {
        if config.names.is_empty() {
            bail!("a certificate needs a name");
        }
        for name in &config.names {
            let is_host = match rustls::pki_types::ServerName::try_from(name.as_str()) {
                Ok(rustls::pki_types::ServerName::DnsName(_)) => !name.contains('*'),
                _ => false,
            };
            if !is_host {
                bail!("{name:?} is no name of a host, for which a certificate could be had");
            }
        }
        let kept = Kept::new(config.store.clone(), &config.directory);
        let resolver = Arc::new(Resolver::default());
        if let Some(certificate) = kept.certificate(&config.names).await? {
            tracing::info!("a certificate is there until {}", time(certificate.expires));
            resolver.set(certificate);
        }
        Ok(Self {
            config: Arc::new(config),
            kept,
            resolver,
        })
    }

    /// Accepts TLS with it, also from the authority that checks the names. Until there is one, handshakes fail.
    ///
    /// # Errors
    ///
    /// When the protocol versions are not to be had.
    pub fn acceptor(&self, protocols: &[&str]) -> anyhow::Result<Acceptor> {
        let provider = Arc::new(tolerant(default_provider()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.resolver) as _);
        let protocols = protocols.iter().map(|name| name.as_bytes());
        config.alpn_protocols = protocols
            .chain([CHALLENGE_PROTOCOL])
            .map(<[u8]>::to_vec)
            .collect();
        Ok(Acceptor::new(config.into())?)
    }

    /// Gets a certificate, and a new one when two thirds of its time are over, until `stop`.
    ///
    /// Failures are logged. The next attempt is two seconds later if the authority could not be reached, a quarter of an hour if it refused;
    /// twice as long after each further one, six hours at most.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time; an order that was begun is not gone on with.
    pub async fn keep(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.renew()).await;
    }

    async fn renew(&self) {
        let mut failures = 0;
        loop {
            let due = self.resolver.renewal();
            let wait = due.and_then(|due| due.duration_since(SystemTime::now()).ok());
            if let Some(wait) = wait {
                sleep(wait.min(LOOK)).await;
                continue;
            }
            let attempt = timeout(ATTEMPT_LIMIT, self.next()).await;
            let attempt = attempt.unwrap_or_else(|_| bail!("it takes too long"));
            let error = match attempt {
                Ok(certificate) => {
                    failures = 0;
                    let names = self.config.names.join(", ");
                    let expires = time(certificate.expires);
                    tracing::info!("there is a new certificate for {names} until {expires}");
                    self.resolver.set(certificate);
                    continue;
                }
                Err(error) => error,
            };
            let is_refusal = error
                .chain()
                .any(|cause| matches!(cause.downcast_ref(), Some(Error::Api(_))));
            let pause = pause(is_refusal, failures);
            failures += 1;
            let directory = &self.config.directory;
            tracing::warn!("no certificate from {directory}, again in {pause:?}: {error:#}");
            sleep(pause).await;
        }
    }

    /// One that another host has got, which keeps it in the same place, or a new one.
    async fn next(&self) -> anyhow::Result<Certificate> {
        let kept = self.kept.certificate(&self.config.names).await?;
        match kept.filter(|kept| kept.renewal > SystemTime::now()) {
            Some(kept) => Ok(kept),
            None => self.order().await,
        }
    }

    /// A new certificate.
    async fn order(&self) -> anyhow::Result<Certificate> {
        let account = self.account().await.context("the account")?;
        let names: Vec<_> = self
            .config
            .names
            .iter()
            .cloned()
            .map(Identifier::Dns)
            .collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        let _challenges = Challenges(&self.resolver);
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Valid => continue,
                _ => bail!(
                    "the authority does not check {}",
                    authorization.identifier()
                ),
            }
            let name = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
                bail!("the authority does not check {name} by the challenge tls-alpn-01");
            };
            let proof = challenge.key_authorization();
            self.resolver.challenge(&name, proof.digest().as_ref())?;
            challenge.set_ready().await.with_context(|| name.clone())?;
        }
        let patience = RetryPolicy::new().timeout(ISSUE_LIMIT);
        let status = order.poll_ready(&patience).await?;
        if status != OrderStatus::Ready {
            let mut problem = String::new();
            let mut authorizations = order.authorizations();
            while let Some(Ok(mut authorization)) = authorizations.next().await {
                let state = authorization.refresh().await?;
                let errors = state.challenges.iter().filter_map(|one| one.error.as_ref());
                for error in errors {
                    problem = format!("{problem}; {error}");
                }
            }
            // What a problem of its own would be, too: asking again soon does not help.
            return Err(Error::Api(instant_acme::Problem {
                r#type: None,
                detail: Some(format!("the names were not confirmed{problem}")),
                status: None,
                subproblems: Vec::new(),
            })
            .into());
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&patience).await?;
        self.kept.store_certificate(&key, &chain).await
    }

    async fn account(&self) -> anyhow::Result<Account> {
        let client = || -> anyhow::Result<_> {
            // Those whom the system believes; `SSL_CERT_FILE` names others.
            let tls = crate::tls_client_config(None, false)?;
            let connector = hyper_rustls::HttpsConnectorBuilder::new()
                .with_tls_config(Arc::unwrap_or_clone(tls))
                .https_only()
                .enable_http1()
                .build();
            let executor = hyper_util::rt::TokioExecutor::new();
            let client = hyper_util::client::legacy::Client::builder(executor).build(connector);
            Ok(Account::builder_with_http(Box::new(client)))
        };
        if let Some(credentials) = self.kept.account().await? {
            return Ok(client()?.from_credentials(credentials).await?);
        }
        let contact = self
            .config
            .email
            .as_ref()
            .map(|email| format!("mailto:{email}"));
        let external = self.config.external_account.as_ref();
        let external = external.map(|(id, key)| ExternalAccountKey::new(id.clone(), key));
        let account = NewAccount {
            contact: &contact.as_deref().into_iter().collect::<Vec<_>>(),
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let directory = self.config.directory.clone();
        let creating = client()?.create(&account, directory, external.as_ref());
        let (account, credentials) = creating.await?;
        self.kept.store_account(&credentials).await?;
        Ok(account)
    }
}

/// Answers challenges as long as there is an order.
struct Challenges<'a>(&'a Resolver);

impl Drop for Challenges<'_> {
    fn drop(&mut self) {
        self.0.forget_challenges();
    }
}

fn pause(is_refusal: bool, failures: u32) -> Duration {
    let first = if is_refusal {
        REFUSED_PAUSE
    } else {
        UNREACHED_PAUSE
    };
    (first * 2_u32.pow(failures.min(16))).min(MOST_PAUSE)
}

fn time(time: SystemTime) -> String {
    let days = time
        .duration_since(SystemTime::now())
        .unwrap_or_default()
        .as_secs()
        / 86_400;
    format!("{days} days from now")
}

impl fmt::Debug for AcmeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcmeConfig")
            .field("directory", &self.directory)
            .field("names", &self.names)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AcmeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcmeCertificate")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use buckets::Bucket;

    use super::*;

    fn config(names: &[&str]) -> AcmeConfig {
        AcmeConfig {
            directory: "https://ca.example/dir".to_owned(),
            email: None,
            external_account: None,
            names: names.iter().map(|&name| name.to_owned()).collect(),
            store: AcmeStore::Bucket(Bucket::in_memory()),
        }
    }

    #[tokio::test]
    async fn only_names_of_hosts_are_taken() {
        for names in [
            &[][..],
            &["*.a.b"],
            &["1.2.3.4"],
            &["a b"],
            &["ok.example", ""],
        ] {
            assert!(
                AcmeCertificate::open(config(names)).await.is_err(),
                "{names:?}"
            );
        }
        AcmeCertificate::open(config(&["a.example", "localhost"]))
            .await
            .unwrap();
    }

    #[test]
    fn pauses_grow_and_have_an_end() {
        let seconds = |is_refusal, failures| pause(is_refusal, failures).as_secs();
        assert_eq!([0, 1, 2].map(|n| seconds(false, n)), [2, 4, 8]);
        assert_eq!([0, 1, 99].map(|n| seconds(true, n)), [900, 1800, 21_600]);
    }
}
