//! The history of the Go project, as its maintner keeps it.
//!
//! ```no_run
//! let mut corpus = maintner::godata::corpus()?;
//! let view = corpus.view();
//! let go = view.gerrit().project("go.googlesource.com", "go");
//! println!("{} open changes", go.map_or(0, |go| go.open_cls().count()));
//! corpus.update()?; // what came since
//! # Ok::<(), maintner::LoadError>(())
//! ```
//!
//! The log has gigabytes: the first time they are fetched and read; later starts map a snapshot, and fetch what came since. The log is public,
//! and the cache is the one that Go's programs use.
//!
//! Source: `golang.org/x/build/maintner/godata`.

use std::env;
use std::path::PathBuf;

use crate::net::{FetchError, Follower, NetConfig};
use crate::{Config, Corpus, LoadError};

/// Where the log is.
pub const SERVER: &str = "https://maintner.golang.org/logs";

/// The corpus of Go's history, up to date.
///
/// It blocks the thread, for minutes when the cache is empty. A [snapshot](Config::snapshot) is kept in the cache. For another server or cache, or without a network, see [`open`].
///
/// # Errors
///
/// When there is no place for the cache, the log cannot be fetched, or read.
pub fn corpus() -> Result<Corpus, LoadError> {
    crate::net::corpus(SERVER, cache_dir()?)
}

/// An empty corpus, whose [`update`](Corpus::update) fetches and reads the log.
///
/// ```no_run
/// use maintner::net::NetConfig;
/// use maintner::{Config, godata};
///
/// let net = NetConfig::new(godata::SERVER, godata::cache_dir()?).offline(true);
/// let config = Config::default().progress(|done| eprint!("\r{} of {} bytes", done.bytes, done.total));
/// let mut corpus = godata::open(net, config)?;
/// corpus.update()?;
/// # Ok::<(), maintner::LoadError>(())
/// ```
///
/// # Errors
///
/// As [`Follower::open`].
pub fn open(net: NetConfig, config: Config) -> Result<Corpus, FetchError> {
    Ok(Corpus::follow(Follower::open(net)?, config))
}

/// The folder in which Go's programs keep the log: `golang-maintner` in the user's folder for caches.
///
/// That is `$XDG_CACHE_HOME`, or else `Library/Caches` (macOS) or `.cache` in the home directory.
///
/// # Errors
///
/// When the environment names none of these.
pub fn cache_dir() -> Result<PathBuf, FetchError> {
    let base = env::var_os("XDG_CACHE_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(in_home())))
        .ok_or(FetchError::NoCacheDir)?;
    Ok(base.join("golang-maintner"))
}

fn in_home() -> &'static str {
    if cfg!(target_os = "macos") {
        "Library/Caches"
    } else {
        ".cache"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_gos_programs_have_it() {
        let dir = cache_dir().unwrap();
        assert!(dir.ends_with("golang-maintner") && dir.components().count() > 1);
    }
}
