use std::path::PathBuf;
use std::time::Duration;

use build_coordinator::api::{Scope, State};
use clap::{Args as _, Parser, Subcommand};
use program::LogArgs;

/// Builds the commits of git repositories on buildlets, and shows them
///
/// Without a command it builds the repository of the current directory: as its builders.toml says or, without one, as the files in it suggest.
#[derive(Debug, Parser)]
#[command(name = "coordinator", version, mut_subcommands = hide_foreign)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
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
    #[command(flatten)]
    Request(Request),
}

/// Takes options from a command's help that mean nothing to it. They may stand there nevertheless, as scripts set them for all commands.
fn hide_foreign(command: clap::Command) -> clap::Command {
    let running = RunArgs::augment_args(clap::Command::new(""));
    let asking = ServerArgs::augment_args(clap::Command::new(""));
    let (running, asking) = (running.get_arguments(), asking.get_arguments());
    let foreign: Vec<clap::Arg> = match command.get_name() {
        "run" => asking.cloned().collect(),
        "check" => (running.filter(|arg| arg.get_id() != "config"))
            .chain(asking)
            .cloned()
            .collect(),
        "init" | "schema" | "help" => running.chain(asking).cloned().collect(),
        _ => running.cloned().collect(),
    };
    hide(command, &foreign)
}

fn hide(command: clap::Command, foreign: &[clap::Arg]) -> clap::Command {
    let hidden = foreign.iter().cloned().map(|arg| arg.hide(true));
    command
        .args(hidden)
        .mut_subcommands(|command| hide(command, foreign))
}

/// What is asked of a running coordinator.
#[derive(Debug, Subcommand)]
pub(crate) enum Request {
    /// List what waits, and why
    Queue {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List builds, the newest first
    Builds(BuildsArgs),
    /// List the machines, or take one out of service
    Machines(MachinesArgs),
    /// Make, list and take back tokens, which changing anything from another machine takes
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Remove builds that are beyond what `retention` of the configuration keeps, with their logs and files, now; a coordinator does so by itself every hour
    Prune {
        /// Remove nothing, and say what would go
        #[arg(long)]
        dry_run: bool,
    },
    /// Read the configuration's files again, now; a coordinator does so by itself some seconds after they have changed
    Reload,
    /// Print a build's log; the exit status is 1 if the build did not succeed
    Log(LogCommand),
    /// Cancel a build that waits or runs
    Cancel {
        /// The build's number
        id: u64,
    },
    /// Start a build that is over once more
    Retry {
        /// The build's number
        id: u64,
    },
    /// Add the builds of a revision
    Enqueue {
        /// The repository's name
        repository: String,
        /// A commit, a branch or a tag
        revision: String,
        /// Only on this builder
        #[arg(long, value_name = "NAME")]
        builder: Option<String>,
    },
}

/// What is built, and where the state is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Running")]
pub(crate) struct RunArgs {
    /// A configuration: a file, or a directory of files that end in .toml; if not given, builders.toml of the working copy, as it is there, committed or not. It is read again
    /// when it has changed, and at SIGHUP if this is no terminal
    #[arg(short, long, value_name = "PATH", global = true)]
    pub(crate) config: Vec<PathBuf>,
    /// A repository to build in place of that of the current directory: a path, or an address (https, http, ssh, git, file or USER@HOST:PATH) whose default branch is
    /// built
    #[arg(
        long,
        value_name = "PATH_OR_URL",
        global = true,
        conflicts_with = "config"
    )]
    pub(crate) repo: Vec<String>,
    /// Where builds, logs and caches are kept; by default a folder of the user's state directory
    #[arg(long, value_name = "DIRECTORY", global = true)]
    pub(crate) state_dir: Option<PathBuf>,
    /// A bucket for logs and files of new builds, in place of the state directory; `gs://` for Google's. AWS_... and GOOGLE_... of the environment say how it is reached.
    /// Only in a program that was compiled with the feature s3 or gcs
    #[arg(long, value_name = "s3://BUCKET/PREFIX", global = true)]
    pub(crate) blobs: Option<String>,
    /// The address and port of the page, the API and of machines that register
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
    /// Let nobody read from other machines without a token
    #[arg(long, global = true)]
    pub(crate) closed: bool,
}

#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct OnceArgs {
    /// Build one revision, print the log, and exit with the result
    #[arg(long)]
    pub(crate) once: bool,
    /// The revision: a commit, a branch or a tag; HEAD if not given
    #[arg(long, value_name = "REV", requires = "once")]
    pub(crate) rev: Option<String>,
    /// Only this builder; all that build the revision if not given
    #[arg(long, value_name = "NAME", requires = "once")]
    pub(crate) builder: Option<String>,
}

