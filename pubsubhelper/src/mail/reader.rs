use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use mail_auth::AuthenticatedMessage;

use crate::event::{GerritEvent, Signal};
use crate::limits::MAX_FIELD;
use crate::mail::dkim::{Verifier, VerifyError};
use crate::mail::keys::{KeySource, ResolveKeyError};
use crate::seen::Seen;
use crate::smtp::Envelope;

/// Signatures that are remembered, so that a mail counts once: those of days, on a busy server.
const REMEMBERED: usize = 10_000;

const URL: &str = "X-Gerrit-ChangeURL";
const PROJECT: &str = "X-Gerrit-Project";
const COMMIT: &str = "X-Gerrit-Commit";
const NUMBER: &str = "X-Gerrit-Change-Number";
/// What a Gerrit server puts behind a change's address in mails.
const URL_SUFFIX: &str = "?usp=email";

/// Which mails are believed.
#[derive(Clone, Debug)]
pub struct MailConfig {
    domains: Vec<String>,
    sender_host: String,
    require_signed_headers: bool,
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            domains: vec!["google.com".to_owned()],
            sender_host: "gerritcodereview.bounces.google.com".to_owned(),
            require_signed_headers: false,
        }
    }
}

impl MailConfig {
    /// The domains whose signatures count, with all domains below them; `google.com` by default.
    #[must_use]
    pub fn domains(mut self, domains: Vec<String>) -> Self {
        self.domains = domains;
        self
    }

    /// The host of the address that mails come from (SMTP's `MAIL FROM`), whatever the case of its letters; by default
    /// `gerritcodereview.bounces.google.com`.
    #[must_use]
    pub fn sender_host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.sender_host);
        self
    }

    /// Whether the headers that the event is made of must be signed too, each once. `false` by default, as Google's servers do not sign
    /// them: whoever has a mail of theirs can send it once more for another project.
    #[must_use]
    pub fn require_signed_headers(mut self, require: bool) -> Self {
        self.require_signed_headers = require;
        self
    }
}

/// Why a mail is no event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// It never will be.
    #[error("the mail is refused")]
    Refused(#[from] MailRefusal),
    /// That cannot be said now.
    #[error("the mail's signature cannot be checked now")]
    Keys(#[from] ResolveKeyError),
}

/// Why a mail is never an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum MailRefusal {
    /// It is not from the host that Gerrit's mails come from.
    #[error("it does not come from {expected}")]
    OtherSender { expected: String },
    /// It has no headers.
    #[error("it has no headers")]
    NoHeaders,
    /// No signature is right, and of a domain that is believed.
    #[error("{reason}")]
    NotSigned { reason: String },
    /// It came before.
    #[error("its signature came before")]
    Again,
    /// A header that the event is made of is not signed, or is there more than once.
    #[error("its {name} is not signed")]
    HeaderNotSigned { name: &'static str },
    /// It names no project.
    #[error("it has no {PROJECT}")]
    NoProject,
    /// A header is longer than any that Gerrit sends.
    #[error("its {name} is longer than {MAX_FIELD} bytes")]
    LongHeader { name: &'static str },
}

/// Reads Gerrit's notification mails, and believes those that are signed.
///
/// Clones share what they remember.
#[derive(Clone)]
pub struct MailReader {
    shared: Arc<Shared>,
}

struct Shared {
    config: MailConfig,
    verifier: Verifier,
    seen: Mutex<Seen<Vec<u8>>>,
}

impl MailReader {
    /// A reader that gets public keys from there.
    ///
    /// # Errors
    ///
    /// When the part that checks signatures cannot be set up.
    pub fn new(
        config: MailConfig,
        keys: impl KeySource + 'static,
    ) -> Result<Self, ResolveKeyError> {
        let verifier = Verifier::new(Arc::new(keys), config.domains.clone())?;
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                verifier,
                seen: Mutex::new(Seen::new(REMEMBERED)),
            }),
        })
    }

    /// Checks a mail and reads what it says.
    ///
    /// It counts if it comes from Gerrit's host and has a DKIM signature (RFC 6376) of a domain that is believed, over `From` and the whole body, with SHA-256,
    /// that is not expired and did not come before.
    ///
    /// # Errors
    ///
    /// When it does not count, or a key cannot be known now.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a mail is remembered when it is returned.
    pub async fn read(&self, mail: &Envelope) -> Result<Signal, MailError> {
        let config = &self.shared.config;
        let host = mail.sender.rsplit_once('@').map_or("", |(_, host)| host);
        if !host.eq_ignore_ascii_case(&config.sender_host) {
            let expected = config.sender_host.clone();
            return Err(MailRefusal::OtherSender { expected }.into());
        }
        let mut message =
            AuthenticatedMessage::parse(&mail.message).ok_or(MailRefusal::NoHeaders)?;
        let event = gerrit_event(&message)?;
        let verified = match self.shared.verifier.verify(&mut message).await {
            Ok(verified) => verified,
            Err(VerifyError::Refused(reason)) => {
                return Err(MailRefusal::NotSigned { reason }.into());
            }
            Err(VerifyError::Keys(error)) => return Err(error.into()),
        };
        if config.require_signed_headers {
            for name in [URL, PROJECT, COMMIT, NUMBER] {
                let count = headers(&message, name).count();
                let is_signed = verified
                    .headers
                    .iter()
                    .any(|signed| signed.eq_ignore_ascii_case(name));
                if count > 1 || (count == 1 && !is_signed) {
                    return Err(MailRefusal::HeaderNotSigned { name }.into());
                }
            }
        }
        let mut seen = self
            .shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !seen.insert(verified.signature) {
            return Err(MailRefusal::Again.into());
        }
        Ok(Signal::Gerrit(event))
    }
}

impl fmt::Debug for MailReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailReader")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

fn gerrit_event(message: &AuthenticatedMessage<'_>) -> Result<GerritEvent, MailRefusal> {
    let project = first(message, PROJECT)?;
    if project.is_empty() {
        return Err(MailRefusal::NoProject);
    }
    let url = first(message, URL)?;
    let url = url.trim_matches(['<', '>']);
    Ok(GerritEvent {
        url: url.strip_suffix(URL_SUFFIX).unwrap_or(url).to_owned(),
        project,
        commit_hash: first(message, COMMIT)?,
        change_number: first(message, NUMBER)?.parse().unwrap_or(0),
    })
}

/// The first header of that name on one line; empty if there is none.
fn first(message: &AuthenticatedMessage<'_>, name: &'static str) -> Result<String, MailRefusal> {
    let value = headers(message, name).next().unwrap_or_default();
    if value.len() > MAX_FIELD {
        return Err(MailRefusal::LongHeader { name });
    }
    let value = String::from_utf8_lossy(value);
    Ok(value.replace("\r\n", "").trim().to_owned())
}

fn headers<'a>(
    message: &'a AuthenticatedMessage<'_>,
    name: &str,
) -> impl Iterator<Item = &'a [u8]> {
    (message.headers.iter())
        .filter(move |(header, _)| {
            header
                .trim_ascii_end()
                .eq_ignore_ascii_case(name.as_bytes())
        })
        .map(|(_, value)| *value)
}
