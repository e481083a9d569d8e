use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, InvalidHeaderValue};
use http::{HeaderMap, HeaderValue, Method, Uri};
use rest_transport::{Pace, Transport};

use crate::call::Call;
use crate::config::{Config, ConfigError};

/// A client of one Gerrit server. Clones are cheap and share connections, credentials and the rate limit.
///
/// Calls are futures that may be dropped at any time. One that changes something may have done so when it is dropped, and also when it fails
/// by [time](crate::ErrorKind::TimedOut) or [network](crate::ErrorKind::Network).
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    /// What goes with each call of this clone.
    headers: HeaderMap,
}

pub(crate) struct Inner {
    /// Without a slash at its end.
    base: String,
    pub(crate) config: Config,
    pub(crate) pace: Pace,
}

impl Client {
    /// Makes a client of the server at `base_url`: a scheme (`https`, or `http` for tests), a host and perhaps a port and a path.
    /// Nothing is sent yet. [`Account::get`](crate::Account::get) of [`AccountId::me`](crate::AccountId::me) is a cheap check of credentials.
    ///
    /// # Errors
    ///
    /// When the address is none, or the configuration makes no sense.
    pub fn new(base_url: &str, config: Config) -> Result<Self, ConfigError> {
        let config = config.validate()?;
        let pace = config.pace();
        let base = checked_base(base_url)?;
        let inner = Arc::new(Inner { base, config, pace });
        let headers = HeaderMap::new();
        Ok(Self { inner, headers })
    }

    /// The same client with a header that goes with all its calls. Those of credentials belong to [`Auth`](crate::Auth): what is set here
    /// can appear in `Debug`.
    #[must_use]
    pub fn with_header(&self, name: HeaderName, value: HeaderValue) -> Self {
        let mut client = self.clone();
        client.headers.insert(name, value);
        client
    }

    /// The same client, whose calls the server traces: what it does for them is in its log with `id`, for its administrators.
    ///
    /// # Errors
    ///
    /// When no header can hold `id`.
    pub fn with_trace(&self, id: &str) -> Result<Self, InvalidHeaderValue> {
        let value = HeaderValue::from_str(id)?;
        Ok(self.with_header(HeaderName::from_static("x-gerrit-trace"), value))
    }

    /// The same client, whose calls the server gives up after `time`, rounded up to milliseconds, so that it does not work for nobody:
    /// status 408. The client's own [`attempt_timeout`](Config::attempt_timeout) stays.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "digits and letters can be a header's value"
    )]
    pub fn with_deadline(&self, time: Duration) -> Self {
        let millis = time.as_nanos().div_ceil(1_000_000);
        let value = HeaderValue::from_str(&format!("{millis}ms"));
        let value = value.expect("digits and letters can be a header's value");
        self.with_header(HeaderName::from_static("x-gerrit-deadline"), value)
    }

    /// The server's address, without a slash at its end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.inner.base
    }

    /// Begins any call, also one that this crate has no name for, such as a plugin's.
    ///
    /// `path` begins with a slash, is escaped already ([`escape_segment`](crate::escape_segment)), and does not contain `/a`, which is put
    /// before it where needed.
    pub fn call(&self, method: Method, path: impl Into<String>) -> Call<'_> {
        Call::new(&self.inner, method, path.into(), self.headers.clone())
    }

    pub(crate) fn get(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub(crate) fn put(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::PUT, path)
    }

    pub(crate) fn post(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::POST, path)
    }

    pub(crate) fn delete(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::DELETE, path)
    }
}

impl Inner {
    /// The address of `path`, with the `/a` that makes Gerrit ask for credentials.
    pub(crate) fn url(&self, path: &str) -> String {
        let known = if self.config.auth.is_known() {
            "/a"
        } else {
            ""
        };
        format!("{}{known}{path}", self.base)
    }

    pub(crate) fn transport(&self) -> &dyn Transport {
        let transport = self.config.transport.as_deref();
        transport.expect("`validate` has set one")
    }
}

fn checked_base(url: &str) -> Result<String, ConfigError> {
    let wrong = || ConfigError::Url {
        url: url.to_owned(),
    };
    // Before anything else, lest the error shows them.
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(ConfigError::Credentials);
    }
    let base = url.strip_suffix('/').unwrap_or(url);
    let uri: Uri = base.parse().map_err(|_| wrong())?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    if !is_http || uri.host().is_none_or(str::is_empty) || url.contains(['?', '#']) {
        return Err(wrong());
    }
    Ok(base.to_owned())
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base_url", &self.inner.base)
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slash_at_the_end_of_an_address_goes() {
        for (url, base) in [
            ("https://h", "https://h"),
            ("https://h/", "https://h"),
            ("https://h/gerrit/", "https://h/gerrit"),
            ("http://h:8080/r", "http://h:8080/r"),
        ] {
            assert_eq!(checked_base(url).unwrap(), base);
        }
    }

    #[test]
    fn an_address_with_a_password_is_refused_without_showing_it() {
        let error = checked_base("https://me:s3cret@h").unwrap_err();
        assert!(matches!(error, ConfigError::Credentials));
        assert!(!format!("{error:?} {error}").contains("s3cret"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in [
            "",
            "h",
            "ftp://h",
            "https://",
            "https://h?x",
            "https://h/#y",
            "https:// h",
        ] {
            assert!(checked_base(url).is_err(), "{url}");
        }
    }
}
