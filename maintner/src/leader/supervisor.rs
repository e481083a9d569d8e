use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use rest_transport::BackOff;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::in_full::in_full;
use crate::leader::health::Entry;
use crate::leader::{Health, Hints, Leader, Round, Source, SourceError, SourceErrorKind, Wake};

/// Between the beginnings of two rounds of a source, however often it is woken.
const LEAST_GAP: Duration = Duration::from_millis(200);
/// Before what needs somebody to look after is tried again, at least.
const SELDOM: Duration = Duration::from_secs(300);

/// Runs [sources](Source), each in a loop of its own.
#[derive(Debug)]
pub struct Supervisor {
    leader: Leader,
    hints: Hints,
    health: Health,
    sources: Vec<Watched>,
}

/// A source with what belongs to it.
struct Watched {
    source: Box<dyn Source>,
    schedule: Schedule,
    woken: Arc<Notify>,
    health: Arc<Entry>,
}

impl Supervisor {
    /// One without sources, which will write by this leader.
    #[must_use]
    pub fn new(leader: Leader) -> Self {
        Self {
            leader,
            hints: Hints::default(),
            health: Health::default(),
            sources: Vec::new(),
        }
    }

    /// Adds a source, whose name no other has.
    pub fn add(&mut self, source: impl Source, schedule: Schedule) -> &mut Self {
        let name = source.name();
        let watched = Watched {
            woken: self.hints.add(name),
            health: self.health.add(name),
            source: Box::new(source),
            schedule,
        };
        self.sources.push(watched);
        self
    }

    /// What wakes the sources.
    #[must_use]
    pub fn hints(&self) -> Hints {
        self.hints.clone()
    }

    /// How the sources are.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// One round of each source, at the same time, as `maintnerd -sync-and-quit` makes them.
    ///
    /// # Errors
    ///
    /// The first failure, after all rounds have ended.
    pub async fn run_once(self) -> Result<Vec<Round>, SourceError> {
        let mut rounds = JoinSet::new();
        for (at, mut watched) in self.sources.into_iter().enumerate() {
            let leader = self.leader.clone();
            rounds.spawn(async move { (at, watched.rounds_until_done(&leader).await) });
        }
        let mut done: Vec<_> = rounds.join_all().await;
        done.sort_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, round)| round).collect()
    }

    /// Follows the sources until it is stopped: rounds that run are dropped, between two mutations.
    ///
    /// # Cancel safety
    ///
    /// Dropping it does the same, without waiting until the rounds have ended.
    pub async fn run(self, stop: CancellationToken) {
        let mut loops = JoinSet::new();
        for mut watched in self.sources {
            let (leader, stop) = (self.leader.clone(), stop.clone());
            loops.spawn(async move {
                let _ = stop.run_until_cancelled(watched.follow(&leader)).await;
                watched.health.stops();
            });
        }
        while loops.join_next().await.is_some() {}
    }
}

impl Watched {
    async fn follow(&mut self, leader: &Leader) {
        let mut wake = Wake::Start;
        // Since a hint nothing was found, and so often was looked.
        let mut expecting = None;
        loop {
            let least = Instant::now() + LEAST_GAP;
            // The round that begins now sees what earlier hints were about.
            let _ = self.woken.notified().now_or_never();
            let round = match self.round(leader, wake).await {
                Ok(round) => round,
                Err((error, failures)) => {
                    let pause = self.schedule.pause(&error, failures);
                    let (name, cause) = (self.source.name(), in_full(&error));
                    warn!(
                        source = name,
                        error = cause,
                        failures,
                        ?pause,
                        "round failed"
                    );
                    self.health.waits(pause);
                    sleep(pause).await;
                    wake = Wake::Start;
                    continue;
                }
            };
            if round.mutations > 0 {
                expecting = None;
            }
            let pause = match (round.has_more, expecting) {
                (true, _) => Duration::ZERO,
                (false, None) => self.schedule.interval,
                (false, Some(looked)) => {
                    let pause = self.schedule.expected(looked);
                    expecting = (pause < self.schedule.interval).then_some(looked + 1);
                    pause
                }
            };
            self.health.waits(pause);
            wake = tokio::select! {
                () = sleep(pause) => match expecting {
                    Some(_) => Wake::Hint,
                    None => Wake::Interval,
                },
                () = self.woken.notified() => {
                    expecting = self.schedule.expect.then_some(0);
                    Wake::Hint
                }
            };
            sleep_until(least).await;
        }
    }

    async fn round(&mut self, leader: &Leader, wake: Wake) -> Result<Round, (SourceError, u32)> {
        let (began, clock) = (SystemTime::now(), Instant::now());
        self.health.begins();
        let round = AssertUnwindSafe(self.source.round(leader, wake)).catch_unwind();
        let result = round.await.unwrap_or_else(|_| {
            let failed = "the source panicked: a fault of the program, which its output describes";
            Err(SourceError::permanent(failed))
        });
        match result {
            Ok(round) => {
                let took = clock.elapsed();
                self.health.succeeded(began, took, round);
                if round.mutations > 0 {
                    let (name, mutations) = (self.source.name(), round.mutations);
                    info!(source = name, mutations, ?took, "news");
                }
                Ok(round)
            }
            Err(error) => {
                let failures = self.health.failed(&error);
                Err((error, failures))
            }
        }
    }

    async fn rounds_until_done(&mut self, leader: &Leader) -> Result<Round, SourceError> {
        let mut sum = Round::default();
        loop {
            let round = self.round(leader, Wake::Start).await;
            let round = round.map_err(|(error, _)| error)?;
            sum.mutations += round.mutations;
            sum.requests += round.requests;
            sum.skipped += round.skipped;
            if !round.has_more {
                return Ok(sum);
            }
        }
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched")
            .field("source", &self.source.name())
            .field("schedule", &self.schedule)
            .finish_non_exhaustive()
    }
}

/// When a source has its rounds.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    interval: Duration,
    expect: bool,
    back_off: BackOff,
}

impl Schedule {
    /// A round now, and then each `interval` after the one before has ended; a hint makes it begin at once, but not more often than five
    /// times a second. After a failure pauses go from 1 s, doubled each time, to 5 min, at random between half and all of that; hints do
    /// not shorten them. What [needs somebody](SourceErrorKind::Permanent) is tried each 5 min.
    #[must_use]
    pub fn every(interval: Duration) -> Self {
        Self {
            interval,
            expect: false,
            back_off: BackOff {
                attempts: u32::MAX,
                first: Duration::from_secs(1),
                longest: Duration::from_secs(300),
            },
        }
    }

    /// Whether a round after a hint that found nothing is repeated after 1, 2, 4 and more seconds, up to the interval, until one finds
    /// something: for sources whose lists come later than their news.
    #[must_use]
    pub fn expect_changes(mut self, expect: bool) -> Self {
        self.expect = expect;
        self
    }

    /// The pause after the first failure, at most, and the longest.
    #[must_use]
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.back_off.first = first;
        self.back_off.longest = longest;
        self
    }

    /// The pause after a hint and so many rounds that found nothing.
    fn expected(&self, looked: u32) -> Duration {
        Duration::from_secs(1 << looked.min(16)).min(self.interval)
    }

    fn pause(&self, error: &SourceError, failures: u32) -> Duration {
        let usual = self.back_off.pause(failures);
        let least = match error.kind() {
            SourceErrorKind::Permanent => SELDOM.min(self.back_off.longest),
            _ => Duration::ZERO,
        };
        usual
            .max(least)
            .max(error.retry_after().unwrap_or_default())
    }
}
