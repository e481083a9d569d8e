use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::AuthError;
use super::cookie_file::{CookieFile, read_bounded};
use super::kind::Found;
use super::netrc;

/// How long git may take to say where its cookies are, and how long that holds.
const GIT_LIMIT: Duration = Duration::from_secs(10);
const GIT_HOLDS: Duration = Duration::from_secs(300);

/// Finds what git would authenticate with.
pub(super) struct GitCookies {
    /// Asked when, and what git said.
    asked: Mutex<Option<(Instant, Option<Arc<CookieFile>>)>>,
    /// In place of the person's own folder.
    home: Option<PathBuf>,
}

impl GitCookies {
    pub(super) fn new() -> Self {
        Self {
            asked: Mutex::new(None),
            home: None,
        }
    }

    pub(super) async fn find(&self, uri: &Uri) -> Result<Found, AuthError> {
        if let Some(file) = self.file().await {
            let cookies = file.cookies(uri).await?;
            if !cookies.is_empty() {
                return Ok(Found::Cookies(cookies));
            }
        }
        let host = uri.host().unwrap_or_default();
        let not_configured = || AuthError::NotConfigured {
            host: host.to_owned(),
        };
        let path = self.netrc_path().ok_or_else(not_configured)?;
        let text = read_netrc(&path).await?.ok_or_else(not_configured)?;
        let with_port = uri.port_u16().map(|port| format!("{host}:{port}"));
        let hosts = [with_port.as_deref().unwrap_or(host), host];
        let (user, password) = netrc::login(&text, &hosts).ok_or_else(not_configured)?;
        Ok(Found::Login { user, password })
    }

    async fn file(&self) -> Option<Arc<CookieFile>> {
        let known = self
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((when, file)) = &known
            && when.elapsed() < GIT_HOLDS
        {
            return file.clone();
        }
        let path = ask_git(self.home.as_deref()).await;
        // The file read so far is kept if git names the same one.
        let old = known.and_then(|(_, file)| file);
        let file = path.map(|path| match old {
            Some(old) if old.path() == path => old,
            _ => Arc::new(CookieFile::new(&path)),
        });
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), file.clone()));
        file
    }

    fn netrc_path(&self) -> Option<PathBuf> {
        let (variable, name) = if cfg!(windows) {
            ("USERPROFILE", "_netrc")
        } else {
            ("HOME", ".netrc")
        };
        let home = self.home.clone().or_else(|| {
            let home = std::env::var_os(variable);
            home.filter(|home| home.as_os_str() != OsStr::new(""))
                .map(PathBuf::from)
        });
        Some(home?.join(name))
    }
}

/// The path that git's configuration names, `~` expanded. No git, no answer in time and no such setting are all "none".
async fn ask_git(home: Option<&Path>) -> Option<PathBuf> {
    let mut git = Command::new("git");
    git.args(["config", "--type=path", "http.cookiefile"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if let Some(home) = home {
        git.env("HOME", home).env("XDG_CONFIG_HOME", home);
        git.env_remove("GIT_CONFIG_GLOBAL");
    }
    let output = timeout(GIT_LIMIT, git.output()).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let path = text.trim_end_matches(['\r', '\n']);
    (output.status.success() && !path.is_empty()).then(|| PathBuf::from(path))
}

/// The text of the file; none if there is no such file.
async fn read_netrc(path: &Path) -> Result<Option<String>, AuthError> {
    let at = path.to_owned();
    let read = spawn_blocking(move || std::fs::File::open(at).and_then(read_bounded)).await;
    match read.map_err(io::Error::other).and_then(|read| read) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AuthError::Netrc {
            path: path.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(home: &Path, uri: &str) -> Result<Found, AuthError> {
        let cookies = GitCookies {
            asked: Mutex::new(None),
            home: Some(home.to_owned()),
        };
        cookies.find(&uri.parse().unwrap()).await
    }

    #[tokio::test]
    async fn cookies_of_git_come_before_the_netrc() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
        let nothing = ask(home.path(), "https://r.example.org/a/changes/").await;
        assert!(matches!(nothing, Err(AuthError::NotConfigured { .. })));

        write(
            ".netrc",
            "machine r.example.org:8443 login other password that\nmachine r.example.org login me password it\n",
        );
        for (uri, name) in [
            ("https://r.example.org/a/", "me"),
            ("https://r.example.org:8443/a/", "other"),
        ] {
            match ask(home.path(), uri).await {
                Ok(Found::Login { user, .. }) => assert_eq!(user, name, "{uri}"),
                _ => panic!("{uri} has a login"),
            }
        }
        assert!(
            ask(home.path(), "https://elsewhere.example.org/")
                .await
                .is_err()
        );

        write(".gitconfig", "[http]\n\tcookiefile = ~/cookies of mine\n");
        write(
            "cookies of mine",
            "r.example.org\tFALSE\t/\tTRUE\t2147483647\to\tgit-me=secret\n",
        );
        match ask(home.path(), "https://r.example.org/a/changes/").await {
            Ok(Found::Cookies(cookies)) => assert_eq!(cookies, "o=git-me=secret"),
            _ => panic!("the cookie file has one for the host"),
        }
        // Not over a connection that others can read.
        assert!(matches!(
            ask(home.path(), "http://r.example.org/a/").await,
            Ok(Found::Login { .. })
        ));
        std::fs::remove_file(home.path().join("cookies of mine")).unwrap();
        let gone = ask(home.path(), "https://r.example.org/").await;
        assert!(matches!(gone, Err(AuthError::CookieFile { .. })));
    }
}
