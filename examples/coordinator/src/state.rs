//! Where the state of a coordinator is kept.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use build_coordinator::git::{Git, GitConfig};
use build_coordinator::store::{Store, StoreConfig};
use sha2::{Digest as _, Sha256};

/// What is opened before anything else: whoever has the store has the folder.
pub(crate) struct State {
    pub(crate) dir: PathBuf,
    pub(crate) store: Store,
    pub(crate) git: Git,
}

impl State {
    pub(crate) async fn open(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let store = open_store(dir).await?;
        let git = Git::open(dir.join("git"), GitConfig::default())
            .await
            .context("cannot use git")?;
        Ok(Self {
            dir: dir.to_owned(),
            store,
            git,
        })
    }
}

pub(crate) async fn open_store(dir: &Path) -> anyhow::Result<Store> {
    Store::open(StoreConfig::sqlite(dir.join("coordinator.db")))
        .await
        .context("cannot open the database")
}

/// A folder's name, the same each time for the same things and another for others.
pub(crate) fn name(first: &str, keys: &[String]) -> String {
    let mut hash = Sha256::new();
    for key in keys {
        hash.update(key.as_bytes());
        hash.update([0]);
    }
    let mut name = format!("{first}-");
    for byte in &hash.finalize()[..6] {
        _ = write!(name, "{byte:02x}");
    }
    name
}

/// Where programs of this user keep what is neither cache nor configuration.
pub(crate) fn of_user() -> anyhow::Result<PathBuf> {
    let var = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(state) = var("XDG_STATE_HOME").filter(|path| path.is_absolute()) {
        return Ok(state);
    }
    if cfg!(windows) {
        return var("LOCALAPPDATA")
            .context("LOCALAPPDATA is not set; name a folder with --state-dir");
    }
    let home = var("HOME").context("HOME is not set; name a folder with --state-dir")?;
    Ok(if cfg!(target_os = "macos") {
        home.join("Library/Application Support")
    } else {
        home.join(".local/state")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setup_has_a_state_of_its_own() {
        let name = |keys: &[&str]| {
            name(
                "site",
                &keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
            )
        };
        assert_eq!(name(&["/a", "/b"]), name(&["/a", "/b"]));
        assert_ne!(name(&["/a", "/b"]), name(&["/a/b"]));
        assert_eq!(name(&["/a"]).len(), "site-".len() + 12);
    }
}
