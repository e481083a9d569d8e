use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mail_auth::common::crypto::Algorithm;
use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::common::verify::{DomainKey, VerifySignature as _};
use mail_auth::dkim::{DkimError, Signature};
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{
    AuthenticatedMessage, DkimResult, Error, MessageAuthenticator, Parameters, ResolverCache, Txt,
};
use tokio::time::timeout;

use crate::mail::keys::{KeySource, ResolveKeyError};

/// Signatures of one mail that are looked at; each may cost a look-up.
const MAX_SIGNATURES: usize = 4;
const LOOK_UP_LIMIT: Duration = Duration::from_secs(15);
/// The shortest RSA keys, in bits; RFC 8301, 3.2.
const MIN_KEY: usize = 1024;

/// Checks DKIM signatures (RFC 6376) of domains that are believed.
pub(super) struct Verifier {
    keys: Arc<dyn KeySource>,
    domains: Vec<String>,
    /// Has no name servers: keys come from `keys` alone.
    offline: MessageAuthenticator,
}

/// A signature that is right: of headers that include `From`, and of the whole body.
pub(super) struct Verified {
    /// The names of the headers it covers, in lower case.
    pub(super) headers: Vec<String>,
    pub(super) signature: Vec<u8>,
}

/// Why no signature counts.
pub(super) enum VerifyError {
    /// The last one that was looked at is wrong in this way.
    Refused(String),
    Keys(ResolveKeyError),
}

impl Verifier {
    pub(super) fn new(
        keys: Arc<dyn KeySource>,
        domains: Vec<String>,
    ) -> Result<Self, ResolveKeyError> {
        let nowhere = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
        let offline = MessageAuthenticator::new(nowhere, ResolverOpts::default())
            .map_err(|error| ResolveKeyError::Configuration(error.into()))?;
        Ok(Self {
            keys,
            domains,
            offline,
        })
    }

    /// Finds a signature that is right.
    pub(super) async fn verify(
        &self,
        message: &mut AuthenticatedMessage<'_>,
    ) -> Result<Verified, VerifyError> {
        let mut reason = match message.errors.first() {
            Some(malformed) => format!("the DKIM signature is malformed: {}", malformed.header),
            None => "there is no DKIM signature".to_owned(),
        };
        let mut looked_at = 0;
        message.dkim_headers.retain_mut(|header| {
            looked_at += 1;
            let acceptable = match self.acceptable(&header.header) {
                Ok(()) if looked_at <= MAX_SIGNATURES => true,
                Ok(()) => false,
                Err(why) => {
                    reason = why;
                    false
                }
            };
            // Neither reports nor third parties: both would be more names to look up.
            header.header.r = false;
            header.header.atps = None;
            acceptable
        });
        let mut records = Records::default();
        let mut unknown = None;
        for header in &message.dkim_headers {
            let name = header.header.domain_key();
            match self.key(&name).await {
                Ok(record) => {
                    records.0.insert(name.into_boxed_str(), record);
                }
                Err(error) => unknown = Some(error),
            }
        }
        let message = &*message;
        let verified = (self
            .offline
            .verify_dkim(Parameters::new(message).with_txt_cache(&records)))
        .await;
        for output in &verified {
            match (output.result(), output.signature()) {
                (DkimResult::Pass, Some(signature)) => {
                    return Ok(Verified {
                        headers: signature
                            .h
                            .iter()
                            .map(|name| name.to_ascii_lowercase())
                            .collect(),
                        signature: signature.b.clone(),
                    });
                }
                (result, Some(_)) => reason = format!("the DKIM signature does not hold: {result}"),
                (_, None) => {}
            }
        }
        Err(match unknown {
            Some(error) => VerifyError::Keys(error),
            None => VerifyError::Refused(reason),
        })
    }

    /// What can be said of a signature without its key.
    fn acceptable(&self, signature: &Signature) -> Result<(), String> {
        if !self.believes(&signature.d) {
            return Err("the DKIM signature is of another domain".to_owned());
        }
        if signature.v != 1 {
            return Err("the DKIM signature is not of version 1".to_owned());
        }
        if signature.a == Algorithm::RsaSha1 {
            return Err("the DKIM signature is made with SHA-1".to_owned());
        }
        // Refused by the parser too; a limit on what is signed lets anybody add to the mail.
        if signature.l != 0 {
            return Err("the DKIM signature covers a part of the body".to_owned());
        }
        if !signature
            .h
            .iter()
            .any(|name| name.eq_ignore_ascii_case("from"))
        {
            return Err("the DKIM signature does not cover From".to_owned());
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !signature.s.chars().all(is_name) || signature.domain_key().len() > 254 {
            return Err("the DKIM signature's selector is no name".to_owned());
        }
        Ok(())
    }

    /// Whether `domain` is one of those that are believed, or below one.
    fn believes(&self, domain: &str) -> bool {
        self.domains.iter().any(|known| {
            let Some(split) = domain.len().checked_sub(known.len()) else {
                return false;
            };
            let Some((below, end)) = domain.split_at_checked(split) else {
                return false;
            };
            end.eq_ignore_ascii_case(known)
                && (below.is_empty() || below.ends_with('.'))
                && below
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        })
    }

    /// The first record that is a key.
    async fn key(&self, name: &str) -> Result<Txt, ResolveKeyError> {
        let records = timeout(LOOK_UP_LIMIT, self.keys.key_records(name))
            .await
            .map_err(|_| ResolveKeyError::TimedOut {
                name: name.to_owned(),
            })??;
        let mut why = Error::Dns(mail_auth::DnsError::InvalidRecordType);
        for record in records {
            match DomainKey::parse(&record) {
                Ok(key) if key.p.public_key_bits() < MIN_KEY => {
                    why = Error::Dkim(DkimError::UnsupportedKeyType);
                }
                Ok(key) => return Ok(Txt::DomainKey(Arc::new(key))),
                Err(error) => why = error,
            }
        }
        Ok(Txt::Error(why))
    }
}

/// The records that were looked up. What is not there does not exist, so that nothing else is asked.
#[derive(Default)]
struct Records(HashMap<Box<str>, Txt>);

impl ResolverCache<Box<str>, Txt> for Records {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let missing = || Txt::Error(Error::Dns(mail_auth::DnsError::InvalidRecordType));
        Some(self.0.get(name).cloned().unwrap_or_else(missing))
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}
