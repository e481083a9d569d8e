use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue, Uri};

use super::cookie_file::CookieFile;
use super::git_cookies::GitCookies;

/// How a [`Client`](crate::Client) authenticates. Its `Debug` shows the kind and never a secret.
///
/// With every kind but [`anonymous`](Self::anonymous) the client asks below `/a/`, where Gerrit demands credentials.
///
/// HTTP Digest is not offered: Gerrit dropped it with version 2.14.
#[derive(Clone)]
pub struct Auth(Kind);

#[derive(Clone)]
enum Kind {
    Anonymous,
    Header(HeaderValue),
    CookieFile(Arc<CookieFile>),
    GitCookies(Arc<GitCookies>),
    Bearer(Arc<dyn TokenSource>),
    Custom(Arc<dyn Authenticate>),
}

/// Any other way to authenticate.
#[async_trait]
pub trait Authenticate: Send + Sync {
    /// The headers that a request to `uri` needs, such as `Authorization` or `Cookie`. Asked before every attempt.
    ///
    /// # Errors
    ///
    /// When there are no credentials; nothing is sent then.
    async fn headers(&self, uri: &Uri) -> Result<HeaderMap, AuthError>;
}

/// Brings the tokens of [`Auth::bearer`].
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// A token that is valid now. Asked before every attempt: sources keep tokens until they expire.
    ///
    /// # Errors
    ///
    /// When there is none; nothing is sent then.
    async fn token(&self) -> Result<Token, AuthError>;
}

/// A token, and the scheme that the header `Authorization` names. Its `Debug` shows no secret.
#[derive(Clone)]
pub struct Token {
    scheme: String,
    secret: String,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum AuthError {
    /// The file with cookies cannot be read.
    #[error("cannot read the cookie file {}", path.display())]
    CookieFile {
        path: PathBuf,
        source: std::io::Error,
    },
    /// `.netrc` is there and cannot be read.
    #[error("cannot read {}", path.display())]
    Netrc {
        path: PathBuf,
        source: std::io::Error,
    },
    /// Neither git's cookies nor `.netrc` know the host.
    #[error(
        "no credentials for {host}: neither the file of `git config http.cookiefile` nor .netrc has any"
    )]
    NotConfigured { host: String },
    /// A token or password has characters that no header can hold.
    #[error("the credentials have characters that cannot be sent")]
    Unsendable,
    /// What the caller brought failed.
    #[error("the source of credentials failed")]
    Source(#[source] Box<dyn StdError + Send + Sync>),
}

impl Auth {
    /// Nobody: sees what is public, and changes nothing.
    #[must_use]
    pub fn anonymous() -> Self {
        Self(Kind::Anonymous)
    }

    /// A user's name and its HTTP password (Gerrit's settings, "HTTP credentials").
    #[must_use]
    pub fn basic(user: &str, password: &str) -> Self {
        Self(Kind::Header(basic(user, password)))
    }

    /// OAuth tokens, asked from `source` before every attempt.
    #[must_use]
    pub fn bearer(source: impl TokenSource + 'static) -> Self {
        Self(Kind::Bearer(Arc::new(source)))
    }

    /// The cookies for the server in a file of Netscape's format, as git's `http.cookiefile` and curl use it. At most 1 MiB.
    ///
    /// The file is read at first use and again once it changed. A host without cookies in it is asked below `/a/` all the same.
    /// An expiry of 0 means none, and lines of curl's `#HttpOnly_` count.
    #[must_use]
    pub fn cookie_file(path: impl AsRef<Path>) -> Self {
        Self(Kind::CookieFile(Arc::new(CookieFile::new(path.as_ref()))))
    }

    /// What git would use: the file that `git config http.cookiefile` names, or else the login for the host in `.netrc`.
    ///
    /// Git is asked in the current directory, for at most ten seconds, and again after five minutes.
    #[must_use]
    pub fn git_cookies() -> Self {
        Self(Kind::GitCookies(Arc::new(GitCookies::new())))
    }

    /// Any other way.
    #[must_use]
    pub fn custom(how: impl Authenticate + 'static) -> Self {
        Self(Kind::Custom(Arc::new(how)))
    }

    /// Whether requests go below `/a/`.
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self.0, Kind::Anonymous)
    }

    /// The headers for a request to `uri`, marked as sensitive.
    pub(crate) async fn headers(&self, uri: &Uri) -> Result<HeaderMap, AuthError> {
        let mut headers = match &self.0 {
            Kind::Anonymous => HeaderMap::new(),
            Kind::Header(value) => one(AUTHORIZATION, value.clone()),
            Kind::CookieFile(file) => cookies(file.cookies(uri).await?)?,
            Kind::GitCookies(git) => match git.find(uri).await? {
                Found::Cookies(text) => cookies(text)?,
                Found::Login { user, password } => one(AUTHORIZATION, basic(&user, &password)),
            },
            Kind::Bearer(source) => {
                let token = source.token().await?;
                let value = format!("{} {}", token.scheme, token.secret);
                let value = HeaderValue::try_from(value).map_err(|_| AuthError::Unsendable)?;
                one(AUTHORIZATION, value)
            }
            Kind::Custom(how) => how.headers(uri).await?,
        };
        for value in headers.values_mut() {
            value.set_sensitive(true);
        }
        Ok(headers)
    }
}

/// What git's configuration has for a host.
pub(super) enum Found {
    Cookies(String),
    Login { user: String, password: String },
}

fn one(name: http::HeaderName, value: HeaderValue) -> HeaderMap {
    HeaderMap::from_iter([(name, value)])
}

fn cookies(text: String) -> Result<HeaderMap, AuthError> {
    if text.is_empty() {
        return Ok(HeaderMap::new());
    }
    let value = HeaderValue::try_from(text).map_err(|_| AuthError::Unsendable)?;
    Ok(one(COOKIE, value))
}

fn basic(user: &str, password: &str) -> HeaderValue {
    let encoded = BASE64_STANDARD.encode(format!("{user}:{password}"));
    HeaderValue::try_from(format!("Basic {encoded}")).expect("base64 is visible ASCII")
}

impl Default for Auth {
    fn default() -> Self {
        Self::anonymous()
    }
}

impl Token {
    /// A token of the usual scheme, `Bearer`.
    #[must_use]
    pub fn bearer(secret: impl Into<String>) -> Self {
        Self::with_scheme("Bearer", secret)
    }

    /// A token of another scheme.
    #[must_use]
    pub fn with_scheme(scheme: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            scheme: scheme.into(),
            secret: secret.into(),
        }
    }
}

/// A token that never changes.
#[async_trait]
impl TokenSource for Token {
    async fn token(&self) -> Result<Self, AuthError> {
        Ok(self.clone())
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Anonymous => "anonymous",
            Kind::Header(_) => "basic",
            Kind::CookieFile(_) => "cookie file",
            Kind::GitCookies(_) => "git's cookies",
            Kind::Bearer(_) => "bearer",
            Kind::Custom(_) => "custom",
        };
        f.debug_tuple("Auth").field(&kind).finish()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}
