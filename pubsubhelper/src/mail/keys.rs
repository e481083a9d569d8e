use std::error::Error;

use async_trait::async_trait;
use mail_auth::MessageAuthenticator;
use mail_auth::hickory_resolver::proto::rr::{Name, RData};

/// Where the public keys of DKIM signatures come from.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// The TXT records of a name such as `s1._domainkey.google.com.`, each with its pieces put together; none if there is no such name.
    ///
    /// The caller ends it after 15 s by dropping the future.
    ///
    /// # Errors
    ///
    /// When it cannot be known now; the mail will come again.
    async fn key_records(&self, name: &str) -> Result<Vec<Vec<u8>>, ResolveKeyError>;
}

/// Why a key cannot be known now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ResolveKeyError {
    /// The system's DNS configuration cannot be used.
    #[error("cannot use the system's DNS configuration")]
    Configuration(#[source] Box<dyn Error + Send + Sync>),
    /// The look-up failed.
    #[error("cannot look up {name}")]
    LookUp {
        name: String,
        source: Box<dyn Error + Send + Sync>,
    },
    /// There was no answer in time.
    #[error("no answer about {name} in time")]
    TimedOut { name: String },
}

/// Keys from DNS, with the system's name servers; answers are kept as long as they say.
pub struct DnsKeys(MessageAuthenticator);

impl DnsKeys {
    /// Asks the name servers of `/etc/resolv.conf` or the like.
    ///
    /// # Errors
    ///
    /// When that cannot be read.
    pub fn from_system() -> Result<Self, ResolveKeyError> {
        MessageAuthenticator::new_system_conf()
            .map(Self)
            .map_err(|error| ResolveKeyError::Configuration(error.into()))
    }
}

#[async_trait]
impl KeySource for DnsKeys {
    async fn key_records(&self, name: &str) -> Result<Vec<Vec<u8>>, ResolveKeyError> {
        let failed = |source: Box<dyn Error + Send + Sync>| ResolveKeyError::LookUp {
            name: name.to_owned(),
            source,
        };
        let query = Name::from_str_relaxed(name).map_err(|error| failed(error.into()))?;
        let lookup = match self.0.resolver().txt_lookup(query).await {
            Ok(lookup) => lookup,
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(error) => return Err(failed(error.into())),
        };
        Ok((lookup.answers().iter())
            .filter_map(|record| match &record.data {
                RData::TXT(text) => Some(
                    text.txt_data
                        .iter()
                        .flat_map(|piece| piece.iter().copied())
                        .collect(),
                ),
                _ => None,
            })
            .collect())
    }
}
