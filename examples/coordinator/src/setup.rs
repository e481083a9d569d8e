//! What is to be built.

use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use build_coordinator::git::{Git, Source};
use build_coordinator::model::Revision;
use dashboard_config::{
    Config, Detected, LOCK_FILES, LOOKED_FOR, Starter, detect, repository_name,
};

use crate::args::RunArgs;
use crate::repository::{self, FILE};
use crate::state;

/// The longest builders.toml that is read from a repository, in bytes.
const LONGEST_FILE: u64 = 4 << 20;

/// What was asked for, as far as it can be told without fetching anything.
pub(crate) struct Wanted {
    what: What,
    /// What the state of it is called among that of others.
    name: String,
}

enum What {
    Configured(Vec<PathBuf>, Box<Config>),
    Repositories(Vec<Place>),
}

/// A repository that was named, not configured.
struct Place {
    name: String,
    at: At,
}

enum At {
    /// A working copy, and how it is built.
    Copy(PathBuf, Vec<Detected>),
    /// What git fetches from.
    Source(Source),
}

/// What is to be built.
pub(crate) struct Setup {
    pub(crate) config: Config,
    /// Where it comes from, for people.
    pub(crate) origin: String,
    /// The files of this machine that it was read from.
    pub(crate) files: Vec<PathBuf>,
    /// The working copies that were named, by the names of their repositories.
    working_copies: Vec<(String, PathBuf)>,
    /// The newest commits of what was fetched, by the names of their repositories.
    heads: Vec<(String, Revision)>,
}

/// Which repository is meant when there is one, and the revision of it that is built when none is named.
pub(crate) struct Only<'a> {
    pub(crate) repository: &'a str,
    pub(crate) copy: Option<&'a Path>,
    pub(crate) head: Option<&'a Revision>,
}

impl Wanted {
    /// As the arguments say, else as the current directory suggests.
    pub(crate) fn of(args: &RunArgs) -> anyhow::Result<Self> {
        if !args.config.is_empty() {
            return Self::configured(&args.config);
        }
        let repositories = if args.repo.is_empty() {
            let here = env::current_dir().context("there is no current directory")?;
            let here = here
                .to_str()
                .context("the current directory is not UTF-8")?;
            vec![here.to_owned()]
        } else {
            args.repo.clone()
        };
        let mut places = Vec::new();
        let mut keys = Vec::new();
        for one in &repositories {
            let (at, key) = locate(one)?;
            if let At::Copy(path, _) = &at
                && path.join(FILE).is_file()
            {
                if repositories.len() == 1 {
                    return Self::configured(&[path.join(FILE)]);
                }
                bail!("{} has a {FILE}: name it with --config", path.display());
            }
            if let At::Copy(path, ways) = &at
                && ways.is_empty()
            {
                bail!(
                    "{}: {}; `coordinator init` begins a {FILE} that says what to run",
                    path.display(),
                    repository::nothing_found()
                );
            }
            let name = free_name(&repository_name(&key), &places);
            places.push(Place { name, at });
            keys.push(key);
        }
        let first = places.first().map_or("repository", |place| &place.name);
        Ok(Self {
            name: state::name(first, &keys),
            what: What::Repositories(places),
        })
    }

    /// The folder of its state, if none is named: one for each setup, so that two may run at a time.
    pub(crate) fn default_state(&self) -> anyhow::Result<PathBuf> {
        Ok(state::of_user()?.join("build-coordinator").join(&self.name))
    }

    /// All of it, with what is fetched for that.
    pub(crate) async fn setup(self, git: &Git) -> anyhow::Result<Setup> {
        match self.what {
            What::Configured(files, config) => Ok(Setup {
                origin: names(&files),
                working_copies: config
                    .repositories()
                    .filter(|repo| Path::new(&repo.clone_url).is_dir())
                    .map(|repo| (repo.name.clone(), PathBuf::from(&repo.clone_url)))
                    .collect(),
                config: *config,
                files,
                heads: Vec::new(),
            }),
            What::Repositories(places) => guessed(places, git).await,
        }
    }

