use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::filter;
use crate::output::Format;

/// Queries years of git, Gerrit and GitHub history: issues, changes and commits of a maintner log
///
/// The log is that of the Go project, which is fetched into a cache at first (gigabytes), unless --log or --server names another one.
#[derive(Debug, Parser)]
#[command(name = "maintq", version, after_long_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// How rows are written
    #[arg(
        long,
        value_enum,
        default_value_t,
        global = true,
        help_heading = "Output"
    )]
    pub(crate) format: Format,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  maintq open-cls --project build
  maintq issues --label NeedsFix --since 2026-01-01
  maintq issues 'open and comments > 50 and not labels = Proposal' --sort -comments --limit 20
  maintq commits --author gopher@golang.org --since 90d --format csv > commits.csv
  maintq cls 'status = merged' --columns number,owner,created,updated --format json | jq .owner
  maintq cls 'wip and files ~ runtime/' --watch
  maintq stats --log ./my-log
  maintq get-ref --server http://localhost:8080 build refs/heads/master

`maintq issues --help` explains the filters, `maintq fields` lists what they can test.";

/// Where the history comes from.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct SourceArgs {
    /// A folder with a log
    #[arg(long, value_name = "FOLDER", env = "MAINTQ_LOG", global = true)]
    pub(crate) log: Option<PathBuf>,
    /// A server's list of segments, to follow in place of Go's; or the maintnerd that is asked (with or without /logs)
    #[arg(
        long,
        value_name = "URL",
        env = "MAINTQ_SERVER",
        conflicts_with = "log",
        global = true
    )]
    pub(crate) server: Option<String>,
    /// Where what was fetched is kept; by default in the user's cache folder, where Go's programs keep it too
    #[arg(long, value_name = "FOLDER", conflicts_with = "log", global = true)]
    pub(crate) cache: Option<PathBuf>,
    /// Believe the server if the authorities of this file (PEM) certified it, in place of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "log", global = true)]
    pub(crate) ca: Option<PathBuf>,
    /// Take the cache as it is if the server cannot be reached
    #[arg(long, conflicts_with = "log", global = true)]
    pub(crate) offline: bool,
    /// Begin with this snapshot, and keep it: the next start takes a fraction of a second. With a server there is one in the cache
    #[arg(long, value_name = "FILE", env = "MAINTQ_SNAPSHOT", global = true)]
    pub(crate) snapshot: Option<PathBuf>,
    /// Show no progress
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the changes under review
    #[command(after_long_help = filter::HELP)]
    OpenCls(ClsArgs),
    /// List changes on Gerrit
    #[command(after_long_help = filter::HELP)]
    Cls(ClsArgs),
    /// List issues on GitHub
    #[command(after_long_help = filter::HELP)]
    Issues(IssuesArgs),
    /// List pull requests on GitHub
    #[command(after_long_help = filter::HELP)]
    Pulls(IssuesArgs),
    /// List commits on branches, the newest first
    #[command(after_long_help = filter::HELP)]
    Commits(CommitsArgs),
    /// Say how much there is, by project and repository
    Stats,
    /// List the fields that filters and columns can name
    Fields,
    /// Write everything as Parquet files, for SQL, Polars and pandas
    #[cfg(feature = "export")]
    Export(ExportArgs),
    #[command(flatten)]
    Ask(AskCommand),
    /// Look at the files of a log, repair them, or make one up
    #[command(subcommand)]
    Log(LogCommand),
}

/// What a maintnerd is asked. `--server` is its address: `https://HOST`, `http://HOST:PORT` or `HOST:PORT`.
#[derive(Debug, Subcommand)]
pub(crate) enum AskCommand {
    /// Ask a maintnerd whether a commit comes from another one
    HasAncestor {
        /// 40 hexadecimal digits
        #[arg(value_name = "COMMIT")]
        commit: String,
        /// 40 hexadecimal digits
        #[arg(value_name = "ANCESTOR")]
        ancestor: String,
    },
    /// Ask a maintnerd where a ref of a project leads
    GetRef {
        /// build, or review.example.org/build
        #[arg(value_name = "PROJECT")]
        project: String,
        /// refs/heads/master
        #[arg(value_name = "REF")]
        name: String,
    },
    /// Ask a maintnerd which changes want try builds
    TryWork,
    /// Ask a maintnerd which releases of Go are supported
    ListReleases,
    /// Ask a maintnerd for a page of commits
    GetDashboard(DashboardArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DashboardArgs {
    /// From 0, which has the newest commits
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) page: i32,
    /// golang.org/x/NAME; without it, Go itself
    #[arg(long, value_name = "PATH", default_value = "")]
    pub(crate) repo: String,
    /// A branch, or `mixed` for all of them by time; master by default
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) branch: String,
    /// Commits of a page; 0 leaves it to the server
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) limit: i32,
    /// The newest commit of each project instead
    #[arg(long)]
    pub(crate) heads: bool,
    /// The branches instead
    #[arg(long, conflicts_with = "heads")]
    pub(crate) branches: bool,
}

