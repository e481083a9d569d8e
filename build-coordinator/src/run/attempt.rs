use std::pin::pin;
use std::time::Duration;

use buildlet_pool::{Lease, LostReason, Verdict};
use buildlet_proto::types::ext::ResumeKey;
use tokio::time::timeout;

use super::course::Course;
use super::ending::{Trouble, of_lost};
use super::spans::Spans;
use super::work::Work;
use super::{Ending, LiveLog, OutputLimit, Plan, Stage, Stop, StopReason};
use crate::model::{self, AttemptId, Cause};

/// How long after a failed call it is waited for the news that the machine is gone, which explains it.
const EXPLANATION: Duration = Duration::from_secs(2);
/// How long what is on its way to the store when a machine is lost is waited for.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// One attempt at a build.
#[derive(Debug)]
pub struct Attempt {
    id: AttemptId,
    plan: Plan,
    log: LiveLog,
    limit: OutputLimit,
    resumable: Option<Resumable>,
    course: Course,
    spans: Spans,
}

/// How an attempt comes back to its commands.
#[derive(Clone, Debug)]
pub(super) struct Resumable {
    pub(super) key: ResumeKey,
    /// How long a command goes on alone.
    pub(super) grace: Duration,
}

/// What came of an attempt on one stay of its machine.
#[derive(Debug)]
#[non_exhaustive]
pub enum Leg {
    /// It has ended.
    Ended(Ending),
    /// The machine is lost, for this reason, and may come back with what it runs: [proceed](Attempt::proceed) with the next
    /// lease of it, or [give up](Attempt::give_up).
    Lost(LostReason),
    /// The coordinator stops, and what runs goes on: the next run may take it up.
    Left,
}

/// What ended a leg.
enum Break {
    Done(Cause, String),
    Trouble(Trouble),
    Stopped(StopReason),
    Lost(LostReason),
    /// As lost, and how far the attempt has come is not known.
    LostTrack(LostReason),
}

impl Attempt {
    /// An attempt that carries out `plan` and writes to `log`.
    #[must_use]
    pub fn new(id: AttemptId, plan: Plan, log: LiveLog) -> Self {
        Self {
            course: Course::new(&plan),
            id,
            plan,
            log,
            limit: OutputLimit::default(),
            resumable: None,
            spans: Spans::default(),
        }
    }

    /// How much output of a step is taken; 256 MiB by default. A step that has more is killed and has failed.
    #[must_use]
    pub fn output_limit(mut self, limit: OutputLimit) -> Self {
        self.limit = limit;
        self
    }

    /// Has its steps go on for so long when their machine is lost, to come back to them; not by default. For a machine that
    /// [keeps commands](buildlet_pool::Machine::keeps_commands), and with a key that is used for no other attempt.
    #[must_use]
    pub fn resumable(mut self, key: ResumeKey, grace: Duration) -> Self {
        self.resumable = Some(Resumable { key, grace });
        self
    }

    /// Goes on with an attempt of an earlier run, by what is stored of it, and `logged`, the length of its log's file. Also
    /// gives how much of that is to be kept: the rest comes again. `None` if it cannot be gone on with.
    #[must_use]
    pub fn resume_plan(plan: &Plan, stored: &model::Attempt, logged: u64) -> Option<ResumePlan> {
        let (course, keep) = Course::of(plan, stored, logged)?;
        Some(ResumePlan {
            course,
            plan: plan.clone(),
            id: stored.id,
            keep,
        })
    }

    /// Runs it on a machine to its end, which is never an error: whatever happens is a [`Cause`].
    ///
    /// When the end is asked for, or the machine is lost, it ends at once, whatever it is doing; what runs on the machine is
    /// killed. At the end the log has everything and is still open.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future kills what runs, unless that is [resumable](Self::resumable). Nothing says then how it ended; ask for its
    /// end with `stop` instead.
    pub async fn run(&mut self, lease: &Lease, stage: &dyn Stage, stop: &Stop) -> Ending {
        match self.proceed(lease, stage, stop).await {
            Leg::Ended(ending) => ending,
            Leg::Lost(lost) => {
                let (cause, message) = of_lost(&lost);
                self.finish(cause, message, Verdict::Unknown).await
            }
            Leg::Left => {
                let (cause, message) = StopReason::Stopping.ending();
                self.finish(cause, message, Verdict::Unfinished).await
            }
        }
    }

