//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use program::LogArgs;

use crate::backoff::Pauses;
use crate::digest::Digest;
use crate::fetch::{Checksum, Order};
use crate::hosts::{self, Variables};
use crate::platform;
use crate::web::Web;

/// Fetches the buildlet, checks it, runs it, and again
///
/// Meant to be the only program that an image of a worker needs: it waits for the network, fetches the newest buildlet unless it is
/// there already, and runs it for as long as the machine lives. If a new one cannot be fetched, the last good one is run. A file is
/// only ever replaced by a whole one that is what it should be.
#[derive(Debug, Parser)]
// An image has flags of its own, which a machine can add to and override.
#[command(name = "stage0", version, after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct Args {
    /// Arguments of the buildlet [default: those of --hosts]
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<OsString>,

    /// Where the buildlet is fetched from
    #[arg(
        long,
        value_name = "URL",
        env = "META_BUILDLET_BINARY_URL",
        help_heading = "Source", required_unless_present_any = ["bucket", "metadata", "untar_file"]
    )]
    url: Option<String>,
    /// Fetch it from here, under the name buildlet.OS-ARCH, as in `https://storage.googleapis.com/NAME`
    #[arg(
        long,
        value_name = "URL",
        env = "STAGE0_BUCKET",
        help_heading = "Source"
    )]
    bucket: Option<String>,
    /// Ask the cloud's metadata server for the URL: the attribute buildlet-binary-url below this address, as in
    /// `http://metadata.google.internal/computeMetadata/v1/instance/attributes`
    #[arg(
        long,
        value_name = "URL",
        env = "STAGE0_METADATA",
        help_heading = "Source"
    )]
    metadata: Option<String>,

    /// SHA-256 of the buildlet, in hexadecimal digits: nothing else is ever run
    #[arg(
        long,
        value_name = "HEX",
        env = "STAGE0_SHA256",
        help_heading = "Checks"
    )]
    sha256: Option<Digest>,
    /// Look the SHA-256 up in the file beside the buildlet, at URL.sha256, as sha256sum writes it
    #[arg(long, conflicts_with = "sha256", help_heading = "Checks")]
    sha256_file: bool,
    /// Believe servers that these authorities certified, a PEM file, and not those that the system believes
    #[arg(long, value_name = "FILE", help_heading = "Checks")]
    ca: Option<PathBuf>,
    /// Fetch by plain http without --sha256, so that whoever is on the way decides what runs here
    #[arg(long, help_heading = "Checks")]
    insecure: bool,
    /// Largest buildlet, in MiB
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 512,
        help_heading = "Checks"
    )]
    max_size: u64,

    /// Where the buildlet is kept
    #[arg(
        long,
        value_name = "FILE",
        default_value = "buildlet.exe",
        help_heading = "Running"
    )]
    binary: PathBuf,
    /// Table of the buildlet's arguments by kind of host, a TOML file; see hosts.toml of this program
    #[arg(
        long,
        value_name = "FILE",
        env = "STAGE0_HOSTS",
        help_heading = "Running",
        conflicts_with = "arguments"
    )]
    hosts: Option<PathBuf>,
    /// Kind of host, to choose from the table
    #[arg(
        long,
        value_name = "NAME",
        env = "GO_BUILDER_ENV",
        help_heading = "Running"
    )]
    host: Option<String>,
    /// Run the buildlet once, and exit as it does
    #[arg(long, help_heading = "Running")]
    once: bool,
    /// Seconds that the buildlet has to end after a signal, before it is killed
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30,
        help_heading = "Running"
    )]
    stop_limit: u64,

    /// How long to wait for the network, in seconds or as in 5m [default: 30s; 5m on Windows]
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = "Waiting")]
    network_wait: Option<Duration>,
    /// What to ask for to see whether there is a network; any answer will do [default: the buildlet's URL]
    #[arg(
        long,
        value_name = "URL",
        env = "STAGE0_PROBE_URL",
        help_heading = "Waiting"
    )]
    probe_url: Option<String>,
    /// Limit of one download
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_time, help_heading = "Waiting")]
    download_limit: Duration,
    /// Pause between tries to download, after a failure, and after a buildlet that soon ended; the latter are doubled each time, and
    /// half of them is random
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_time, help_heading = "Waiting")]
    pause: Duration,
    /// Longest pause
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = parse_time, help_heading = "Waiting")]
    max_pause: Duration,
    /// A buildlet that ran for this long was a good one: the pauses begin anew
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_time, help_heading = "Waiting")]
    good_run: Duration,

    /// Only unpack this tar.gz file into --untar-dest-dir, for images that have no tar
    #[arg(
        long,
        value_name = "FILE",
        requires = "untar_dest_dir",
        help_heading = "Helper"
    )]
    untar_file: Option<PathBuf>,
    /// Where to unpack it; made if missing
    #[arg(
        long,
        value_name = "DIR",
        requires = "untar_file",
        help_heading = "Helper"
    )]
    untar_dest_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

