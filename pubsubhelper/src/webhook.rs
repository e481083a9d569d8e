use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;

use crate::event::{GithubEvent, Signal};
use crate::limits::MAX_FIELD;

/// The header with the signature. `X-Hub-Signature`, which has SHA-1, is not looked at.
pub const SIGNATURE_HEADER: &str = "X-Hub-Signature-256";

/// The longest body of a webhook that is read, in bytes; the same as upstream's.
pub const MAX_BODY: usize = 5 << 20;

/// What GitHub and the server both know, and nobody else. It is never shown.
#[derive(Clone)]
pub struct WebhookSecret(Hmac<Sha256>);

/// Says that a webhook's secret is empty: everybody can sign with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the webhook's secret is empty")]
pub struct EmptySecretError;

/// Why a delivery is no event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum WebhookError {
    /// The body is longer than [`MAX_BODY`].
    #[error("the body has {len} bytes, the limit is {MAX_BODY}")]
    TooLong { len: usize },
    /// There is no signature.
    #[error("there is no {SIGNATURE_HEADER}, or it is not sha256= and 64 digits in hex")]
    NoSignature,
    /// The signature is not that of the secret and the body.
    #[error("the signature is not made with the webhook's secret")]
    WrongSignature,
    /// The body is no JSON, or not as GitHub sends it.
    #[error(
        "the body is no JSON, or not as GitHub sends it (the webhook's content type must be application/json)"
    )]
    Json(#[source] serde_json::Error),
    /// It is about something else: a push, a star, a ping.
    #[error("it is about no issue and no pull request of a repository")]
    OtherKind,
    /// The repository has no name of the form `owner/name`.
    #[error("the repository's full name is not OWNER/NAME")]
    BadName,
    /// A text is longer than any that GitHub sends.
    #[error("a text is longer than {MAX_FIELD} bytes")]
    LongText,
}

impl WebhookSecret {
    /// Takes the secret's bytes.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub fn new(secret: &[u8]) -> Result<Self, EmptySecretError> {
        if secret.is_empty() {
            return Err(EmptySecretError);
        }
        // HMAC takes keys of every length; this one error is of the trait.
        Hmac::new_from_slice(secret)
            .map(Self)
            .map_err(|_| EmptySecretError)
    }

    /// Checks a delivery and reads what it says. `signature` is the value of [`SIGNATURE_HEADER`], `body` all bytes as they came.
    ///
    /// Nothing of the body is looked at before the signature is found right, in constant time.
    ///
    /// # Errors
    ///
    /// When it is not from GitHub, or not about an issue or a pull request. No error holds the secret or a signature.
    pub fn read(&self, signature: Option<&[u8]>, body: &[u8]) -> Result<Signal, WebhookError> {
        if body.len() > MAX_BODY {
            return Err(WebhookError::TooLong { len: body.len() });
        }
        let signature = (signature.and_then(|value| value.strip_prefix(b"sha256=")))
            .and_then(from_hex)
            .ok_or(WebhookError::NoSignature)?;
        let mut mac = self.0.clone();
        mac.update(body);
        mac.verify_slice(&signature)
            .map_err(|_| WebhookError::WrongSignature)?;
        read_body(body).map(Signal::Github)
    }

    /// As [`read`](Self::read), for a delivery that was kept: lines of headers, as GitHub's page of recent deliveries shows them, an empty line, and the
    /// body to the byte. Lines of headers end in LF or CR LF; those that are not [`SIGNATURE_HEADER`] are not looked at.
    ///
    /// # Errors
    ///
    /// As for a delivery that comes by HTTP.
    pub fn read_stored(&self, delivery: &[u8]) -> Result<Signal, WebhookError> {
        let mut rest = delivery;
        let mut signature = None;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let line = rest[..end].trim_ascii();
            rest = &rest[end + 1..];
            if line.is_empty() {
                return self.read(signature, rest);
            }
            if let Some(colon) = line.iter().position(|&byte| byte == b':')
                && line[..colon].eq_ignore_ascii_case(SIGNATURE_HEADER.as_bytes())
            {
                signature = Some(line[colon + 1..].trim_ascii());
            }
        }
        Err(WebhookError::NoSignature)
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    action: Option<String>,
    repository: Option<Repository>,
    issue: Option<Numbered>,
    pull_request: Option<Numbered>,
}

#[derive(Deserialize)]
struct Repository {
    #[serde(default)]
    full_name: Option<String>,
}

#[derive(Deserialize)]
struct Numbered {
    #[serde(default)]
    number: Option<i64>,
}

fn read_body(body: &[u8]) -> Result<GithubEvent, WebhookError> {
    let body: Body = serde_json::from_slice(body).map_err(WebhookError::Json)?;
    let (Some(repository), true) = (
        body.repository,
        body.issue.is_some() || body.pull_request.is_some(),
    ) else {
        return Err(WebhookError::OtherKind);
    };
    let name = repository.full_name.unwrap_or_default();
    let (owner, repo) = name.split_once('/').ok_or(WebhookError::BadName)?;
    // Upstream takes empty parts; GitHub has none, and no client can wait for one.
    if owner.is_empty() || repo.is_empty() || repo.contains('/') {
        return Err(WebhookError::BadName);
    }
    let action = body.action.unwrap_or_default();
    if action.len().max(name.len()) > MAX_FIELD {
        return Err(WebhookError::LongText);
    }
    let number = |numbered: Option<Numbered>| numbered.and_then(|it| it.number).unwrap_or(0);
    Ok(GithubEvent {
        action,
        repo_owner: owner.to_owned(),
        repo: repo.to_owned(),
        issue_number: number(body.issue),
        pull_request_number: number(body.pull_request),
    })
}

/// The 32 bytes that 64 digits of any case stand for.
fn from_hex(digits: &[u8]) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(bytes)
}