    /// Runs it on a machine until it has ended, or that is lost and may come back; on the next lease of the machine it goes on
    /// where it was. Only one that is [resumable](Self::resumable) stops in between.
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run). What is stored of the attempt may be ahead of it then: do not go on with it in this run.
    pub async fn proceed(&mut self, lease: &Lease, stage: &dyn Stage, stop: &Stop) -> Leg {
        let work = Work {
            id: self.id,
            plan: &self.plan,
            log: &self.log,
            limit: self.limit,
            resumable: self.resumable.as_ref(),
            client: lease.client().as_ref(),
            stage,
            spans: &self.spans,
        };
        let broken = {
            let mut working = pin!(work.run(&mut self.course));
            tokio::select! {
                biased;
                reason = stop.requested() => Break::Stopped(reason),
                lost = lease.lost() => if self.resumable.is_none() {
                    Break::LostTrack(lost)
                } else {
                    // Its calls fail now. What it is storing is waited for, so that it is known how far it came.
                    match timeout(LAST_WORDS, working).await {
                        Ok(Ok((cause, message))) => Break::Done(cause, message),
                        Ok(Err(_)) => Break::Lost(lost),
                        Err(_) => Break::LostTrack(lost),
                    }
                },
                result = &mut working => match result {
                    Ok((cause, message)) => Break::Done(cause, message),
                    Err(trouble) => explain(trouble, lease, stop).await,
                },
            }
        };
        let may_resume = self.resumable.is_some() && self.course.may_resume;
        let mut suspect = false;
        let (cause, message) = match broken {
            Break::Done(cause, message) => (cause, message),
            Break::Stopped(StopReason::Stopping) if may_resume => return Leg::Left,
            Break::Stopped(reason) => {
                work.abandon().await;
                reason.ending()
            }
            Break::Lost(lost) if may_resume && comes_back(&lost) => return Leg::Lost(lost),
            Break::Lost(lost) | Break::LostTrack(lost) => of_lost(&lost),
            Break::Trouble(trouble) => {
                work.abandon().await;
                suspect = trouble.suspect;
                (trouble.cause, trouble.message)
            }
        };
        let verdict = match cause {
            Cause::SetupError | Cause::Network if suspect => Verdict::Suspect(message.clone()),
            _ if lease.client().broken().is_some() => Verdict::Unknown,
            _ => Verdict::Healthy,
        };
        Leg::Ended(self.finish(cause, message, verdict).await)
    }

    /// Ends it, as its machine did not come back.
    pub async fn give_up(&mut self, cause: Cause, message: String) -> Ending {
        self.finish(cause, message, Verdict::Unknown).await
    }

    async fn finish(&mut self, cause: Cause, message: String, verdict: Verdict) -> Ending {
        if !cause.is_verdict() {
            self.log
                .write(format!("\n\nError: {cause}: {message}\n"))
                .await;
        }
        Ending {
            cause,
            message,
            verdict,
            spans: self.spans.take(),
        }
    }
}

/// An attempt of an earlier run that can be gone on with.
#[derive(Debug)]
pub struct ResumePlan {
    course: Course,
    plan: Plan,
    id: AttemptId,
    keep: u64,
}

impl ResumePlan {
    /// How much of its log's file is to be kept, in bytes.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.keep
    }

    /// The attempt, with its log as far as that is to be kept. It must be made [resumable](Attempt::resumable) with its key.
    #[must_use]
    pub fn attempt(self, log: LiveLog) -> Attempt {
        Attempt {
            id: self.id,
            plan: self.plan,
            log,
            limit: OutputLimit::default(),
            resumable: None,
            course: self.course,
            spans: Spans::default(),
        }
    }
}

/// A call that failed may be the first sign that the machine is gone, or that the attempt was to end anyway.
async fn explain(trouble: Trouble, lease: &Lease, stop: &Stop) -> Break {
    if matches!(trouble.cause, Cause::Network | Cause::LostBuildlet) {
        tokio::select! {
            biased;
            reason = stop.requested() => return Break::Stopped(reason),
            lost = lease.lost() => return Break::Lost(lost),
            () = tokio::time::sleep(EXPLANATION) => {}
        }
    }
    Break::Trouble(trouble)
}

/// Whether a machine that was lost so may be there again soon.
fn comes_back(lost: &LostReason) -> bool {
    matches!(
        lost,
        LostReason::Disconnected(_) | LostReason::Unresponsive(_)
    )
}
