//! `--config=devgo`: a copy of somebody's log, to go on with in private.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, bail};
use maintner::net::{Follower, NetConfig};
use maintner::reclog;

use crate::state::SNAPSHOT;

/// Says that the log of a folder is a copy, which may be thrown away.
const MARK: &str = "fork-of";

/// Makes the log in a folder what `server` has now. What was appended to an earlier copy goes; a log that is no copy is left alone.
pub(crate) fn fork(server: &str, data_dir: &Path) -> anyhow::Result<()> {
    let mark = data_dir.join(MARK);
    let logs = match reclog::segments(data_dir) {
        Ok(logs) => logs,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).context(data_dir.display().to_string()),
    };
    if !logs.is_empty() && !mark.exists() {
        bail!(
            "{} has a log that is no copy of another one, and --config=devgo would throw it away: name another folder with --data-dir",
            data_dir.display()
        );
    }
    let cache = maintner::godata::cache_dir().context("there is no folder for the cache")?;
    let mut follower = Follower::open(NetConfig::new(server, cache))?;
    follower.fetch(std::time::Duration::ZERO)?;
    fs::create_dir_all(data_dir).with_context(|| data_dir.display().to_string())?;
    // First: whatever happens from now on, what is there is a copy.
    fs::write(&mark, format!("{server}\n")).with_context(|| mark.display().to_string())?;
    follower.mirror(data_dir)?;
    // It may be one of what was thrown away.
    let snapshot = data_dir.join(SNAPSHOT);
    match fs::remove_file(&snapshot) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).context(snapshot.display().to_string());
        }
        _ => {}
    }
    tracing::info!("{} bytes of {server} are copied", follower.size());
    Ok(())
}
