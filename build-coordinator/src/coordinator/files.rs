use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dashboard_config::{Config, Diagnostics};
use tokio::sync::watch;

use super::Coordinator;
use super::engine::Order;
use super::shared::Shared;
use crate::model::Timestamp;

/// How often the files are looked at. What has changed is read when it is the same at two looks: an editor may be writing.
const INTERVAL: Duration = Duration::from_secs(2);

/// What became of the configuration's files when they were last read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigNews {
    /// They were not, since the start.
    #[default]
    Unread,
    /// What they say is used.
    Used {
        /// Since when.
        at: Timestamp,
        /// What of it is hardly meant, or takes a restart; for people.
        notes: Vec<String>,
    },
    /// They are not good: what they said before is used.
    Refused {
        /// Since when.
        at: Timestamp,
        /// Everything that is wrong with them.
        problems: Diagnostics,
    },
}

/// Why a configuration was not read again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// It came from no file of this machine.
    #[error("the configuration came from no file of this machine: start the coordinator anew")]
    NoFiles,
    /// The files are not good; what they said before is used.
    #[error("the configuration is not good, and the one before is used")]
    Refused(#[source] Diagnostics),
    /// The coordinator stops.
    #[error("the coordinator stops")]
    Stopping,
}

impl Coordinator {
    /// Reads the configuration's files, [`Parts::config_files`](super::Parts::config_files), now; the coordinator does so by itself some
    /// seconds after they have changed. Whether they say something new.
    ///
    /// # Errors
    ///
    /// [`ReloadError`]. Then everything is as before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing, or everything.
    pub async fn reload_files(&self) -> Result<bool, ReloadError> {
        reload(&self.shared).await
    }

    /// What became of the configuration's files when they were last read.
    #[must_use]
    pub fn config_news(&self) -> watch::Receiver<ConfigNews> {
        self.shared.config_news.subscribe()
    }
}

/// Reads the files again whenever they have changed, until nothing new is to begin.
pub(super) async fn follow_files(shared: Arc<Shared>) {
    if shared.config_files.is_empty() {
        return;
    }
    // What was read before this began may have changed since.
    let mut read = None;
    let mut last = None;
    loop {
        let pause = tokio::time::sleep(INTERVAL);
        if shared.closing.run_until_cancelled(pause).await.is_none() {
            return;
        }
        let paths = shared.config_files.clone();
        let now = tokio::task::spawn_blocking(move || look(&paths)).await.ok();
        if now == last && now != read {
            // Who follows the news is told of problems; nobody asked for an answer here.
            let _ = reload(&shared).await;
            read.clone_from(&now);
        }
        last = now;
    }
}

async fn reload(shared: &Shared) -> Result<bool, ReloadError> {
    if shared.config_files.is_empty() {
        return Err(ReloadError::NoFiles);
    }
    if shared.closing.is_cancelled() {
        return Err(ReloadError::Stopping);
    }
    // The semaphore is never closed.
    let _turn = shared.reading.acquire().await;
    let paths = shared.config_files.clone();
    let read = tokio::task::spawn_blocking(move || Config::load(&paths)).await;
    let read = read.map_err(|_| ReloadError::Stopping)?;
    let before = shared.config_news.borrow().clone();
    let at = Timestamp::now();
    let config = match read {
        Ok(config) => config,
        Err(problems) => {
            let is_known = matches!(&before, ConfigNews::Refused { problems: known, .. } if *known == problems);
            if !is_known {
                let problems = problems.clone();
                shared
                    .config_news
                    .send_replace(ConfigNews::Refused { at, problems });
            }
            return Err(ReloadError::Refused(problems));
        }
    };
    let is_new = *shared.config() != config;
    let notes = notes(&shared.first_config, &config);
    if is_new {
        use_config(shared, config).await;
    }
    if is_new || matches!(before, ConfigNews::Refused { .. }) {
        shared
            .config_news
            .send_replace(ConfigNews::Used { at, notes });
    }
    Ok(is_new)
}

/// Goes on with another configuration.
pub(super) async fn use_config(shared: &Shared, config: Config) {
    let config = Arc::new(config);
    shared.config.send_replace(config.clone());
    // Without an engine there is nobody to tell.
    let _ = shared.orders.send(Order::Reload { config }).await;
}

/// What people should know of a configuration that is used from now on.
fn notes(first: &Config, config: &Config) -> Vec<String> {
    let mut notes: Vec<String> = (config.warnings().iter())
        .map(dashboard_config::Diagnostic::to_line)
        .collect();
    let names = first.hosts().chain(config.hosts()).map(|host| &host.name);
    let mut changed: Vec<&str> = names
        .filter(|name| first.host(name) != config.host(name))
        .map(String::as_str)
        .collect();
    changed.sort_unstable();
    changed.dedup();
    if !changed.is_empty() {
        notes.push(format!(
            "host types are as they were at the start until the next one: {}",
            changed.join(", ")
        ));
    }
    notes
}

/// What tells whether a file is still the same.
type Seen = Vec<(PathBuf, Option<(SystemTime, u64, u64)>)>;

/// What there is of these files, and of those in these folders.
fn look(paths: &[PathBuf]) -> Seen {
    let mut seen = Vec::new();
    for path in paths {
        // One that is missing is told when it is read.
        let files = Config::files(path).unwrap_or_else(|_| vec![path.clone()]);
        seen.extend(files.into_iter().map(|file| {
            let state = state(&file);
            (file, state)
        }));
    }
    seen
}

fn state(path: &Path) -> Option<(SystemTime, u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let number = 0;
    Some((modified, metadata.len(), number))
}
