//! Prints the keys with which builders and gomote users prove who they are: the flags around `buildlet_proto::key`.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use buildlet_proto::key::MasterKey;
use clap::Parser;
use clap::builder::NonEmptyStringValueParser;

/// Prints the key of each PRINCIPAL, one a line
///
/// A principal is a host type, such as host-linux-bullseye, whose key its builders show when they register; or user-NAME, whose
/// key that gomote user shows. The key is made of the principal and the master key, so it need not be stored anywhere: the
/// coordinator makes it again to compare.
#[derive(Debug, Parser)]
#[command(name = "genbuilderkey", version, after_help = EXAMPLES)]
struct Args {
    /// Whose key: a host type, or user-NAME
    #[arg(value_name = "PRINCIPAL", required = true, value_parser = NonEmptyStringValueParser::new())]
    principals: Vec<String>,

    /// File with the master key; - for standard input [default: $HOME/keys/gobuilder-master.key]
    ///
    /// White space around the key is no part of it.
    #[arg(long, value_name = "FILE", env = "GO_BUILDER_MASTER_KEY_FILE")]
    master_key: Option<PathBuf>,
    /// Use the well-known master key of coordinators in development mode
    #[arg(long, conflicts_with = "master_key")]
    development: bool,
}

const EXAMPLES: &str = "\
Examples:
  genbuilderkey host-linux-bullseye > ~/.gobuildkey-host-linux-bullseye
  genbuilderkey --master-key /run/secrets/master user-gopher
  gcloud secrets versions access latest --secret builder-master-key | genbuilderkey --master-key - host-linux-s390x

Exit status: 0 all keys printed, 1 no master key, 2 the command line makes no sense.";

/// Longest master key. A key has some dozens of bytes; whatever is far beyond is some other file.
const MAX_KEY: u64 = 64 << 10;

fn main() -> ExitCode {
    program::run(run)
}

fn run(args: Args) -> anyhow::Result<ExitCode> {
    let master = if args.development {
        MasterKey::development()
    } else {
        read_master_key(args.master_key)?
    };
    let mut out = io::stdout().lock();
    for principal in args.principals {
        writeln!(out, "{}", master.key_for(&principal).as_str()).context("cannot print the key")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read_master_key(path: Option<PathBuf>) -> anyhow::Result<MasterKey> {
    let path = match path {
        Some(path) => path,
        None => default_path().context(
            "name the master key's file with --master-key, as there is no home directory",
        )?,
    };
    let mut content = Vec::new();
    if path == Path::new("-") {
        io::stdin()
            .lock()
            .take(MAX_KEY + 1)
            .read_to_end(&mut content)
            .context("cannot read standard input")?;
    } else {
        let shown = path.display();
        let file = std::fs::File::open(&path)
            .with_context(|| format!("cannot read the master key from {shown}"))?;
        file.take(MAX_KEY + 1)
            .read_to_end(&mut content)
            .with_context(|| format!("cannot read the master key from {shown}"))?;
    }
    if content.len() as u64 > MAX_KEY {
        bail!("{} is too long for a master key", path.display());
    }
    MasterKey::from_file_content(&content).with_context(|| format!("no key in {}", path.display()))
}

fn default_path() -> Option<PathBuf> {
    Some(
        std::env::home_dir()
            .filter(|home| !home.as_os_str().is_empty())?
            .join("keys/gobuilder-master.key"),
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Args::command().debug_assert();
    }
}
