use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use dashboard_config::{Change, Config, Mode};

use crate::args::CheckArgs;
use crate::repository::{self, FILE};

pub(crate) fn run(args: &CheckArgs, config: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let paths = match (&args.paths[..], config) {
        ([], []) => vec![found_file()?],
        ([], paths) | (paths, []) => paths.to_vec(),
        _ => bail!("name the files once: as they are, or with --config"),
    };
    let config = match Config::load(&paths) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return Ok(ExitCode::FAILURE);
        }
    };
    for warning in config.warnings() {
        eprintln!("{warning}\n");
    }
    match &args.why {
        Some((repo, branch)) => explain(&config, repo, branch)?,
        None => {
            let hosts = count(config.hosts().len(), "host type");
            let repositories = count(config.repositories().len(), "repository");
            let builders = count(config.builders().len(), "builder");
            println!("good: {hosts}, {repositories}, {builders}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The repository's own file.
fn found_file() -> anyhow::Result<PathBuf> {
    let here = env::current_dir().context("there is no current directory")?;
    let here = [here.clone()].into_iter().chain(repository::top(&here));
    let found = here.map(|dir| dir.join(FILE)).find(|path| path.is_file());
    found.with_context(|| format!("there is no {FILE} here; `coordinator init` writes one"))
}

fn explain(config: &Config, repo: &str, branch: &str) -> anyhow::Result<()> {
    if config.repository(repo).is_none() {
        let known: Vec<&str> = config.repositories().map(|repo| &*repo.name).collect();
        bail!(
            "there is no repository {repo}; there are: {}",
            known.join(", ")
        );
    }
    let width = config
        .builders()
        .map(|builder| builder.name.len())
        .max()
        .unwrap_or(0);
    for builder in config.builders() {
        let decision = config.decide(builder, &Change::new(repo, branch), Mode::PostSubmit);
        let mark = match (decision.allowed(), io::stdout().is_terminal()) {
            (true, true) => "\u{1b}[32m✓\u{1b}[0m",
            (true, false) => "+",
            (false, true) => "\u{1b}[2m·\u{1b}[0m",
            (false, false) => "-",
        };
        println!("{mark} {:width$}  {decision}", builder.name);
    }
    Ok(())
}

fn count(number: usize, what: impl Display) -> String {
    let what = what.to_string();
    match (number, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {what}s"),
    }
}