    fn configured(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let config = load(paths)?;
        let first = config
            .repositories()
            .next()
            .map_or("configuration", |repo| &repo.name);
        let mut keys = Vec::new();
        for path in paths {
            keys.push(absolute(path)?.display().to_string());
        }
        Ok(Self {
            name: state::name(first, &keys),
            what: What::Configured(paths.to_vec(), Box::new(config)),
        })
    }
}

impl Setup {
    /// The repository, if there is one that is meant.
    pub(crate) fn only_repository(&self) -> anyhow::Result<Only<'_>> {
        let mut repositories = self.config.repositories();
        let repository = match (
            &self.working_copies[..],
            repositories.next(),
            repositories.next(),
        ) {
            ([(name, _)], _, _) => name,
            (_, Some(one), None) => &one.name,
            _ => bail!("there are several repositories: say which with --repo"),
        };
        let copy = self
            .working_copies
            .iter()
            .find(|(name, _)| name == repository);
        let head = self.heads.iter().find(|(name, _)| name == repository);
        Ok(Only {
            repository,
            copy: copy.map(|(_, path)| path.as_path()),
            head: head.map(|(_, revision)| revision),
        })
    }
}

/// Reads a configuration, and prints what of it is hardly meant.
fn load(paths: &[PathBuf]) -> anyhow::Result<Config> {
    let config = Config::load(paths)
        .map_err(|problems| anyhow::anyhow!("the configuration is not good\n{problems}"))?;
    warn(&config);
    Ok(config)
}

fn warn(config: &Config) {
    for warning in config.warnings() {
        eprintln!("{warning}\n");
    }
}

/// Without a configuration of this machine: by the files that are there.
async fn guessed(places: Vec<Place>, git: &Git) -> anyhow::Result<Setup> {
    let mut starter = Starter::new(repository::local_buildlets());
    let mut origin = String::from(
        "no builders.toml, so by the files that are there (coordinator init writes one):",
    );
    let (mut working_copies, mut heads) = (Vec::new(), Vec::new());
    let is_only = places.len() == 1;
    for Place { name, at } in places {
        match at {
            At::Copy(path, ways) => {
                let text = path
                    .to_str()
                    .with_context(|| format!("the path {} is not UTF-8", path.display()))?;
                for way in &ways {
                    _ = write!(origin, "\n  {text}: {way}");
                }
                starter = starter.repository(&name, text, &ways);
                working_copies.push((name, path));
            }
            At::Source(source) => {
                let fetched = Fetched::of(git, &name, &source).await?;
                if let Some(text) = fetched.carried {
                    if !is_only {
                        bail!(
                            "{source} has a {FILE}: build it by itself, or name a copy of that with --config"
                        );
                    }
                    return carried(&text, &source, &fetched.head);
                }
                if fetched.ways.is_empty() {
                    bail!(
                        "{source}: {} in {} of its branch {:?}: write a {FILE} that says how it is built, and name it with --config",
                        repository::nothing_found(),
                        fetched.head,
                        fetched.branch
                    );
                }
                for way in &fetched.ways {
                    _ = write!(origin, "\n  {source}, branch {:?}: {way}", fetched.branch);
                }
                starter =
                    starter.repository_at(&name, source.expose(), &fetched.branch, &fetched.ways);
                heads.push((name, fetched.head));
            }
        }
    }
    let config = Config::parse("what was found", &starter.to_toml())
        .context("what was found makes no configuration")?;
    Ok(Setup {
        config,
        origin,
        files: Vec::new(),
        working_copies,
        heads,
    })
}