/// How a running coordinator is reached.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Asking a running coordinator")]
pub(crate) struct ServerArgs {
    /// Its address
    #[arg(
        long,
        value_name = "URL",
        env = "COORDINATOR_URL",
        default_value = "http://localhost:8119",
        global = true
    )]
    pub(crate) server: String,
    /// A file with the token that changing anything from another machine takes
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// Believe a coordinator that this PEM file certifies
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ca: Option<PathBuf>,
    /// Believe any coordinator
    #[arg(long, global = true, conflicts_with = "ca")]
    pub(crate) insecure: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BuildsArgs {
    /// Of this repository
    #[arg(long, value_name = "NAME")]
    pub(crate) repository: Option<String>,
    /// Of this builder
    #[arg(long, value_name = "NAME")]
    pub(crate) builder: Option<String>,
    /// Found on this branch
    #[arg(long, value_name = "NAME")]
    pub(crate) branch: Option<String>,
    /// Of revisions that begin so
    #[arg(long, value_name = "REV")]
    pub(crate) revision: Option<String>,
    /// In this state: waiting, running, succeeded, failed, cancelled and so on
    #[arg(long, value_parser = state)]
    pub(crate) state: Option<State>,
    /// Older than the build of this number
    #[arg(long, value_name = "ID")]
    pub(crate) before: Option<u64>,
    /// At most so many
    #[arg(short = 'n', long, default_value_t = 20, value_name = "NUMBER")]
    pub(crate) limit: usize,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct MachinesArgs {
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Option<MachineCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MachineCommand {
    /// Give a machine nothing new; a build that runs on it goes on
    Drain {
        /// Its name
        name: String,
    },
    /// Give a machine builds again
    Undrain {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it, this one time: only its hash is kept
    Create {
        /// Whom it is for
        #[arg(long)]
        name: String,
        /// What it allows: to read; to change builds as well; or to administer machines, tokens and the configuration as well
        #[arg(long, default_value = "change", value_parser = scope)]
        scope: Scope,
        /// When it ends by itself: after a time such as 90d or 12h; never if not given
        #[arg(long, value_name = "TIME", value_parser = dashboard_config::parse_duration)]
        expires: Option<Duration>,
    },
    /// List all tokens, also those that ended
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a token back: it is worth nothing any more
    Revoke {
        /// The token's id, as listed, or the token itself
        id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct LogCommand {
    /// The build's number
    pub(crate) id: u64,
    /// Print what is written until the build has ended
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// The attempt, counted from 1; the last one if not given
    #[arg(long, value_name = "NUMBER")]
    pub(crate) attempt: Option<u32>,
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
    /// Files, or directories of files that end in .toml; those of --config or the repository's builders.toml if none is given
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

fn scope(name: &str) -> Result<Scope, String> {
    let found = Scope::ALL.into_iter().find(|scope| scope.as_str() == name);
    found.ok_or_else(|| {
        let all: Vec<&str> = Scope::ALL.into_iter().map(Scope::as_str).collect();
        format!("one of: {}", all.join(", "))
    })
}

fn state(name: &str) -> Result<State, String> {
    State::from_name(name).ok_or_else(|| {
        let all: Vec<&str> = State::ALL.into_iter().map(State::name).collect();
        format!("one of: {}", all.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_agree_with_each_other() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_command_s_help_has_what_concerns_it() {
        let help = |words: &[&str]| {
            let words = ["coordinator"].iter().chain(words).chain(&["--help"]);
            Args::try_parse_from(words).unwrap_err().to_string()
        };
        for (words, has, has_not) in [
            (&["run"][..], "--listen", "--server"),
            (&["builds"], "--server", "--listen"),
            (&["machines", "drain"], "--token-file", "--state-dir"),
            (&["check"], "--config", "--repo"),
            (&["init"], "--force", "--c"),
        ] {
            let help = help(words);
            assert!(help.contains(has), "{has}: {help}");
            assert!(!help.contains(has_not), "{has_not}: {help}");
        }
        let all = help(&[]);
        assert!(all.contains("--listen") && all.contains("--server"));
    }

    #[test]
    fn options_may_stand_before_the_command_and_behind_it() {
        for words in [
            ["--server", "http://ci:1", "queue", "--state-dir", "/tmp"],
            ["--state-dir", "/tmp", "queue", "--server", "http://ci:1"],
        ] {
            let args = Args::try_parse_from(["coordinator"].iter().chain(&words)).unwrap();
            assert_eq!(args.server.server, "http://ci:1");
            assert_eq!(args.run.state_dir, Some("/tmp".into()));
        }
    }
}
