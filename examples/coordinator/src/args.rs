use std::path::PathBuf;

use clap::{Parser, Subcommand};
use program::LogArgs;

/// Builds the commits of git repositories on buildlets, and shows them
///
/// Without a command it builds the repository of the current directory: as its builders.toml says or, without one, as the files in it suggest.
#[derive(Debug, Parser)]
#[command(name = "coordinator", version)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build what is new until stopped, or one revision with --once
    Run(OnceArgs),
    /// Write a commented builders.toml for a repository, by the files that are in it
    Init(InitArgs),
    /// Say whether a configuration is good, and everything that is wrong with it
    Check(CheckArgs),
    /// Print the JSON Schema of builders.toml, for editors
    Schema,
}

/// What is built, and where the state is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Running")]
pub(crate) struct RunArgs {
    /// A configuration: a file, or a directory of files that end in .toml; the repository's builders.toml if not given
    #[arg(short, long, value_name = "PATH", global = true)]
    pub(crate) config: Vec<PathBuf>,
    /// A repository to build, a path or an address, in place of that of the current directory
    #[arg(
        long,
        value_name = "PATH_OR_URL",
        global = true,
        conflicts_with = "config"
    )]
    pub(crate) repo: Vec<String>,
    /// Where builds, logs and caches are kept; by default a folder of the user's state directory
    #[arg(long, value_name = "DIRECTORY", global = true)]
    pub(crate) state: Option<PathBuf>,
    /// The address and port where machines register
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "localhost:8119",
        global = true
    )]
    pub(crate) listen: String,
    /// The certificate chain for TLS, a PEM file; a self-signed one is made and kept if not given
    #[arg(long, value_name = "FILE", requires = "key", global = true)]
    pub(crate) cert: Option<PathBuf>,
    /// The key of --cert, a PEM file
    #[arg(long, value_name = "FILE", requires = "cert", global = true)]
    pub(crate) key: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct OnceArgs {
    /// Build one revision, print the log, and exit with the result
    #[arg(long)]
    pub(crate) once: bool,
    /// The revision: a commit, a branch or a tag; HEAD if not given
    #[arg(long, value_name = "REV", requires = "once")]
    pub(crate) rev: Option<String>,
    /// Only this builder
    #[arg(long, value_name = "NAME", requires = "once")]
    pub(crate) builder: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// The repository; the one of the current directory if not given
    #[arg(value_name = "DIRECTORY")]
    pub(crate) directory: Option<PathBuf>,
    /// Overwrite a builders.toml that is there
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Print it, and write nothing
    #[arg(long, conflicts_with = "force")]
    pub(crate) print: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// Files, or directories of files that end in .toml; the repository's builders.toml if none is given
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Say of each builder whether it builds this branch of this repository, and why
    #[arg(long, value_name = "REPOSITORY@BRANCH", value_parser = split_why)]
    pub(crate) why: Option<(String, String)>,
}

fn split_why(text: &str) -> Result<(String, String), String> {
    let (repo, branch) = text
        .split_once('@')
        .ok_or("write the repository's name, @ and the branch")?;
    Ok((repo.to_owned(), branch.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_agree_with_each_other() {
        Args::command().debug_assert();
    }
}
