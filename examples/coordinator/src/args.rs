use std::path::PathBuf;

use clap::{Parser, Subcommand};
use program::LogArgs;

/// Builds the commits of git repositories on buildlets, and shows them
#[derive(Debug, Parser)]
#[command(name = "coordinator", version)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a commented builders.toml for a repository, by the files that are in it
    Init(InitArgs),
    /// Say whether a configuration is good, and everything that is wrong with it
    Check(CheckArgs),
    /// Print the JSON Schema of builders.toml, for editors
    Schema,
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
