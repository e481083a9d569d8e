use std::io::{self, IsTerminal as _};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use maintner::net::NetConfig;
use maintner::{Config, Corpus, godata};

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
    corpus.update()?;
    if corpus.is_offline() {
        eprintln!("maintq: {name} cannot be reached: this is what the cache has");
    }
    if corpus.view().stats().records == 0 {
        eprintln!("maintq: {name} is empty");
    }
    Ok(corpus)
}

fn server(args: &SourceArgs) -> &str {
    args.server.as_deref().unwrap_or(godata::SERVER)
}
