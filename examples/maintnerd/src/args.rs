use std::path::PathBuf;

use clap::Parser;
use program::{ListenArgs, LogArgs, parse_bool};

/// Follows projects of Gerrit and repositories of GitHub into a mutation log, serves the log to whoever follows it, and answers questions about it.
///
/// The log is in --data-dir, one file a day, as Go's maintnerd writes it, or with --bucket in a bucket, in Go's layout too, with a copy in
/// --data-dir/segments; a snapshot beside it makes the next start fast. What is served: a page about
/// the sources at /, the log at /logs for maintner's followers (Go's and Rust's), gRPC at /apipb.MaintnerService/ (over TLS, or in the clear), numbers
/// for Prometheus at /metrics.
#[derive(Parser)]
#[command(
    name = "maintnerd",
    after_help = "\
Examples:
  maintnerd --watch-gerrit=go.googlesource.com/oauth2 --listen-http=localhost:8080 --data-dir=oauth2-log
                                            follow one project, look at http://localhost:8080/
  maintnerd --config=sources.toml --listen-https-selfsigned=:8443
  maintnerd --config=sources.toml --listen-https-autocert=:443 --host-name=maintner.example.org
  maintnerd --config=sources.toml --sync-and-quit && maintq open-cls --log ~/var/maintnerd
  maintnerd --config=sources.toml --bucket=s3://BUCKET/log --listen-http=:8080
  maintnerd --config=godata --listen-http=:8080    answer questions about the Go project's log, without a log of one's own

A file of sources:
  pubsub = \"https://pubsub.example.org\"      # tells when something happens; without it, sources are asked at intervals
  [gerrit]
  projects = [\"go.googlesource.com/build\"]
  interval_seconds = 300
  cookie_file = \"/etc/maintnerd/gitcookies\"
  [[gerrit.project]]                         # where the address is not https://HOST/NAME
  name = \"review.example.org/tools\"
  url = \"https://review.example.org/a/tools\"
  [github]
  repos = [\"golang/oauth2\"]
  token_file = \"/etc/maintnerd/github-token\" # user:token, readable by nobody else
  [api]
  server = \"go.googlesource.com\"             # whose project go is Go's
  review_url = \"https://go-review.googlesource.com\""
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// Load the log, ask each source once, check what is there, and quit
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool)]
    pub(crate) sync_and_quit: bool,
    /// Load the log, print how long it took, and quit
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool)]
    pub(crate) init_and_quit: bool,
    /// Ask the sources and write the log; otherwise serve what another process writes to --data-dir
    #[arg(long, value_name = "BOOL", default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool)]
    pub(crate) generate_mutations: bool,
    /// Repositories of GitHub to follow: OWNER/REPO, with commas between them
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) watch_github: Vec<String>,
    /// Projects of Gerrit to follow: HOST/PROJECT, with commas between them
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) watch_gerrit: Vec<String>,
    /// The pubsubhelper that tells when something happens
    #[arg(long, value_name = "URL", default_value = "")]
    pub(crate) pubsub: String,
    /// A file of sources; `go` for those of the Go project; `godata` to follow the log of its maintnerd; or `devgo` to go on, in private, with a copy
    /// of that log, which each start makes anew: what an earlier one appended in --data-dir is thrown away
    #[arg(long, value_name = "FILE", default_value = "")]
    pub(crate) config: String,
    /// With --config=devgo, the log that is copied
    #[arg(long, value_name = "URL", default_value = maintner::godata::SERVER)]
    pub(crate) devgo_log: String,
    /// The folder for the log, commits and the certificate [default: ~/var/maintnerd]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Keep the log in a bucket too; keys are read from `AWS_...` and `GOOGLE_...` of the environment. NAME/PREFIX alone is one of Google's
    #[arg(long, value_name = "s3://NAME/PREFIX or gs://...", default_value = "")]
    pub(crate) bucket: String,
    /// Copy the log by days of --data-dir to the bucket, which must be empty, and quit
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool)]
    pub(crate) migrate_disk_to_gcs: bool,
    /// Log everything; the same as -vv
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool)]
    pub(crate) debug: bool,
    /// Requests a second to GitHub, and how many at once after a pause
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) github_rate: u32,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
}
