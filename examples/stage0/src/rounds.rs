//! Fetch, run, wait, and again.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::args::{Plan, Source};
use crate::backoff::Backoff;
use crate::binary;
use crate::child::{self, Delays};
use crate::fetch::{self, Fetched};
use crate::network;
use crate::signals::Signals;

/// Downloads in a row before a round makes do with what there is, as upstream has it.
const TRIES: u32 = 3;

/// How long an abandoned download may hold up the end.
const FAREWELL: Duration = Duration::from_secs(1);

pub(crate) fn run(plan: &Plan) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let stop = Arc::new(AtomicBool::new(false));
    let result = runtime.block_on(all(plan, &stop));
    stop.store(true, Ordering::Relaxed);
    runtime.shutdown_timeout(FAREWELL);
    result
}

async fn all(plan: &Plan, stop: &Arc<AtomicBool>) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let mut backoff = Backoff::new(plan.pauses);
    binary::tidy(&plan.order.binary);
    loop {
        let began = Instant::now();
        let prepared = tokio::select! {
            prepared = prepare(plan, stop) => prepared,
            code = ended_by(&mut signals) => return Ok(code),
        };
        let ran = match prepared {
            Ok(delays) => {
                let started = Instant::now();
                match child::run(
                    &plan.order.binary,
                    &plan.arguments,
                    &delays,
                    &mut signals,
                    plan.stop_limit,
                )
                .await
                {
                    Ok(ended) if ended.asked || plan.once => return Ok(ended.exit_code()),
                    Ok(ended) => {
                        tracing::warn!(after = ?started.elapsed(), "the buildlet ended: {}", ended.status);
                    }
                    Err(error) if plan.once => return Err(error),
                    Err(error) => tracing::error!("{error:#}"),
                }
                started.elapsed()
            }
            Err(error) if plan.once => return Err(error),
            Err(error) => {
                tracing::error!("{error:#}");
                Duration::ZERO
            }
        };
        let pause = backoff.after(ran);
        tracing::info!(round = ?began.elapsed(), "next try in {pause:?}");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            code = ended_by(&mut signals) => return Ok(code),
        }
    }
}

/// Waits for a signal that ends a process which has no buildlet to ask.
async fn ended_by(signals: &mut Signals) -> ExitCode {
    loop {
        let signal = signals.next().await;
        if signal.ends() {
            tracing::info!("{}: no buildlet runs", signal.name());
            return ExitCode::SUCCESS;
        }
    }
}

/// Makes sure that there is a buildlet to run.
async fn prepare(plan: &Plan, stop: &Arc<AtomicBool>) -> anyhow::Result<Delays> {
    let probe = plan.probe_url.as_deref().unwrap_or(match &plan.source {
        Source::Url(url) | Source::Metadata(url, _) => url,
    });
    let network = network::wait(&plan.web, probe, plan.network_wait).await;
    let began = Instant::now();
    let mut tried = 1;
    let error = loop {
        match try_fetch(plan, stop).await {
            Ok(fetched) => {
                match fetched {
                    Fetched::New(digest) => {
                        tracing::info!(sha256 = %digest, took = ?began.elapsed(), "fetched a new buildlet");
                    }
                    Fetched::Current(digest) => {
                        tracing::info!(sha256 = %digest, "the buildlet is current");
                    }
                }
                return Ok(Delays {
                    network,
                    download: began.elapsed(),
                });
            }
            Err(error) if tried == TRIES => break error,
            Err(error) => tracing::warn!("try {tried} of {TRIES}: {error:#}"),
        }
        tried += 1;
        tokio::time::sleep(plan.pauses.first).await;
    };
    let order = plan.order.clone();
    if tokio::task::spawn_blocking(move || fetch::is_usable(&order)).await?? {
        tracing::warn!("{error:#}; running the buildlet that is there");
        Ok(Delays {
            network,
            download: began.elapsed(),
        })
    } else {
        Err(error.context("no buildlet to run"))
    }
}

async fn try_fetch(plan: &Plan, stop: &Arc<AtomicBool>) -> anyhow::Result<Fetched> {
    let (web, source, order, stop) = (
        plan.web.clone(),
        plan.source.clone(),
        plan.order.clone(),
        Arc::clone(stop),
    );
    let fetching = tokio::task::spawn_blocking(move || {
        let url = match source {
            Source::Url(url) => url,
            Source::Metadata(server, otherwise) => {
                let attribute = format!("{}/buildlet-binary-url", server.trim_end_matches('/'));
                match (
                    web.text(&attribute, &[("Metadata-Flavor", "Google")]),
                    otherwise,
                ) {
                    (Ok(url), _) => url.trim().to_owned(),
                    (Err(error), Some(otherwise)) => {
                        tracing::info!("{error:#}; using {otherwise}");
                        otherwise
                    }
                    (Err(error), None) => return Err(error),
                }
            }
        };
        fetch::fetch(&web, &url, &order, &stop)
    });
    fetching.await.context("the download failed")?
}
