//! What is to be built, and where that is kept.

use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use dashboard_config::{Config, Starter, repository_name};
use sha2::{Digest as _, Sha256};

use crate::args::RunArgs;
use crate::repository::{self, FILE};

/// What is to be built.
pub(crate) struct Setup {
    pub(crate) config: Config,
    /// Where it comes from, for people.
    pub(crate) origin: String,
    /// The working copies that were named, by the names of their repositories.
    pub(crate) working_copies: Vec<(String, PathBuf)>,
    /// What the state of this setup is called among that of others.
    name: String,
}

impl Setup {
    /// As the arguments say, else as the current directory suggests.
    pub(crate) fn load(args: &RunArgs) -> anyhow::Result<Self> {
        if !args.config.is_empty() {
            return Self::configured(&args.config);
        }
        let here = env::current_dir().context("there is no current directory")?;
        let repositories = if args.repo.is_empty() {
            vec![here.display().to_string()]
        } else {
            args.repo.clone()
        };
        if let [one] = &repositories[..]
            && let Some(path) = working_copy(one)?
            && path.join(FILE).is_file()
        {
            return Self::configured(&[path.join(FILE)]);
        }
        Self::guessed(&repositories)
    }

    /// The folder of its state, if none is named: one for each setup, so that two may run at a time.
    pub(crate) fn default_state(&self) -> anyhow::Result<PathBuf> {
        Ok(user_state()?.join("build-coordinator").join(&self.name))
    }

    /// The repository, if there is one that is meant, and its working copy.
    pub(crate) fn only_repository(&self) -> anyhow::Result<(&str, Option<&Path>)> {
        let named = match &self.working_copies[..] {
            [(name, path)] => Some((name.as_str(), Some(path.as_path()))),
            _ => None,
        };
        let mut repositories = self.config.repositories();
        let only = match (repositories.next(), repositories.next()) {
            (Some(one), None) => Some((one.name.as_str(), None)),
            _ => None,
        };
        named
            .or(only)
            .context("there are several repositories: say which with --repo")
    }

    fn configured(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let config = Config::load(paths)
            .map_err(|problems| anyhow::anyhow!("the configuration is not good\n{problems}"))?;
        for warning in config.warnings() {
            eprintln!("{warning}\n");
        }
        let named: Vec<String> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let first = config
            .repositories()
            .next()
            .map_or("configuration", |repo| &repo.name);
        let mut keys = Vec::new();
        for path in paths {
            keys.push(absolute(path)?.display().to_string());
        }
        let working_copies = config
            .repositories()
            .filter(|repo| Path::new(&repo.clone_url).is_dir())
            .map(|repo| (repo.name.clone(), PathBuf::from(&repo.clone_url)))
            .collect();
        Ok(Self {
            name: state_name(first, &keys),
            origin: named.join(", "),
            working_copies,
            config,
        })
    }

    /// Without a configuration: by the files that are there.
    fn guessed(repositories: &[String]) -> anyhow::Result<Self> {
        let mut starter = Starter::new(repository::local_buildlets());
        let mut origin = String::from(
            "no builders.toml, so by the files that are there (coordinator init writes one):",
        );
        let mut keys = Vec::new();
        let mut copies = Vec::new();
        for one in repositories {
            let Some(path) = working_copy(one)? else {
                bail!(
                    "{one} is no repository on this machine: write a builders.toml that says how it is built, and name it with --config"
                );
            };
            if repositories.len() > 1 && path.join(FILE).is_file() {
                bail!("{} has a {FILE}: name it with --config", path.display());
            }
            let ways = repository::ways(&path);
            if ways.is_empty() {
                bail!(
                    "{}: {}; `coordinator init` begins a {FILE} that says what to run",
                    path.display(),
                    repository::nothing_found()
                );
            }
            let text = path
                .to_str()
                .with_context(|| format!("the path {} is not UTF-8", path.display()))?;
            for way in &ways {
                _ = write!(origin, "\n  {text}: {way}");
            }
            starter = starter.repository(&repository_name(text), text, &ways);
            keys.push(text.to_owned());
            copies.push(path);
        }
        let config = Config::parse("what was found", &starter.to_toml())
            .context("what was found makes no configuration")?;
        let first = config
            .repositories()
            .next()
            .map_or("repository", |repo| &repo.name);
        let name = state_name(first, &keys);
        let working_copies = config
            .repositories()
            .filter_map(|repo| {
                let path = copies
                    .iter()
                    .find(|path| path.to_str() == Some(&repo.clone_url))?;
                Some((repo.name.clone(), path.clone()))
            })
            .collect();
        Ok(Self {
            config,
            origin,
            working_copies,
            name,
        })
    }
}

/// The top folder of a working copy, or a bare repository; `None` for an address.
fn working_copy(text: &str) -> anyhow::Result<Option<PathBuf>> {
    let path = Path::new(text);
    if !path.is_dir() {
        return Ok(None);
    }
    repository::top(&absolute(path)?).map(Some)
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("cannot find {}", path.display()))
}

/// A folder's name, the same each time for the same things and another for others.
fn state_name(first: &str, keys: &[String]) -> String {
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
fn user_state() -> anyhow::Result<PathBuf> {
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
            state_name(
                "site",
                &keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
            )
        };
        assert_eq!(name(&["/a", "/b"]), name(&["/a", "/b"]));
        assert_ne!(name(&["/a", "/b"]), name(&["/a/b"]));
        assert_eq!(name(&["/a"]).len(), "site-".len() + 12);
    }
}
