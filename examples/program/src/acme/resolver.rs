use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use anyhow::Context as _;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::acme::kept::Certificate;

/// What the authority asks for when it checks a name (RFC 8737).
pub(crate) const CHALLENGE_PROTOCOL: &[u8] = b"acme-tls/1";

/// Which certificate a client is shown.
#[derive(Default)]
pub(crate) struct Resolver {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    current: Option<Certificate>,
    /// By names, which the authority writes in small letters.
    challenges: BTreeMap<String, Arc<CertifiedKey>>,
}

impl Resolver {
    pub(crate) fn set(&self, certificate: Certificate) {
        self.with(|state| state.current = Some(certificate));
    }

    /// When there should be a new one: `None` if there is none yet.
    pub(crate) fn renewal(&self) -> Option<SystemTime> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state
            .current
            .as_ref()
            .map(|certificate| certificate.renewal)
    }

    /// Answers the authority's question about a name from now on.
    pub(crate) fn challenge(&self, name: &str, digest: &[u8]) -> anyhow::Result<()> {
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let key = any_ecdsa_type(&key).context("the key of a challenge")?;
        let shown = CertifiedKey::new(vec![certificate.der().clone()], key);
        self.with(|state| {
            let name = name.to_ascii_lowercase();
            state.challenges.insert(name, Arc::new(shown));
        });
        Ok(())
    }

    pub(crate) fn forget_challenges(&self) {
        self.with(|state| state.challenges.clear());
    }

    fn with(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut protocols = hello.alpn().into_iter().flatten();
        if protocols.any(|protocol| protocol == CHALLENGE_PROTOCOL) {
            let name = hello.server_name()?.to_ascii_lowercase();
            return state.challenges.get(&name).cloned();
        }
        state
            .current
            .as_ref()
            .map(|current| Arc::clone(&current.key))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}
