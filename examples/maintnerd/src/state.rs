//! What the program has: nothing yet, a log that it writes, or one that it follows.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use maintner::leader::{Health, LeadError, Leader, LeaderConfig, LeaderStats, Supervisor};
use maintner::serve::{LogServer, ServeConfig};
use maintner::sync::github::Governor;
use maintner::{Config as CorpusConfig, Corpus, LoadError, Reader};
use maintner_api::Service;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::args::Args;
use crate::bucket::{self, Storing};
use crate::config::Config;
use crate::hours::Hours;
use crate::sources;

/// How long a follower waits for news before it looks whether it is to end, for the rest of what is being written, and after a failure.
const WAIT: Duration = Duration::from_secs(1);
const REST: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_secs(15);
/// The snapshot beside the log.
pub(crate) const SNAPSHOT: &str = "corpus.snapshot";

/// What those who ask are answered from. Clones share it.
#[derive(Clone)]
pub(crate) struct State {
    shared: Arc<Shared>,
}

struct Shared {
    ready: OnceLock<Arc<Ready>>,
    started: SystemTime,
    hours: Hours,
    health_path: Option<String>,
}

/// A corpus that is there.
pub(crate) struct Ready {
    pub(crate) source: Source,
    pub(crate) logs: Option<LogServer>,
    pub(crate) api: Service,
    pub(crate) governor: Option<Governor>,
    /// Ends with it.
    _refreshing: Option<AbortOnDropHandle<()>>,
}

/// Where the corpus comes from.
pub(crate) enum Source {
    Leader {
        leader: Leader,
        health: Health,
        storing: Option<Storing>,
    },
    Follower(Follower),
}

/// A corpus that follows what somebody else writes.
pub(crate) struct Follower {
    reader: Reader,
    stop: CancellationToken,
    error: watch::Receiver<Option<Arc<LoadError>>>,
}

impl State {
    pub(crate) fn new(args: &Args, hours: Hours) -> Self {
        Self {
            shared: Arc::new(Shared {
                ready: OnceLock::new(),
                started: SystemTime::now(),
                hours,
                health_path: args.listen.health_path().map(str::to_owned),
            }),
        }
    }

    pub(crate) fn set(&self, ready: Ready) -> Arc<Ready> {
        Arc::clone(self.shared.ready.get_or_init(|| Arc::new(ready)))
    }

    pub(crate) fn ready(&self) -> Option<&Ready> {
        self.shared.ready.get().map(Arc::as_ref)
    }

    pub(crate) fn started(&self) -> SystemTime {
        self.shared.started
    }

    pub(crate) fn hours(&self) -> &Hours {
        &self.shared.hours
    }

    pub(crate) fn is_health(&self, path: &str) -> bool {
        self.shared.health_path.as_deref() == Some(path)
    }
}

impl Ready {
    pub(crate) async fn load(
        args: &Args,
        config: &Config,
        data_dir: &Path,
    ) -> anyhow::Result<(Self, Option<Supervisor>)> {
        let api = sources::review_client(config)?;
        let with_api = |reader: Reader| {
            let service = Service::new(reader).server(config.api.server.clone());
            match api {
                Some(client) => service.review_server(client),
                None => service,
            }
        };
        if args.config == "godata" {
            let follower = Follower::of_godata().await?;
            let api = with_api(follower.reader.clone());
            return Ok((Self::following(follower, None, api), None));
        }
        if !args.generate_mutations {
            let follower = Follower::of_dir(data_dir).await?;
            let api = with_api(follower.reader.clone());
            let logs = open_logs(data_dir).await?;
            return Ok((Self::following(follower, Some(logs), api), None));
        }
        let lead = LeaderConfig::default().progress(progress());
        let (log_dir, lead, bucket) = if args.bucket.is_empty() {
            (data_dir.to_owned(), lead, None)
        } else {
            let (bucket, segments) = bucket::open(args, data_dir).await?;
            (segments, lead.files(bucket::FILES), Some(bucket))
        };
        let leader = Leader::open(&log_dir, lead.snapshot(log_dir.join(SNAPSHOT))).await?;
        let storing = bucket.map(|bucket| Storing::start(bucket, leader.clone()));
        if let Some(torn) = leader.torn() {
            tracing::warn!(
                "the last record of {} was cut off ({}); its bytes are in {}",
                torn.segment.display(),
                torn.error,
                torn.moved_to.display()
            );
        }
        let mut supervisor = Supervisor::new(leader.clone());
        let governor = sources::add(&mut supervisor, args, config, data_dir)?;
        let logs = open_logs(&log_dir).await?;
        let ready = Self {
            api: with_api(leader.reader()),
            _refreshing: Some(refresh(logs.clone(), leader.clone())),
            logs: Some(logs),
            governor,
            source: Source::Leader {
                health: supervisor.health(),
                leader,
                storing,
            },
        };
        Ok((ready, Some(supervisor)))
    }

    fn following(follower: Follower, logs: Option<LogServer>, api: Service) -> Self {
        Self {
            api,
            _refreshing: logs.clone().map(poll),
            logs,
            governor: None,
            source: Source::Follower(follower),
        }
    }

    pub(crate) fn reader(&self) -> Reader {
        match &self.source {
            Source::Leader { leader, .. } => leader.reader(),
            Source::Follower(follower) => follower.reader.clone(),
        }
    }

