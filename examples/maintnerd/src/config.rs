//! What is followed: from flags, a file, or the Go project's own list.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::args::Args;

/// How often sources are asked when nothing tells that something happened, as upstream's.
const GERRIT_SECONDS: u64 = 300;
const GITHUB_SECONDS: u64 = 900;
/// Who tells the Go project's maintnerd.
const GO_PUBSUB: &str = "https://pubsubhelper.golang.org";
/// Projects that the Go project's maintnerd follows beside its repositories.
const GO_MORE: [&str; 2] = [
    "code.googlesource.com/gocloud",
    "code.googlesource.com/google-api-go-client",
];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) pubsub: String,
    #[serde(default)]
    pub(crate) gerrit: Gerrit,
    #[serde(default)]
    pub(crate) github: Github,
    #[serde(default)]
    pub(crate) api: Api,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Gerrit {
    pub(crate) projects: Vec<String>,
    pub(crate) project: Vec<GerritProject>,
    pub(crate) interval_seconds: u64,
    pub(crate) cookie_file: Option<PathBuf>,
}

/// A project whose address is not made of its name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GerritProject {
    pub(crate) name: String,
    pub(crate) url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Github {
    pub(crate) repos: Vec<String>,
    pub(crate) interval_seconds: u64,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) app: Option<GithubApp>,
    pub(crate) base_url: Option<String>,
}

/// A GitHub App, in place of a token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GithubApp {
    pub(crate) id: String,
    pub(crate) installation: u64,
    pub(crate) key_file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Api {
    pub(crate) server: String,
    pub(crate) review_url: Option<String>,
}

impl Default for Gerrit {
    fn default() -> Self {
        Self {
            projects: Vec::new(),
            project: Vec::new(),
            interval_seconds: GERRIT_SECONDS,
            cookie_file: None,
        }
    }
}

impl Default for Github {
    fn default() -> Self {
        Self {
            repos: Vec::new(),
            interval_seconds: GITHUB_SECONDS,
            token_file: None,
            app: None,
            base_url: None,
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            server: "go.googlesource.com".to_owned(),
            review_url: None,
        }
    }
}

impl Config {
    /// What the flags and the file that they name say.
    pub(crate) fn read(args: &Args) -> anyhow::Result<Self> {
        let mut config = match args.config.as_str() {
            "" | "godata" => Self::default(),
            "go" => Self::of_go()?,
            "devgo" if !args.generate_mutations => {
                bail!("--config=devgo goes on with a copy of a log: it needs --generate-mutations")
            }
            "devgo" => {
                let mut config = Self::of_go()?;
                config.gerrit.cookie_file = None;
                config
            }
            file => Self::from_file(Path::new(file))?,
        };
        if args.bucket.is_empty() && args.migrate_disk_to_gcs {
            bail!("--migrate-disk-to-gcs needs --bucket: where is the log to go?");
        }
        if !args.bucket.is_empty() && (args.config == "godata" || !args.generate_mutations) {
            bail!(
                "--bucket is for the one who writes the log: who reads follows that one's /logs, or with --generate-mutations=false its --data-dir/segments"
            );
        }
        if !args.bucket.is_empty() && args.config == "devgo" {
            bail!("--config=devgo is a private copy of a log: it goes to no bucket");
        }
        let has_lists = !args.watch_gerrit.is_empty() || !args.watch_github.is_empty();
        if has_lists && matches!(args.config.as_str(), "go" | "godata" | "devgo") {
            bail!(
                "--config={} and --watch-... exclude each other",
                args.config
            );
        }
        config
            .gerrit
            .projects
            .extend(args.watch_gerrit.iter().cloned());
        config
            .github
            .repos
            .extend(args.watch_github.iter().cloned());
        if !args.pubsub.is_empty() {
            config.pubsub.clone_from(&args.pubsub);
        }
        config.check()?;
        Ok(config)
    }

