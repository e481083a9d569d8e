use std::error::Error;
use std::io::{self, IsTerminal as _};
use std::iter::successors;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use maintner::net::{FetchProgress, NetConfig, SNAPSHOT};
use maintner::{Config, Corpus, LoadError, godata};

use crate::args::SourceArgs;

/// Reads the log that the flags name, and shows how far it has come.
pub(crate) fn open(args: &SourceArgs) -> anyhow::Result<Corpus> {
    let bar = if args.quiet || !io::stderr().is_terminal() {
        ProgressBar::hidden()
    } else {
        ProgressBar::new_spinner().with_message(match &args.log {
            Some(dir) => format!("looking at {}", dir.display()),
            None => format!("asking {}", server(args)),
        })
    };
    bar.enable_steady_tick(Duration::from_millis(200));
    let (fetching, reading) = (Phase::of(&bar), Phase::of(&bar));
    let loaded = load(
        args,
        move |done| fetching.show("fetching", done.bytes, done.total),
        Config::default().progress(move |done| reading.show("reading", done.bytes, done.total)),
    );
    bar.finish_and_clear();
    loaded
}

/// A part of what takes time, on a bar that others show too.
struct Phase {
    bar: ProgressBar,
    has_begun: AtomicBool,
}

impl Phase {
    fn of(bar: &ProgressBar) -> Self {
        Self {
            bar: bar.clone(),
            has_begun: AtomicBool::new(false),
        }
    }

    fn show(&self, what: &'static str, bytes: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(bytes);
        if !self.has_begun.swap(true, Ordering::Relaxed) {
            let style = ProgressStyle::with_template(
                "{msg} [{bar:30}] {bytes} of {total_bytes} {bytes_per_sec} {eta} left",
            );
            let style = style.expect("the template is valid").progress_chars("=> ");
            self.bar.set_style(style);
            self.bar.set_message(what);
            self.bar.reset_eta();
        }
    }
}

fn load(
    args: &SourceArgs,
    fetching: impl Fn(FetchProgress) + Send + Sync + 'static,
    mut config: Config,
) -> anyhow::Result<Corpus> {
    if let Some(snapshot) = &args.snapshot {
        config = config.snapshot(snapshot);
    }
    let (mut corpus, name) = match &args.log {
        Some(dir) => (Corpus::at(dir, config), dir.display().to_string()),
        None => {
            let cache = match &args.cache {
                Some(cache) => cache.clone(),
                None => godata::cache_dir().context("name a folder for it with --cache")?,
            };
            if args.snapshot.is_none() {
                config = config.snapshot(cache.join(SNAPSHOT));
            }
            let server = server(args);
            let mut net = (NetConfig::new(server, cache))
                .offline(args.offline)
                .progress(fetching);
            if args.offline {
                // Whoever has something else to look at need not wait half a minute for it.
                net = net.tries(2);
            }
            if let Some(file) = &args.ca {
                let pem = std::fs::read(file).with_context(|| file.display().to_string())?;
                net = net
                    .authorities(&pem)
                    .with_context(|| file.display().to_string())?;
            }
            let corpus = godata::open(net, config).with_context(|| server.to_owned())?;
            (corpus, server.to_owned())
        }
    };
    if let Err(error) = update(&mut corpus) {
        if !error.is_incomplete() {
            return Err(error.into());
        }
        eprintln!(
            "maintq: {:#}: this is what comes before; `maintq log repair` mends a log that nobody writes any more",
            anyhow::Error::from(error)
        );
    }
    if let Some(error) = corpus.snapshot_error() {
        let causes = successors(Some(error as &dyn Error), |error| (*error).source());
        let causes: Vec<_> = causes.map(ToString::to_string).collect();
        eprintln!("maintq: {}", causes.join(": "));
    }
    if corpus.is_offline() {
        eprintln!("maintq: {name} cannot be reached: this is what the cache has");
    }
    if corpus.view().stats().records == 0 {
        eprintln!("maintq: {name} is empty");
    }
    Ok(corpus)
}

/// Reads what there is. A record that somebody is just writing has some time to become whole.
fn update(corpus: &mut Corpus) -> Result<(), LoadError> {
    for _ in 0..20 {
        match corpus.update() {
            Err(error) if error.is_incomplete() => thread::sleep(Duration::from_millis(20)),
            done => return done,
        }
    }
    corpus.update()
}

fn server(args: &SourceArgs) -> &str {
    args.server.as_deref().unwrap_or(godata::SERVER)
}
