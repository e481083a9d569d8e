use std::fmt;
use std::path::Path;

/// Where a repository comes from: a local path, or a URL.
///
/// Its `Display` and `Debug` have no credentials.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Source {
    text: String,
    local: bool,
}

/// The text is none of the forms that [`Source::parse`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseSourceError {
    /// It is empty, has a control character, or more than 4096 bytes.
    #[error("the address of a repository is empty, too long, or has a control character")]
    Text,
    /// It is a URL with another scheme.
    #[error("the address of a repository begins neither with https, http, ssh, git nor file")]
    Scheme,
    /// It has no host, or one that begins with `-`, or no path.
    #[error("the address of a repository has no host or no path that could be one")]
    Host,
    /// A path that cannot be made absolute, or is not UTF-8.
    #[error("the path of a repository cannot be made absolute")]
    Path,
}

/// The schemes that git may use; whatever else it knows may run a program.
pub(crate) const SCHEMES: [&str; 5] = ["https", "http", "ssh", "git", "file"];

const MAX_LENGTH: usize = 4096;

impl Source {
    /// Reads `https://`, `http://`, `ssh://`, `git://` and `file://` URLs, `user@host:path`, and paths, which are relative
    /// to the current directory. Touches no file.
    ///
    /// # Errors
    ///
    /// [`ParseSourceError`] for everything else, `ext::` and other ways to run a program included.
    pub fn parse(text: &str) -> Result<Self, ParseSourceError> {
        if text.is_empty() || text.len() > MAX_LENGTH || text.contains(|c: char| c.is_control()) {
            return Err(ParseSourceError::Text);
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return Self::url(text, scheme, rest);
        }
        let before_slash = text.split('/').next().unwrap_or_default();
        if let Some((host, _)) = before_slash.split_once(':') {
            // As git has it: a colon before the first slash makes it a host. `ext::...` too, so it is refused here.
            let path = &text[host.len() + 1..];
            if path.starts_with(':') {
                return Err(ParseSourceError::Scheme);
            }
            check_host(host)?;
            if path.is_empty() || path.starts_with('-') {
                return Err(ParseSourceError::Host);
            }
            return Ok(Self {
                text: text.to_owned(),
                local: false,
            });
        }
        Self::local(text)
    }

    /// A path, relative to the current directory.
    ///
    /// # Errors
    ///
    /// [`ParseSourceError::Path`], and [`ParseSourceError::Text`] for paths with control characters.
    pub fn local(path: impl AsRef<Path>) -> Result<Self, ParseSourceError> {
        let absolute = std::path::absolute(path).map_err(|_| ParseSourceError::Path)?;
        let text = absolute.to_str().ok_or(ParseSourceError::Path)?;
        if text.contains(|c: char| c.is_control()) || text.len() > MAX_LENGTH {
            return Err(ParseSourceError::Text);
        }
        Ok(Self {
            text: text.to_owned(),
            local: true,
        })
    }

    fn url(text: &str, scheme: &str, rest: &str) -> Result<Self, ParseSourceError> {
        if !SCHEMES.contains(&scheme) {
            return Err(ParseSourceError::Scheme);
        }
        let (authority, path) = rest.split_once('/').ok_or(ParseSourceError::Host)?;
        if scheme == "file" {
            return match authority {
                "" | "localhost" => Self::local(format!("/{path}")),
                _ => Err(ParseSourceError::Host),
            };
        }
        check_host(authority)?;
        if path.is_empty() {
            return Err(ParseSourceError::Host);
        }
        Ok(Self {
            text: text.to_owned(),
            local: false,
        })
    }

    /// The path, if it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.local.then(|| Path::new(&self.text))
    }

    /// The text that it was read from, with its credentials: for configurations, not for people's eyes.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// User and password, as they stand in the URL.
    pub(crate) fn credentials(&self) -> Option<&str> {
        let (_, rest) = self.text.split_once("://")?;
        let authority = rest.split('/').next()?;
        Some(authority.rsplit_once('@')?.0)
    }
}

fn check_host(authority: &str) -> Result<(), ParseSourceError> {
    let host = authority.rsplit('@').next().unwrap_or_default();
    if host.is_empty() || host.starts_with('-') || authority.starts_with('-') {
        return Err(ParseSourceError::Host);
    }
    Ok(())
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.credentials() {
            // The user alone is no secret in `ssh://git@host`, but may be a token in `https://`.
            Some(credentials) if !self.text.starts_with("ssh://") || credentials.contains(':') => {
                f.write_str(&self.text.replacen(&format!("{credentials}@"), "***@", 1))
            }
            _ => f.write_str(&self.text),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_cannot_be_an_option_or_a_program() {
        for wrong in [
            "",
            "ext::sh -c touch% /tmp/x",
            "fd::17",
            "ext://x/y",
            "-oProxyCommand=x:y",
            "user@-oProxyCommand=x:y",
            "ssh://-oProxyCommand=x/y",
            "ssh://u@-oProxyCommand=x/y",
            "https:///y",
            "https://host",
            "https://host/",
            "host:-x",
            "host:",
            "file://elsewhere/x",
            "https://host/x\ny",
            "transport::https://host/x",
        ] {
            assert!(Source::parse(wrong).is_err(), "{wrong:?}");
        }
        // A path that looks like an option is below the current directory.
        let path = Source::parse("--upload-pack=x").unwrap();
        assert!(path.path().unwrap().is_absolute());
        assert_eq!(
            Source::parse("file:///srv/x").unwrap(),
            Source::parse("/srv/x").unwrap()
        );
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (text, shown) in [
            ("https://u:secret@host/x", "https://***@host/x"),
            ("https://secret@host/x", "https://***@host/x"),
            ("ssh://git@host/x", "ssh://git@host/x"),
            ("ssh://git:secret@host/x", "ssh://***@host/x"),
            ("git@host:x", "git@host:x"),
            ("https://host/x@y", "https://host/x@y"),
        ] {
            let source = Source::parse(text).unwrap();
            assert_eq!(source.to_string(), shown);
            assert_eq!(source.expose(), text);
        }
    }
}
