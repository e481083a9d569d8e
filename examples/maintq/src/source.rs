use std::io::{self, IsTerminal as _};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use maintner::net::NetConfig;
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
    let shown = bar.clone();
    let config = Config::default().progress(move |done| {
        if shown.length().is_none() {
            shown.set_style(
                ProgressStyle::with_template(
                    "reading [{bar:30}] {percent:>3}% {bytes_per_sec} {eta} left",
                )
                .expect("the template is valid")
                .progress_chars("=> "),
            );
            shown.set_length(done.total);
        }
        shown.set_position(done.bytes);
    });
    let loaded = load(args, config);
    bar.finish_and_clear();
    loaded
}

fn load(args: &SourceArgs, config: Config) -> anyhow::Result<Corpus> {
    let (mut corpus, name) = match &args.log {
        Some(dir) => (Corpus::at(dir, config), dir.display().to_string()),
        None => {
            let cache = match &args.cache {
                Some(cache) => cache.clone(),
                None => godata::cache_dir().context("name a folder for it with --cache")?,
            };
            let server = server(args);
            let net = NetConfig::new(server, cache).offline(args.offline);
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
