//! GitHub Apps: a signed statement of who one is, for which GitHub gives a token.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::sync::github::auth::{AuthError, bearer};
use crate::sync::github::json;

/// A statement counts for ten minutes at most; less, for clocks that differ.
const STATEMENT: Duration = Duration::from_secs(540);
/// It is dated back, for the same reason.
const BEFORE: Duration = Duration::from_secs(60);
/// A token is renewed when less than this is left of its hour.
const MARGIN: Duration = Duration::from_secs(300);

pub(super) struct App {
    id: String,
    installation: u64,
    key: RsaKeyPair,
    token: Mutex<Option<Token>>,
    /// Seconds that GitHub's clock is ahead of this machine's, as far as is known.
    ahead: Mutex<i64>,
    /// One at a time asks for a token.
    pub(super) renewing: tokio::sync::Mutex<()>,
}

struct Token {
    value: HeaderValue,
    /// In GitHub's clock, since 1970.
    ends: Duration,
}

impl App {
    pub(super) fn new(id: &str, installation: u64, pem: &str) -> Result<Self, AuthError> {
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') {
            return Err(AuthError::AppId { id: id.to_owned() });
        }
        // The library's errors name no part of the key.
        let unusable = |why: String| AuthError::AppKey { why };
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| unusable("it is not in PEM form".into()))?;
        let key = match &der {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err(unusable("it is no RSA key".into())),
        };
        let key = key.map_err(|rejected| unusable(rejected.to_string()))?;
        Ok(Self {
            id: id.to_owned(),
            installation,
            key,
            token: Mutex::new(None),
            ahead: Mutex::new(0),
            renewing: tokio::sync::Mutex::new(()),
        })
    }

    /// Where a token is asked for, below the interface's address.
    pub(super) fn path(&self) -> String {
        format!("/app/installations/{}/access_tokens", self.installation)
    }

    /// The token, unless it ends soon.
    pub(super) fn token(&self) -> Option<HeaderValue> {
        let now = self.now();
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let token = token.as_ref().filter(|token| now + MARGIN < token.ends)?;
        Some(token.value.clone())
    }

    /// Forgets a token that was refused, unless there is a newer one.
    pub(super) fn refused(&self, value: &HeaderValue) {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        token.take_if(|token| token.value == value);
    }

    /// Takes the token from GitHub's answer.
    pub(super) fn accept(&self, body: &[u8]) -> Result<HeaderValue, AuthError> {
        let none = || AuthError::Exchange {
            is_transient: true,
            source: "the answer has no token with a time of its end".into(),
        };
        let mut fields = json::object(body).ok_or_else(none)?;
        let value = bearer(&fields.text("token").ok_or_else(none)?)?;
        let ends = fields.time("expires_at").ok_or_else(none)?;
        let ends = Duration::from_secs(u64::try_from(ends.unix_seconds()).map_err(|_| none())?);
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        *token = Some(Token {
            value: value.clone(),
            ends,
        });
        Ok(value)
    }

    /// Learns what time it is there. Tells whether that is news: then a statement that was refused is worth another try.
    pub(super) fn learn_clock(&self, server: u64) -> bool {
        let ours = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let ahead = server.cast_signed() - ours.as_secs().cast_signed();
        let mut known = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = (*known - ahead).abs() > 5;
        *known = ahead;
        is_news
    }

    fn now(&self) -> Duration {
        let ahead = *self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Duration::from_secs(ours.as_secs().saturating_add_signed(ahead))
    }

    /// "I am this App", as a JSON Web Token (RFC 7519), signed with RS256 (RFC 7518).
    pub(super) fn statement(&self) -> Result<HeaderValue, AuthError> {
        let now = self.now();
        let (from, until) = (
            now.saturating_sub(BEFORE).as_secs(),
            (now + STATEMENT).as_secs(),
        );
        let claims = format!(r#"{{"iat":{from},"exp":{until},"iss":"{}"}}"#, self.id);
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| AuthError::AppKey {
                why: "it does not sign".into(),
            })?;
        bearer(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
