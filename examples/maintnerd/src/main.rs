//! Follows Gerrit and GitHub into a mutation log, serves the log, and answers questions about it.

mod args;
mod bucket;
mod config;
mod fork;
mod hours;
mod metrics;
mod page;
mod serving;
mod sources;
mod state;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use args::Args;
use clap::CommandFactory as _;
use config::Config;
use hours::Hours;
use program::{ListenArgs, stop_on_signal};
use state::{Ready, State};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    program::run(|mut args: Args| {
        if args.debug {
            args.log.verbose = args.log.verbose.max(2);
        }
        args.log.start();
        let config = Config::read(&args)?;
        let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
        let done = runtime.block_on(run(args, config));
        // What git still does for a round that was dropped is not waited for.
        runtime.shutdown_background();
        done.map(|()| ExitCode::SUCCESS)
    })
}

async fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let is_quitting = args.init_and_quit || args.sync_and_quit;
    let data_dir = data_dir(&args)?;
    let stop = CancellationToken::new();
    let _signals = stop_on_signal(stop.clone())?;
    if args.migrate_disk_to_gcs {
        let migrating = stop.run_until_cancelled(bucket::migrate(&args, &data_dir));
        return migrating
            .await
            .unwrap_or_else(|| bail!("it was stopped: the same command goes on"));
    }
    let hours = Hours::open(&data_dir);
    let state = State::new(&args, hours.clone());
    let mut tasks = JoinSet::new();
    if !is_quitting {
        serving::start(&args, &data_dir, &state, &mut tasks, &stop).await?;
        if tasks.is_empty() {
            let usage = Args::command().render_usage();
            bail!(
                "nobody could ask it anything: give {}, or --sync-and-quit\n\n{usage}",
                ListenArgs::FLAGS
            );
        }
    }
    let began = Instant::now();
    let loading = async {
        if args.config == "devgo" {
            let (server, dir) = (args.devgo_log.clone(), data_dir.clone());
            tokio::task::spawn_blocking(move || fork::fork(&server, &dir)).await??;
        }
        Ready::load(&args, &config, &data_dir).await
    };
    let Some(loaded) = stop.run_until_cancelled(loading).await else {
        return Ok(());
    };
    let (ready, supervisor) = loaded?;
    let stats = ready.reader().view().stats();
    tracing::info!(
        "{} bytes of log are loaded after {:.1?}: {} mutations, {} commits",
        stats.log_bytes,
        began.elapsed(),
        stats.records,
        stats.commits
    );
    if is_quitting {
        quit(&args, &ready, supervisor, began).await?;
        hours.save(&ready).await;
        return Ok(());
    }
    let ready = state.set(ready);
    tasks.spawn(hours.clone().keep(Arc::clone(&ready), stop.clone()));
    let mut sources = JoinSet::new();
    if let Some(supervisor) = supervisor {
        if !config.pubsub.is_empty() {
            let hints = supervisor.hints();
            let events = sources::events(&config.pubsub)?;
            let stop = stop.clone();
            tasks.spawn(async move {
                let _ = stop.run_until_cancelled(sources::wake(events, hints)).await;
            });
        }
        let stop = stop.clone();
        sources.spawn(supervisor.run(stop));
    }
    let broken = tokio::select! {
        () = stop.cancelled() => None,
        error = ready.broken() => Some(error),
    };
    stop.cancel();
    while sources.join_next().await.is_some() {}
    while tasks.join_next().await.is_some() {}
    let closed = ready.close().await;
    hours.save(&ready).await;
    broken.map_or(closed, |error| Err(error.into()))
}

/// What `--init-and-quit` and `--sync-and-quit` do once the log is loaded.
async fn quit(
    args: &Args,
    ready: &Ready,
    supervisor: Option<maintner::leader::Supervisor>,
    began: Instant,
) -> anyhow::Result<()> {
    println!("loaded in {:.3?}", began.elapsed());
    if args.sync_and_quit {
        let Some(supervisor) = supervisor else {
            bail!("--sync-and-quit without --generate-mutations would do nothing");
        };
        let rounds = supervisor.run_once().await?;
        let mutations: u64 = rounds.iter().map(|round| round.mutations).sum();
        println!(
            "{mutations} mutations from {} sources after {:.1?}",
            rounds.len(),
            began.elapsed()
        );
        ready.reader().view().check()?;
    }
    ready.close().await
}

fn data_dir(args: &Args) -> anyhow::Result<PathBuf> {
    match &args.data_dir {
        Some(dir) => Ok(dir.clone()),
        None => Ok(config::home()
            .context("there is no home folder: give --data-dir")?
            .join("var/maintnerd")),
    }
}
