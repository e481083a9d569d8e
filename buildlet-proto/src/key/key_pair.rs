use std::fmt;

use super::password_from_key_pem;

/// The certificate and the private key of a buildlet that serves TLS, as PEM texts.
///
/// Whoever starts the machine makes the pair and gives both to it; its client then knows it by the key. Upstream's pairs are
/// RSA, and its buildlets take no other. The `Debug` shows nothing of the key.
#[derive(Clone)]
pub struct KeyPair {
    cert_pem: String,
    key_pem: String,
}

impl KeyPair {
    /// A pair that was made before.
    #[must_use]
    pub fn new(cert_pem: impl Into<String>, key_pem: impl Into<String>) -> Self {
        Self {
            cert_pem: cert_pem.into(),
            key_pem: key_pem.into(),
        }
    }

    /// The certificate.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The private key.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The password that upstream uses with this pair: see [`password_from_key_pem`].
    #[must_use]
    pub fn password(&self) -> String {
        password_from_key_pem(&self.key_pem)
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").finish_non_exhaustive()
    }
}