/// Which rows are listed, and how.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only what fits: see below, and `maintq fields`
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    /// Only what is not older: 2026-01-31, 2026-01, 2026, or 90d (ago). The time that counts is when an issue was opened, a change
    /// created, a commit committed
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only what is not newer
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// What is shown of each row, separated by commas; `all` is every field
    #[arg(
        long,
        value_name = "FIELDS",
        value_delimiter = ',',
        help_heading = "Output"
    )]
    pub(crate) columns: Vec<String>,
    /// Sort by this field; in descending order with a - in front
    #[arg(
        long,
        value_name = "FIELD",
        allow_hyphen_values = true,
        help_heading = "Output"
    )]
    pub(crate) sort: Option<String>,
    /// At most so many rows
    #[arg(short = 'n', long, value_name = "NUMBER", help_heading = "Output")]
    pub(crate) limit: Option<usize>,
    /// Go on, and list what changes and fits, until stopped
    #[arg(long, help_heading = "Output")]
    pub(crate) watch: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClsArgs {
    #[command(flatten)]
    pub(crate) list: ListArgs,
    /// Of this project: build, or go.googlesource.com/build
    #[arg(long, value_name = "NAME")]
    pub(crate) project: Option<String>,
    /// Whose owner's name or address has this in it
    #[arg(long, value_name = "TEXT")]
    pub(crate) owner: Option<String>,
    /// For this branch
    #[arg(long, value_name = "NAME")]
    pub(crate) branch: Option<String>,
    /// With this hashtag
    #[arg(long, value_name = "TAG")]
    pub(crate) hashtag: Vec<String>,
    /// Private ones too
    #[arg(long)]
    pub(crate) private: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct IssuesArgs {
    #[command(flatten)]
    pub(crate) list: ListArgs,
    /// Of this repository: go, or golang/go
    #[arg(long, value_name = "NAME")]
    pub(crate) repo: Option<String>,
    /// With this label; with each, if given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) label: Vec<String>,
    /// Opened by this login
    #[arg(long, value_name = "LOGIN")]
    pub(crate) author: Option<String>,
    /// Assigned to this login
    #[arg(long, value_name = "LOGIN")]
    pub(crate) assignee: Option<String>,
    /// With this milestone
    #[arg(long, value_name = "TITLE")]
    pub(crate) milestone: Option<String>,
    /// Open ones
    #[arg(long, conflicts_with = "closed")]
    pub(crate) open: bool,
    /// Closed ones
    #[arg(long)]
    pub(crate) closed: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CommitsArgs {
    #[command(flatten)]
    pub(crate) list: ListArgs,
    /// Of this project: build, or go.googlesource.com/build
    #[arg(long, value_name = "NAME")]
    pub(crate) project: Option<String>,
    /// On this branch: master
    #[arg(long, value_name = "NAME")]
    pub(crate) branch: Option<String>,
    /// Whose author's name or address has this in it
    #[arg(long, value_name = "TEXT")]
    pub(crate) author: Option<String>,
    /// That change a file whose name has this in it
    #[arg(long, value_name = "TEXT")]
    pub(crate) file: Option<String>,
}

#[cfg(feature = "export")]
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// Write a file for each table into this folder; files of these names that are there are replaced
    #[arg(long, value_name = "FOLDER")]
    pub(crate) parquet: Option<PathBuf>,
    /// Private changes too
    #[arg(long)]
    pub(crate) private: bool,
    /// Print which tables and columns there are, and do nothing else
    #[arg(long, conflicts_with = "parquet")]
    pub(crate) schema: bool,
}

/// Files are given by name, or by their folder.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Say what is in files: records, kinds of mutations, the largest record
    Inspect(FilesArgs),
    /// Check every record and every mutation; the exit status is 1 if something is wrong
    Verify(FilesArgs),
    /// Say what would be repaired; with --write, repair it
    ///
    /// Whole records are kept, and what is none is moved to FILE.torn-OFFSET beside the file; no byte is lost. A torn end is cut off, which no reader
    /// notices. If records stand behind the damage, the file is written anew without it, and the old one kept as FILE.damaged: those who
    /// follow the log must read it from the beginning then.
    ///
    /// A log that somebody writes, as far as its lock tells, is left alone.
    Repair {
        #[command(flatten)]
        files: FilesArgs,
        /// Do it
        #[arg(long)]
        write: bool,
    },
    /// Print mutations, one JSON object a record
    Cat {
        #[command(flatten)]
        files: FilesArgs,
        /// Begin at the record at this offset, in bytes; for a single file
        #[arg(long, value_name = "BYTES", default_value_t = 0)]
        from: u64,
        /// At most so many records
        #[arg(short = 'n', long, value_name = "NUMBER")]
        limit: Option<u64>,
    },
    /// Measure how fast files are read, decoded and applied
    Bench(FilesArgs),
    /// Make a log up, to try and measure things with
    ///
    /// With --git it begins with the history of a repository, and copies of it under other names and at later times make up half of what is missing to
    /// --size. The rest is invented: changes with patch sets, votes and comments, and issues with comments and events, distributed as those of
    /// the Go project. The same seed, size and repository give the same log.
    Make(MakeArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MakeArgs {
    /// An empty folder, which is made if it is not there
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// Bytes of mutations: 500k, 256M, 2G (powers of 1024)
    #[arg(long, value_name = "BYTES", default_value = "16M", value_parser = size)]
    pub(crate) size: u64,
    /// Where chance begins
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Begin with the history of this git repository
    #[arg(long, value_name = "FOLDER")]
    pub(crate) git: Option<PathBuf>,
    /// What the repository is called
    #[arg(
        long,
        value_name = "HOST/NAME",
        default_value = "go.googlesource.com/replayed"
    )]
    pub(crate) project: String,
}

/// `256M`
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return Err("a number, and k, M or G".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "a number, and k, M or G")?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "too large".to_owned())
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FilesArgs {
    /// A file of a log, or a folder of them
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
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
