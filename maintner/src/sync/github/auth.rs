use std::fmt::{self, Debug, Formatter};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderValue;

use crate::sync::github::app::App;
use crate::sync::github::error::BoxError;

/// The largest file of a token that is read, in bytes.
const MAX_FILE: u64 = 4096;

/// Who asks GitHub. Clones are the same one; nothing secret is shown by `Debug`.
#[derive(Clone)]
pub struct GithubAuth {
    pub(super) kind: Kind,
}

#[derive(Clone)]
pub(super) enum Kind {
    Anonymous,
    Token(HeaderValue),
    App(Arc<App>),
}

impl GithubAuth {
    /// Nobody in particular: public repositories, 60 requests an hour.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            kind: Kind::Anonymous,
        }
    }

    /// A personal access token, or any other that goes by `Authorization: Bearer`.
    ///
    /// # Errors
    ///
    /// When it is empty, or has characters that no token has.
    pub fn token(token: &str) -> Result<Self, AuthError> {
        Ok(Self {
            kind: Kind::Token(bearer(token)?),
        })
    }

    /// A token in a file, as `user:token` or alone. Nobody but the file's owner may be able to read it.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is readable by others, or has no token.
    pub fn token_file(path: impl AsRef<Path>) -> Result<Self, AuthError> {
        let text = secret_file(path.as_ref())?;
        let text = text.trim();
        Self::token(text.rsplit_once(':').map_or(text, |(_, token)| token))
    }

    /// An installation of a GitHub App: its client id or number, the number of the installation, and its private key in PEM form. It gets
    /// tokens of an hour and renews them before they end.
    ///
    /// # Errors
    ///
    /// When the key is none, or the id is empty or has characters that none has.
    pub fn app(id: &str, installation: u64, private_key_pem: &str) -> Result<Self, AuthError> {
        let app = App::new(id, installation, private_key_pem)?;
        Ok(Self {
            kind: Kind::App(Arc::new(app)),
        })
    }

    /// The same with the key in a file, which nobody but its owner may be able to read.
    ///
    /// # Errors
    ///
    /// As [`app`](Self::app), and when the file cannot be read or is readable by others.
    pub fn app_file(
        id: &str,
        installation: u64,
        private_key: impl AsRef<Path>,
    ) -> Result<Self, AuthError> {
        Self::app(id, installation, &secret_file(private_key.as_ref())?)
    }
}

impl Debug for GithubAuth {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            Kind::Anonymous => "Anonymous",
            Kind::Token(_) => "Token(..)",
            Kind::App(_) => "App(..)",
        })
    }
}

/// The header's value, which hides itself.
pub(super) fn bearer(token: &str) -> Result<HeaderValue, AuthError> {
    let plain = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    let value = plain.then(|| HeaderValue::try_from(format!("Bearer {token}")).ok());
    let mut value = value.flatten().ok_or(AuthError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

fn secret_file(path: &Path) -> Result<String, AuthError> {
    use std::io::Read as _;

    let failed = |source| AuthError::File {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;

        // Of the file that is read, not of one that had the name before.
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(AuthError::Readable {
                path: path.to_owned(),
                mode: mode & 0o777,
            });
        }
    }
    let mut text = String::new();
    file.take(MAX_FILE * 4)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum AuthError {
    /// The token is empty, or has characters that no token has.
    #[error("the token is none: it should be one word of printable characters")]
    Token,
    /// The file of a secret cannot be read.
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// The file of a secret is open to others.
    #[error("{} can be read by others (mode {mode:o}): set it to 600", path.display())]
    Readable { path: PathBuf, mode: u32 },
    /// The App's id is none.
    #[error("the App's id {id:?} is none")]
    AppId { id: String },
    /// The App's private key is no RSA key in PEM form.
    #[error("the App's private key cannot be used: {why}")]
    AppKey { why: String },
    /// GitHub gave no token for the App's installation.
    #[error("no token for the App's installation")]
    Exchange {
        is_transient: bool,
        source: BoxError,
    },
}

impl AuthError {
    pub(super) fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Exchange {
                is_transient: true,
                ..
            }
        )
    }
}