/// As the builders.toml says that a repository carries itself.
fn carried(text: &str, source: &Source, head: &Revision) -> anyhow::Result<Setup> {
    let name = format!("{source}:{FILE}");
    let config = Config::parse_carried(&name, text, source.expose())
        .map_err(|problems| anyhow::anyhow!("the configuration is not good\n{problems}"))?;
    warn(&config);
    let heads = config
        .repositories()
        .filter(|repo| repo.clone_url == source.expose())
        .map(|repo| (repo.name.clone(), head.clone()))
        .collect();
    Ok(Setup {
        origin: format!(
            "{source}, as its {FILE} says in {head}; later changes of that count after a restart"
        ),
        config,
        files: Vec::new(),
        working_copies: Vec::new(),
        heads,
    })
}

/// What the newest commit of a repository's default branch says about how it is built.
struct Fetched {
    branch: String,
    head: Revision,
    ways: Vec<Detected>,
    /// Its builders.toml.
    carried: Option<String>,
}

impl Fetched {
    async fn of(git: &Git, name: &str, source: &Source) -> anyhow::Result<Self> {
        eprintln!("fetching {source}");
        let cannot = || format!("cannot fetch {source}");
        let cache = git.repository(name, source).await.with_context(cannot)?;
        cache.fetch().await.with_context(cannot)?;
        let branch = cache.default_branch().await.with_context(cannot)?;
        let branch = branch.with_context(|| {
            format!("{source} does not say which branch is its default: write a {FILE} that does, and name it with --config")
        })?;
        let heads = cache.branches().await?;
        let head = heads.iter().find(|head| head.name == branch);
        let head = head
            .with_context(|| format!("{source} has no commit on its default branch {branch:?}"))?
            .revision
            .clone();

        let looked_at = u64::try_from(repository::LOOKED_AT)?;
        let names: Vec<&str> = LOOKED_FOR.into_iter().chain(LOCK_FILES).collect();
        let files = cache.files(&head, &names, looked_at).await?;
        let ways = detect(|name| {
            let at = names.iter().position(|known| *known == name)?;
            let bytes = files.get(at)?.as_deref()?;
            Some(String::from_utf8_lossy(bytes).into_owned())
        });
        let carried = cache.files(&head, &[FILE], LONGEST_FILE + 1).await?;
        let carried = match carried.into_iter().next().flatten() {
            Some(bytes) if bytes.len() as u64 > LONGEST_FILE => {
                bail!(
                    "the {FILE} of {source} is larger than {} MiB",
                    LONGEST_FILE >> 20
                )
            }
            Some(bytes) => Some(
                String::from_utf8(bytes)
                    .ok()
                    .with_context(|| format!("the {FILE} of {source} is not UTF-8"))?,
            ),
            None => None,
        };
        Ok(Self {
            branch,
            head,
            ways,
            carried,
        })
    }
}

/// What somebody means by a path or an address, and the same in a form that does not depend on the current directory.
fn locate(text: &str) -> anyhow::Result<(At, String)> {
    // What is there is a path, whatever its name looks like.
    let source = if Path::new(text).is_dir() {
        Source::local(absolute(Path::new(text))?)
    } else {
        Source::parse(text)
    };
    let source = source.with_context(|| format!("cannot build {text:?}"))?;
    let path = match source.path() {
        Some(path) if !path.is_dir() => {
            bail!(
                "{} is no folder: name a repository of this machine, or the address of one",
                path.display()
            )
        }
        Some(path) if !repository::is_bare(path)? => path,
        _ => {
            let key = source.expose().to_owned();
            return Ok((At::Source(source), key));
        }
    };
    let top = repository::top(path)?;
    let key = top.display().to_string();
    let ways = repository::ways(&top);
    Ok((At::Copy(top, ways), key))
}

/// A name that no other place has.
fn free_name(wanted: &str, places: &[Place]) -> String {
    let is_taken = |name: &str| places.iter().any(|place| place.name == name);
    let mut name = wanted.to_owned();
    for number in 2_u32.. {
        if !is_taken(&name) {
            break;
        }
        name = format!("{wanted}-{number}");
    }
    name
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("cannot find {}", path.display()))
}

fn names(paths: &[PathBuf]) -> String {
    let all: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    all.join(", ")
}
