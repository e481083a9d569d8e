//! Logs made up for trying and measuring: from a git repository's history, from chance, or from both.

mod gerrit;
mod github;
mod random;
mod replay;

use std::fs;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use maintner::pb;
use maintner::reclog::{Sync, Writer, WriterConfig, segments};
use prost::Message as _;

use crate::args::MakeArgs;
use crate::log::make::gerrit::Gerrit;
use crate::log::make::github::Github;
use crate::log::make::random::Random;
use crate::log::make::replay::History;
use crate::output::line;

/// When made-up activity begins: 2014-05-13T16:53:20Z.
const BEGIN: i64 = 1_400_000_000;
/// The bytes of a file, roughly as upstream's daemon has them.
const SEGMENT: u64 = 16 << 20;
/// Bytes that are written at once.
const BATCH: u64 = 1 << 20;

/// Makes a log in an empty folder.
pub(super) fn run(args: &MakeArgs) -> anyhow::Result<ExitCode> {
    let dir = &args.folder;
    let in_dir = || line(&dir.display().to_string());
    fs::create_dir_all(dir).with_context(in_dir)?;
    if !segments(dir).with_context(in_dir)?.is_empty() {
        bail!("{} has a log already: name an empty folder", in_dir());
    }
    let mut log = Log::create(args)?;
    if let Some(repository) = &args.git {
        let history = History::read(repository, &args.project, &mut log)?;
        // Half of what is missing.
        let until = log.bytes + args.size.saturating_sub(log.bytes) / 2;
        history.amplify(&args.project, until, &mut log)?;
    }
    let mut random = Random::new(args.seed);
    let mut gerrit = Gerrit::new(&mut random);
    let mut github = Github::default();
    let (begin, mut github_bytes, mut now) = (log.bytes, 0, BEGIN);
    while log.bytes < args.size {
        now += random.between(1, 3000);
        // An eighth of it.
        if github_bytes < (log.bytes - begin) / 8 {
            let before = log.bytes;
            log.append(github.issue(&mut random, now))?;
            github_bytes += log.bytes - before;
        } else {
            log.append(gerrit.change(&mut random, now))?;
        }
    }
    log.flush()?;
    log.bar.finish_and_clear();
    println!(
        "{}: {} mutations, {} bytes",
        in_dir(),
        log.mutations,
        log.bytes
    );
    Ok(ExitCode::SUCCESS)
}

/// What is being made.
struct Log {
    writer: Writer,
    batch: Vec<Vec<u8>>,
    batch_bytes: u64,
    /// Of all mutations, without frames.
    bytes: u64,
    mutations: u64,
    bar: ProgressBar,
}

impl Log {
    fn create(args: &MakeArgs) -> anyhow::Result<Self> {
        // Nothing of it is worth a sync: it can be made again.
        let writer = Writer::open(&args.folder, WriterConfig::default().sync(Sync::Never))?;
        let bar = match io::stderr().is_terminal() {
            true => ProgressBar::new(args.size).with_style(
                ProgressStyle::with_template(
                    "making [{bar:30}] {percent:>3}% {bytes_per_sec} {eta} left",
                )
                .expect("the template is valid")
                .progress_chars("=> "),
            ),
            false => ProgressBar::hidden(),
        };
        Ok(Self {
            writer,
            batch: Vec::new(),
            batch_bytes: 0,
            bytes: 0,
            mutations: 0,
            bar,
        })
    }

    fn append(&mut self, mutations: impl IntoIterator<Item = pb::Mutation>) -> anyhow::Result<()> {
        for mutation in mutations {
            let payload = mutation.encode_to_vec();
            self.batch_bytes += payload.len() as u64;
            self.bytes += payload.len() as u64;
            self.mutations += 1;
            self.batch.push(payload);
            if self.batch_bytes >= BATCH {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        // A file a day is what the writer makes, so each has a day of its own.
        let day = (self.bytes / SEGMENT) * 86_400;
        let at: SystemTime = UNIX_EPOCH + Duration::from_secs(BEGIN as u64 + day);
        self.writer.append_at(at, self.batch.drain(..))?;
        self.batch_bytes = 0;
        self.bar.set_position(self.bytes);
        Ok(())
    }
}
