use std::env;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use dashboard_config::{Config, Starter, repository_name};

use crate::args::InitArgs;
use crate::repository::{self, FILE};

pub(crate) fn run(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let here = match &args.directory {
        Some(directory) => directory.clone(),
        None => env::current_dir().context("there is no current directory")?,
    };
    let root = repository::top(&here)?;
    let ways = repository::ways(&root);
    let text = Starter::new(repository::local_buildlets())
        .repository(&repository_name(&root.to_string_lossy()), ".", &ways)
        .to_toml();
    Config::parse(FILE, &text).context("the file that would be written is not good")?;
    if args.print {
        print!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    let path = root.join(FILE);
    write(&path, &text, args.force)?;
    println!("wrote {}", path.display());
    for way in &ways {
        println!("  {way}");
    }
    if ways.is_empty() {
        println!(
            "  {}: write into it what is to be run",
            repository::nothing_found()
        );
    }
    println!("edit it, and see whether it is good: coordinator check");
    Ok(ExitCode::SUCCESS)
}

/// Whole or not at all: a file that is there is replaced only by one that is complete.
fn write(path: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    if force {
        let half = path.with_extension("toml.new");
        return fs::write(&half, text)
            .and_then(|()| fs::rename(&half, path))
            .with_context(|| format!("cannot write {}", path.display()));
    }
    let created = OpenOptions::new().write(true).create_new(true).open(path);
    let written = created.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} is there already; --force overwrites it", path.display())
        }
        other => other.with_context(|| format!("cannot write {}", path.display())),
    }
}