    /// What was written, and how long the log is.
    pub(crate) fn stats(&self) -> LeaderStats {
        match &self.source {
            Source::Leader { leader, .. } => leader.stats(),
            Source::Follower(follower) => {
                let mut stats = LeaderStats::default();
                stats.log_bytes = follower.reader.view().stats().log_bytes;
                stats
            }
        }
    }

    /// Waits until it cannot go on.
    pub(crate) async fn broken(&self) -> Broken {
        match &self.source {
            Source::Leader {
                leader,
                storing: None,
                ..
            } => Broken::Leader(leader.broken().await),
            Source::Leader {
                leader,
                storing: Some(storing),
                ..
            } => tokio::select! {
                error = leader.broken() => Broken::Leader(error),
                error = storing.broken() => Broken::Bucket(error),
            },
            Source::Follower(follower) => {
                let mut error = follower.error.clone();
                match error.wait_for(Option::is_some).await {
                    Ok(error) => Broken::Follower(error.clone()),
                    Err(_) => Broken::Follower(None),
                }
            }
        }
    }

    /// Lets the log go, once everything is where it belongs.
    pub(crate) async fn close(&self) -> anyhow::Result<()> {
        match &self.source {
            Source::Leader {
                leader, storing, ..
            } => {
                leader.close().await;
                match storing {
                    Some(storing) => storing.end().await,
                    None => Ok(()),
                }
            }
            Source::Follower(follower) => {
                follower.stop.cancel();
                Ok(())
            }
        }
    }
}

/// Why it cannot go on.
#[derive(Debug)]
pub(crate) enum Broken {
    Leader(LeadError),
    Bucket(String),
    Follower(Option<Arc<LoadError>>),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Leader(_) => "the log cannot be written any more",
            Self::Bucket(error) => error,
            Self::Follower(_) => "the log cannot be followed any more: start again",
        })
    }
}

impl std::error::Error for Broken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Leader(error) => Some(error),
            Self::Follower(Some(error)) => Some(error.as_ref()),
            Self::Bucket(_) | Self::Follower(None) => None,
        }
    }
}

impl Follower {
    async fn of_dir(dir: &Path) -> anyhow::Result<Self> {
        let config = CorpusConfig::default().progress(progress());
        Self::start(Corpus::at(dir, config)).await
    }

    async fn of_godata() -> anyhow::Result<Self> {
        let opening = spawn_blocking(|| {
            let cache =
                maintner::godata::cache_dir().context("there is no folder for the cache")?;
            let config = CorpusConfig::default()
                .snapshot(cache.join(maintner::net::SNAPSHOT))
                .progress(progress());
            let net = maintner::net::NetConfig::new(maintner::godata::SERVER, cache);
            anyhow::Ok(Corpus::follow(maintner::net::Follower::open(net)?, config))
        });
        Self::start(opening.await??).await
    }

    /// Reads all that there is, and then keeps it up to date, on a thread of its own.
    async fn start(mut corpus: Corpus) -> anyhow::Result<Self> {
        let mut corpus = spawn_blocking(move || corpus.update().map(|()| corpus)).await??;
        let (reader, stop) = (corpus.reader(), CancellationToken::new());
        let (told, error) = watch::channel(None);
        let stopped = stop.clone();
        let following = move || {
            while !stopped.is_cancelled() {
                match corpus.update_within(WAIT) {
                    Ok(_) => {}
                    Err(error) if error.is_incomplete() => std::thread::sleep(REST),
                    Err(error) if error.is_split() => {
                        let _ = told.send(Some(Arc::new(error)));
                        return;
                    }
                    Err(error) => {
                        tracing::warn!("cannot follow the log: {error}");
                        std::thread::sleep(PAUSE);
                    }
                }
            }
        };
        std::thread::Builder::new()
            .name("follower".to_owned())
            .spawn(following)?;
        Ok(Self {
            reader,
            stop,
            error,
        })
    }
}

async fn open_logs(dir: &Path) -> anyhow::Result<LogServer> {
    let dir = dir.to_owned();
    // It is hashed once.
    let opening = spawn_blocking(move || LogServer::open(dir, ServeConfig::default()));
    Ok(opening.await??)
}

/// Serves what is appended as soon as it is.
fn refresh(logs: LogServer, leader: Leader) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut bytes = 0;
        loop {
            if let Err(error) = logs.refresh().await {
                tracing::warn!("what was appended cannot be served: {error}");
            }
            match leader.longer_than(bytes).await {
                Some(now) => bytes = now,
                None => return,
            }
        }
    }))
}

/// Serves what somebody else appends.
fn poll(logs: LogServer) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            if let Err(error) = logs.refresh().await {
                tracing::warn!("what was appended cannot be served: {error}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }))
}

/// Says now and then how far a log is read.
fn progress() -> impl FnMut(maintner::Progress) + Send + 'static {
    let mut last = std::time::Instant::now();
    move |progress| {
        if last.elapsed() >= Duration::from_secs(5) {
            last = std::time::Instant::now();
            let percent = progress.bytes * 100 / progress.total.max(1);
            tracing::info!("{percent} % of {} bytes of log are read", progress.total);
        }
    }
}
