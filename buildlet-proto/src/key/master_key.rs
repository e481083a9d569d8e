use std::{error, fmt};

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;

use super::secret::{hex, same_secret};

/// The secret that makes and checks the keys of all builders.
///
/// Its `Debug` shows nothing of it.
///
/// ```
/// use buildlet_proto::key::MasterKey;
/// let master = MasterKey::development();
/// let key = master.key_for("host-linux-bullseye");
/// assert_eq!(key.as_str(), "9322a0f46b098a3218073b0711fbdccd");
/// assert!(master.verify("host-linux-bullseye", key.as_str()));
/// assert!(!master.verify("host-linux-s390x", key.as_str()));
/// ```
#[derive(Clone)]
pub struct MasterKey(Vec<u8>);

impl MasterKey {
    /// A master key of these bytes.
    ///
    /// # Errors
    ///
    /// When there are none: with an empty master key everybody could make keys.
    pub fn new(secret: impl Into<Vec<u8>>) -> Result<Self, EmptyMasterKey> {
        let secret = secret.into();
        if secret.is_empty() {
            return Err(EmptyMasterKey(()));
        }
        Ok(Self(secret))
    }

    /// A master key from the content of a file, of which the white space around is no part.
    ///
    /// # Errors
    ///
    /// When nothing else is in it.
    pub fn from_file_content(content: &[u8]) -> Result<Self, EmptyMasterKey> {
        Self::new(content.trim_ascii())
    }

    /// The one that upstream's programs share when they run for development. It is no secret.
    #[must_use]
    pub fn development() -> Self {
        Self(b"gophers rule".to_vec())
    }

    /// The key of `principal`: a host type, or `user-NAME`.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "HMAC takes keys of any length")]
    pub fn key_for(&self, principal: &str) -> BuilderKey {
        let mut mac = Hmac::<Md5>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(principal.as_bytes());
        BuilderKey(hex(&mac.finalize().into_bytes()))
    }

    /// Whether `presented` is the key of `principal`. Letter case matters. The time it takes tells nothing of the right key.
    #[must_use]
    pub fn verify(&self, principal: &str, presented: &str) -> bool {
        let key = self.key_for(principal);
        same_secret(key.as_str().as_bytes(), presented.as_bytes())
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// A master key has no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmptyMasterKey(());

impl fmt::Display for EmptyMasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("master key is empty")
    }
}

impl error::Error for EmptyMasterKey {}

/// With what a builder proves that it is one of its host type. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct BuilderKey(String);

impl BuilderKey {
    /// A key that was given to this builder.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The text to send.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BuilderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BuilderKey(..)")
    }
}