    fn from_file(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file)
            .with_context(|| format!("--config: cannot read {}", file.display()))?;
        toml::from_str(&text).with_context(|| file.display().to_string())
    }

    /// The Go project's repositories, as this family of crates has them as data.
    fn of_go() -> anyhow::Result<Self> {
        let upstream = dashboard_config::upstream_2022(dashboard_config::Deployment::Production)?;
        let mut config = Self {
            pubsub: GO_PUBSUB.to_owned(),
            ..Self::default()
        };
        for repo in upstream.repositories() {
            if !repo.review_project.is_empty() {
                let project = format!("go.googlesource.com/{}", repo.review_project);
                config.gerrit.projects.push(project);
            }
            if !repo.github_repo.is_empty() {
                config.github.repos.push(repo.github_repo.clone());
            }
        }
        config.gerrit.projects.extend(GO_MORE.map(str::to_owned));
        config.gerrit.cookie_file = home().map(|home| home.join(".gitcookies"));
        config.gerrit.cookie_file.take_if(|file| !file.exists());
        config.api.review_url = Some("https://go-review.googlesource.com".to_owned());
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        let mut seen = BTreeSet::new();
        let named = self.gerrit.project.iter().map(|project| &project.name);
        for project in self.gerrit.projects.iter().chain(named) {
            let is_name = project
                .split_once('/')
                .is_some_and(|(host, name)| !host.is_empty() && !name.is_empty());
            if !is_name {
                bail!("{project:?} is no project of Gerrit's: it must be HOST/PROJECT");
            }
            if !seen.insert(project) {
                bail!("the project {project} is there twice");
            }
        }
        seen.clear();
        for repo in &self.github.repos {
            if repo.split('/').filter(|part| !part.is_empty()).count() != 2 {
                bail!("{repo:?} is no repository of GitHub's: it must be OWNER/REPO");
            }
            if !seen.insert(repo) {
                bail!("the repository {repo} is there twice");
            }
        }
        if self.gerrit.interval_seconds == 0 || self.github.interval_seconds == 0 {
            bail!("interval_seconds must be 1 or more");
        }
        Ok(())
    }

    /// Every project with its address.
    pub(crate) fn projects(&self) -> impl Iterator<Item = (&str, String)> {
        let plain = self.gerrit.projects.iter();
        let plain = plain.map(|name| (name.as_str(), format!("https://{name}")));
        let named = self.gerrit.project.iter();
        plain.chain(named.map(|project| (project.name.as_str(), project.url.clone())))
    }
}

pub(crate) fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn read(args: &[&str]) -> anyhow::Result<Config> {
        Config::read(&Args::parse_from([&["maintnerd"], args].concat()))
    }

    #[test]
    fn the_go_projects_list_is_there() {
        let config = read(&["--config=go"]).unwrap();
        let projects: Vec<_> = config.projects().collect();
        let go = (
            "go.googlesource.com/go",
            "https://go.googlesource.com/go".to_owned(),
        );
        assert!(projects.contains(&go));
        assert!(projects.len() > 30, "{}", projects.len());
        assert!(config.github.repos.iter().any(|repo| repo == "golang/go"));
        assert_eq!(config.pubsub, GO_PUBSUB);
    }

    #[test]
    fn a_file_says_what_is_followed_and_mistakes_in_it_are_told_with_their_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sources.toml");
        let read_file = |text: &str| {
            fs::write(&file, text).unwrap();
            read(&[
                &format!("--config={}", file.display()),
                "--watch-gerrit=h/x",
            ])
        };
        let config = read_file(
            "pubsub = 'https://p'\n[gerrit]\nprojects = ['h/y']\ninterval_seconds = 7\n[[gerrit.project]]\nname = 'h/z'\nurl = 'file:///z'\n[github]\nrepos = ['o/r']\n",
        );
        let config = config.unwrap();
        let names: Vec<_> = config.projects().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, ["h/y", "h/x", "h/z"]);
        assert_eq!(
            (
                config.gerrit.interval_seconds,
                config.github.interval_seconds
            ),
            (7, 900)
        );
        for (text, part) in [
            ("[gerrit]\nprojets = []\n", "projets"),
            ("[gerrit]\nprojects = ['h/x']\n", "twice"),
            ("[gerrit]\nprojects = ['h']\n", "HOST/PROJECT"),
            ("[github]\nrepos = ['o/r/s']\n", "OWNER/REPO"),
            ("[github]\ninterval_seconds = 0\n", "interval_seconds"),
        ] {
            let error = format!("{:#}", read_file(text).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
        let error = read(&["--config=nowhere.toml"]).unwrap_err();
        assert!(format!("{error:#}").contains("nowhere.toml"));
        assert!(read(&["--config=go", "--watch-github=o/r"]).is_err());
    }
}
