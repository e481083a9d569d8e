use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use http::Uri;
use tokio::task::spawn_blocking;

use super::AuthError;

/// More than a file of cookies needs; what is longer is refused.
const MAX_FILE: u64 = 1 << 20;

/// A file of cookies, read again once it changed.
pub(super) struct CookieFile {
    path: PathBuf,
    read: Mutex<Option<(Stamp, Arc<CookieJar>)>>,
}

/// When two of them are equal, the file has not changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
}

/// The cookies of a file in Netscape's format: one a line, seven fields separated by tabs.
#[derive(Default)]
pub(super) struct CookieJar(Vec<Cookie>);

struct Cookie {
    domain: String,
    path: String,
    is_secure: bool,
    /// Unix seconds; 0 is never.
    expiry: i64,
    name: String,
    value: String,
}

impl CookieFile {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            read: Mutex::new(None),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The value of the header `Cookie` for `uri`; empty if the file has none for it.
    pub(super) async fn cookies(&self, uri: &Uri) -> Result<String, AuthError> {
        let known = self
            .read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let path = self.path.clone();
        let read = spawn_blocking(move || load(&path, known)).await;
        let read = read.map_err(io::Error::other).and_then(|read| read);
        let (stamp, jar) = read.map_err(|source| AuthError::CookieFile {
            path: self.path.clone(),
            source,
        })?;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some((stamp, jar.clone()));
        Ok(jar.header(uri, unix_now()))
    }
}

fn load(
    path: &Path,
    known: Option<(Stamp, Arc<CookieJar>)>,
) -> io::Result<(Stamp, Arc<CookieJar>)> {
    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    let stamp = Stamp {
        modified: metadata.modified().ok(),
        len: metadata.len(),
    };
    if let Some((at, jar)) = known
        && at == stamp
        && stamp.modified.is_some()
    {
        return Ok((stamp, jar));
    }
    let text = read_bounded(file)?;
    Ok((stamp, Arc::new(CookieJar::parse(&text))))
}

/// The text of a file of credentials; bytes that are no UTF-8 are replaced, which spoils their own line only.
pub(super) fn read_bounded(file: std::fs::File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        let what = format!("it is longer than {MAX_FILE} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

impl CookieJar {
    /// Reads what lines can be understood and skips the others, as git and curl do.
    pub(super) fn parse(text: &str) -> Self {
        let mut jar = Self::default();
        for cookie in text.split('\n').filter_map(Cookie::parse) {
            let same = jar.0.iter_mut().find(|old| {
                (&old.domain, &old.path, &old.name) == (&cookie.domain, &cookie.path, &cookie.name)
            });
            match same {
                Some(old) => *old = cookie,
                None => jar.0.push(cookie),
            }
        }
        // Longer paths first; the sort is stable, so otherwise in the file's order.
        jar.0
            .sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        jar
    }

    pub(super) fn header(&self, uri: &Uri, now: i64) -> String {
        let is_https = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let matching = self.0.iter().filter(|cookie| {
            (!cookie.is_secure || is_https)
                && (cookie.expiry == 0 || cookie.expiry > now)
                && cookie.covers_host(&host)
                && cookie.covers_path(uri.path())
        });
        let pairs: Vec<_> = matching.map(Cookie::pair).collect();
        pairs.join("; ")
    }
}

impl Cookie {
    fn parse(line: &str) -> Option<Self> {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let line = line.strip_prefix("#HttpOnly_").unwrap_or(line);
        let fields: Vec<&str> = line.split('\t').take(7).collect();
        let [domain, _, path, secure, expiry, name, value] = fields[..] else {
            return None;
        };
        let domain = domain.strip_prefix('.').unwrap_or(domain);
        let is_name = |c: char| c.is_ascii_graphic() && !"=;,\"\\".contains(c);
        if domain.is_empty() || name.is_empty() || !name.chars().all(is_name) {
            return None;
        }
        let is_sendable = |c: &char| (' '..='~').contains(c) && !"\";\\".contains(*c);
        Some(Self {
            domain: domain.to_ascii_lowercase(),
            path: path.to_owned(),
            is_secure: secure == "TRUE",
            expiry: expiry.parse().ok()?,
            name: name.to_owned(),
            value: value.chars().filter(is_sendable).collect(),
        })
    }

    fn covers_host(&self, host: &str) -> bool {
        let is_name = host.parse::<std::net::Ipv4Addr>().is_err() && !host.starts_with('[');
        match host.strip_suffix(self.domain.as_str()) {
            Some("") => true,
            Some(before) => is_name && before.ends_with('.'),
            None => false,
        }
    }

    /// RFC 6265, section 5.1.4.
    fn covers_path(&self, path: &str) -> bool {
        if !self.path.starts_with('/') {
            return true;
        }
        match path.strip_prefix(self.path.as_str()) {
            Some(rest) => rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'),
            None => false,
        }
    }

    fn pair(&self) -> String {
        let Self { name, value, .. } = self;
        if value.contains([' ', ',']) {
            format!("{name}=\"{value}\"")
        } else {
            format!("{name}={value}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(file: &str, uri: &str) -> String {
        CookieJar::parse(file).header(&uri.parse().unwrap(), 1_000)
    }

    #[test]
    fn longer_paths_come_first() {
        let file = "h\tF\t/\tF\t0\ta\t1\nh\tF\t/a/\tF\t0\tb\t2\nh\tF\t/\tF\t0\tc\t3\n";
        assert_eq!(header(file, "http://h/a/x"), "b=2; a=1; c=3");
        assert_eq!(header(file, "http://h/ab"), "a=1; c=3");
    }

    #[test]
    fn a_cookie_expires_at_its_second() {
        assert_eq!(header("h\tF\t/\tF\t1000\ta\t1\n", "http://h/"), "");
        assert_eq!(header("h\tF\t/\tF\t1001\ta\t1\n", "http://h/"), "a=1");
    }

    #[test]
    fn a_domain_is_no_mere_ending_and_an_address_has_no_subdomains() {
        assert_eq!(header("od.com\tF\t/\tF\t0\ta\t1\n", "http://good.com/"), "");
        assert_eq!(header("0.0.1\tF\t/\tF\t0\ta\t1\n", "http://127.0.0.1/"), "");
        assert_eq!(
            header("127.0.0.1\tF\t/\tF\t0\ta\t1\n", "http://127.0.0.1/"),
            "a=1"
        );
    }

    #[test]
    fn a_file_cannot_smuggle_a_header() {
        assert_eq!(
            header("h\tF\t/\tF\t0\ta\t1\r2;x=\"\u{7f}é\n", "http://h/"),
            "a=12x="
        );
        assert_eq!(header("h\tF\t/\tF\t0\ta=b;c\t1\n", "http://h/"), "");
    }
}