const EXAMPLES: &str = "\
Examples:
  stage0 --bucket https://storage.googleapis.com/my-builders --sha256-file --hosts /etc/stage0/hosts.toml
  stage0 --url https://example.org/buildlet --sha256 HEX -- --reverse-type=host-linux-amd64 --coordinator=build.example.org
  stage0 --untar-file go.tar.gz --untar-dest-dir /usr/local/go

It ends when it gets an interrupt or a termination signal, which it passes on to the buildlet, as it does with SIGHUP, SIGQUIT,
SIGUSR1 and SIGUSR2.

Exit status: that of the buildlet after such a signal or with --once, 128 and the signal's number if one ended it;
1 without a buildlet to run, 2 if the command line makes no sense.";

/// What is to be done.
pub(crate) enum Job {
    Untar { file: PathBuf, dir: PathBuf },
    Boot(Box<Plan>),
}

/// All that rounds of fetching and running need.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) web: Web,
    pub(crate) source: Source,
    pub(crate) order: Order,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) network_wait: Duration,
    pub(crate) probe_url: Option<String>,
    pub(crate) stop_limit: Duration,
    pub(crate) pauses: Pauses,
    pub(crate) once: bool,
}

/// Where the buildlet's URL comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Url(String),
    /// From a metadata server, or if that names none from the second.
    Metadata(String, Option<String>),
}

impl Args {
    pub(crate) fn job(self) -> anyhow::Result<Job> {
        if let (Some(file), Some(dir)) = (self.untar_file, self.untar_dest_dir) {
            return Ok(Job::Untar { file, dir });
        }
        let bucket = self.bucket.map(|bucket| {
            format!(
                "{}/buildlet.{}-{}",
                bucket.trim_end_matches('/'),
                platform::OS,
                platform::arch()
            )
        });
        let source = match (self.url, self.metadata, bucket) {
            (Some(url), _, _) => Source::Url(url),
            (None, Some(metadata), bucket) => Source::Metadata(metadata, bucket),
            (None, None, Some(bucket)) => Source::Url(bucket),
            (None, None, None) => {
                bail!("name where the buildlet is fetched from: --url, --bucket or --metadata")
            }
        };
        let checksum = match (self.sha256, self.sha256_file) {
            (Some(digest), _) => Checksum::Known(digest),
            (None, true) => Checksum::Beside,
            (None, false) => Checksum::None,
        };
        let arguments = match self.hosts {
            Some(file) => hosts::read(&file, &Variables::of_process(self.host))
                .with_context(|| format!("cannot use {}", file.display()))?,
            None => self.arguments,
        };
        let network_wait = Duration::from_secs(if cfg!(windows) { 300 } else { 30 });
        Ok(Job::Boot(Box::new(Plan {
            web: Web::new(self.ca.as_deref(), self.download_limit)?,
            source,
            order: Order {
                binary: std::path::absolute(&self.binary)
                    .with_context(|| format!("cannot use {}", self.binary.display()))?,
                checksum,
                insecure: self.insecure,
                max_bytes: self.max_size.saturating_mul(1 << 20),
            },
            arguments,
            network_wait: self.network_wait.unwrap_or(network_wait),
            probe_url: self.probe_url,
            stop_limit: Duration::from_secs(self.stop_limit),
            pauses: Pauses {
                first: self.pause,
                longest: self.max_pause.max(self.pause),
                good_run: self.good_run,
            },
            once: self.once,
        })))
    }
}

/// A number of seconds, or of another unit: `90`, `90s`, `5m`, `1h`, `200ms`.
fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let millis: u64 = match &text[digits.len()..] {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("write a time as in 500ms, 90s, 5m or 1h".to_owned()),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "write a time as in 500ms, 90s, 5m or 1h")?;
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(|| "that is longer than forever".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!(parse_time("90").unwrap(), Duration::from_secs(90));
        assert_eq!(parse_time("200ms").unwrap(), Duration::from_millis(200));
        assert_eq!(parse_time("5m").unwrap(), Duration::from_secs(300));
        for bad in [
            "",
            "m",
            "-1",
            "1.5s",
            "5d",
            "99999999999999999999",
            "18446744073709551615h",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    fn source(args: &[&str]) -> Option<Source> {
        let args = Args::try_parse_from(["stage0"].iter().chain(args)).ok()?;
        match args.job() {
            Ok(Job::Boot(plan)) => Some(plan.source),
            Ok(Job::Untar { .. }) | Err(_) => None,
        }
    }

    #[test]
    fn the_bucket_has_a_buildlet_for_each_system() {
        let name = format!("http://b/buildlet.{}-{}", platform::OS, platform::arch());
        assert_eq!(
            source(&["--bucket", "http://b/"]),
            Some(Source::Url(name.clone()))
        );
        assert_eq!(
            source(&["--url", "http://u", "--bucket", "http://b"]),
            Some(Source::Url("http://u".to_owned()))
        );
        assert_eq!(
            source(&["--metadata", "http://m", "--bucket", "http://b"]),
            Some(Source::Metadata("http://m".to_owned(), Some(name)))
        );
        assert_eq!(source(&[]), None);
    }
}
