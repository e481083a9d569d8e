use std::time::Duration;

use buildlet_proto::client::{
    Archive, AttachError, BuildletClient, CallError, ExecError, Outcome, Running,
};
use buildlet_proto::types::ext::{LimitHit, Resume};
use buildlet_proto::types::{ExecRequest, ProcessState};
use tokio::time::{Instant, timeout};

use super::attempt::Resumable;
use super::course::{Course, Open, Phase, heading};
use super::ending::{Trouble, chain, no_source, of_call, of_exec, of_stage};
use super::plan::SOURCE;
use super::spans::Spans;
use super::{LiveLog, Next, OutputLimit, Plan, PlannedStep, Stage, StepEnd};
use crate::model::{AttemptId, Cause, Change, StepOutcome};

/// How long placing the source may take.
const SOURCE_TIME: Duration = Duration::from_secs(15 * 60);
/// How much later than the buildlet a command that was come back to is given up.
const TIMEOUT_GRACE: Duration = Duration::from_secs(20);
/// How often in a row a connection may fail, with nothing coming over the new one, until it is not tried again.
const MAX_CUTS: u32 = 3;
/// How long killing a command may take.
const ABANDON_TIME: Duration = Duration::from_secs(5);

/// An attempt at work, on one stay of its machine.
pub(super) struct Work<'a> {
    pub(super) id: AttemptId,
    pub(super) plan: &'a Plan,
    pub(super) log: &'a LiveLog,
    pub(super) limit: OutputLimit,
    pub(super) resumable: Option<&'a Resumable>,
    pub(super) client: &'a dyn BuildletClient,
    pub(super) stage: &'a dyn Stage,
    pub(super) spans: &'a Spans,
}

impl Work<'_> {
    /// Goes on from where the attempt stands to its end.
    ///
    /// Dropped, it may have stored something that `course` does not know of. After an error the two agree.
    pub(super) async fn run(&self, course: &mut Course) -> Result<(Cause, String), Trouble> {
        let build = &self.plan.build;
        if course.phase == Phase::Source {
            let header = format!("{} at {}\n\n", build.key.builder, build.key.revision);
            self.log.write(header).await;
        }
        let source = async {
            match course.phase {
                Phase::Source => Some(self.spans.during("get_source", "", self.source()).await),
                _ => None,
            }
        };
        // The first is a connection to the machine, the second work on this one.
        let (workdir, source) = tokio::join!(self.client.work_dir(), source);
        let workdir = workdir.map_err(|error| of_call("ask for the work directory", &error))?;
        if let Some(source) = source {
            let placing = self.place_source(source?);
            self.spans.during("write_source", "", placing).await?;
            course.deadline = Instant::now().checked_add(self.plan.timeout);
            course.phase = Phase::Steps;
        }
        if course.phase == Phase::Steps {
            self.steps(course, &workdir).await?;
            course.phase = Phase::Artifacts;
        }
        let keeping = self.keep_artifacts(course);
        let missing = self.spans.during("keep_artifacts", "", keeping).await?;
        let (mut cause, mut message) = course.progress.clone().verdict();
        if let Some(missing) = missing
            && cause == Cause::Succeeded
        {
            (cause, message) = (Cause::Failed, missing);
        }
        Ok((cause, message))
    }

    async fn source(&self) -> Result<Archive, Trouble> {
        let source = self.stage.source(&self.plan.build).await;
        source.map_err(|error| no_source(&error))
    }

    async fn place_source(&self, source: Archive) -> Result<(), Trouble> {
        let placing = timeout(SOURCE_TIME, self.client.put_tar(source, SOURCE)).await;
        match placing {
            Ok(Ok(())) => Ok(()),
            // What git says is the reason, not the network.
            Ok(Err(error @ CallError::Source(_))) => Err(no_source(&error)),
            Ok(Err(error)) => Err(of_call("place the source", &error)),
            Err(_) => Err(Trouble {
                cause: Cause::Network,
                message: format!("placing the source took longer than {SOURCE_TIME:?}"),
                suspect: true,
            }),
        }
    }

    async fn steps(&self, course: &mut Course, workdir: &str) -> Result<(), Trouble> {
        loop {
            if course.open.is_none() {
                match course.progress.advance() {
                    Next::Done => return Ok(()),
                    Next::Run(index) => {
                        self.begin(index).await?;
                        course.open = Some(Open::new(index));
                    }
                    Next::Skip(index) => {
                        self.begin(index).await?;
                        self.end(index, StepOutcome::Skipped, String::new()).await?;
                    }
                }
            }
            let Some(open) = &mut course.open else {
                continue;
            };
            let index = open.index;
            let step = &self.plan.steps[index];
            if open.untitled {
                self.log.write(heading(&step.title)).await;
                open.untitled = false;
            }
            let deadline = course.deadline.unwrap_or_else(Instant::now);
            course.may_resume |= self.resumable.is_some();
            let name = format!("step:{}", step.title);
            let end = self
                .spans
                .during(&name, "", self.step(open, step, workdir, deadline))
                .await?;
            let (outcome, message) = course.progress.ended(end);
            course.open = None;
            self.end(index, outcome, message).await?;
        }
    }

    async fn begin(&self, index: usize) -> Result<(), Trouble> {
        let started = Change::StepStarted {
            attempt: self.id.number,
            index: number(index),
            name: self.plan.steps[index].title.clone(),
            log_offset: self.log.end(),
        };
        self.record(started).await
    }

    async fn end(
        &self,
        index: usize,
        outcome: StepOutcome,
        message: String,
    ) -> Result<(), Trouble> {
        let ended = Change::StepEnded {
            attempt: self.id.number,
            index: number(index),
            outcome,
            message,
            log_offset: self.log.end(),
        };
        // The next run of the coordinator would come back to the command, which has ended, and find the same.
        let noted = self.stage.note(ended).await;
        noted.map_err(|error| of_stage(&error))
    }

    pub(super) async fn record(&self, change: Change) -> Result<(), Trouble> {
        let recorded = self.stage.record(change).await;
        recorded.map_err(|error| of_stage(&error))
    }

    async fn step(
        &self,
        open: &mut Open,
        step: &PlannedStep,
        workdir: &str,
        deadline: Instant,
    ) -> Result<StepEnd, Trouble> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.abandon().await;
            return Ok(StepEnd::TimedOut(format!(
                "the build took longer than {:?}",
                self.plan.timeout
            )));
        }
        let request = step.request(&self.plan.build, workdir, left);
        let limit = *open
            .limit
            .get_or_insert(request.time_limit().unwrap_or(left));
        let timed_out = || StepEnd::TimedOut(format!("it ran longer than {limit:?}"));
        let taken_up = match self.resumable {
            Some(resumable) if open.sent => self.take_up(resumable, open, left).await?,
            _ => None,
        };
        let mut running = match taken_up {
            Some(running) => running,
            None => match self.start(open, request).await? {
                Ok(running) => running,
                Err(refusal) => return Ok(StepEnd::Failed(refusal)),
            },
        };
        let mut cuts = 0;
        loop {
            match running.next_output().await {
                Ok(Some(mut bytes)) => {
                    cuts = 0;
                    let room = self.limit.0 - open.taken;
                    let over = bytes.len() as u64 > room;
                    if over {
                        bytes.truncate(usize::try_from(room).unwrap_or(usize::MAX));
                    }
                    let more = bytes.len() as u64;
                    self.log.write(bytes).await;
                    open.taken += more;
                    if over {
                        drop(running); // which kills it
                        self.abandon().await;
                        let message = format!(
                            "it wrote more than the {} bytes of output that are taken",
                            self.limit.0
                        );
                        self.log.write(format!("\n\nError: {message}\n")).await;
                        return Ok(StepEnd::Failed(message));
                    }
                }
                Ok(None) => break,
                Err(ExecError::TimedOut) => {
                    self.abandon().await;
                    return Ok(timed_out());
                }
                Err(error @ ExecError::Cut(_)) => {
                    cuts += 1;
                    running = match self.resumable {
                        Some(resumable) if cuts <= MAX_CUTS => {
                            self.attach(resumable, open, left).await?
                        }
                        _ => return Err(of_exec(&error)),
                    };
                }
                Err(error) => return Err(of_exec(&error)),
            }
        }
        match running.outcome() {
            Some(outcome) if outcome.limit == Some(LimitHit::Timeout) => Ok(timed_out()),
            Some(outcome) => Ok(of_outcome(step, outcome)),
            None => Err(of_exec(&ExecError::NoProcessState)),
        }
    }

    /// Starts the command of a step. What the buildlet says if it cannot is the step's own failure.
    async fn start(
        &self,
        open: &mut Open,
        mut request: ExecRequest,
    ) -> Result<Result<Running, String>, Trouble> {
        if let Some(resumable) = self.resumable {
            let resume = Resume::new(resumable.key.clone(), number(open.index));
            request = request.resumable(resume.grace(resumable.grace));
        }
        open.sent = true;
        match self.client.start(request).await {
            Ok(running) => Ok(Ok(running)),
            Err(ExecError::Start(CallError::Refused { status, text })) => {
                // It cannot be the step's fault that something runs still, or that there is too much.
                if self.resumable.is_some() && matches!(status.as_u16(), 409 | 503) {
                    return Err(Trouble {
                        cause: Cause::SetupError,
                        message: format!(
                            "the machine does not take the command: {}",
                            text.trim_end()
                        ),
                        suspect: true,
                    });
                }
                self.log.write(format!("{}\n", text.trim_end())).await;
                Ok(Err(text))
            }
            Err(error) => Err(of_exec(&error)),
        }
    }

    /// Comes back to the command of a step on a machine that came back; `None` if it never got there, as what the machine
    /// has is the end of the step before.
    async fn take_up(
        &self,
        resumable: &Resumable,
        open: &Open,
        left: Duration,
    ) -> Result<Option<Running>, Trouble> {
        let status = self.client.status().await;
        let status = status.map_err(|error| of_call("ask for the status", &error))?;
        let name = resumable.key.name();
        let kept = status.kept().iter().find(|kept| kept.name == name);
        match kept {
            Some(kept) if kept.part < number(open.index) && !kept.running && open.taken == 0 => {
                Ok(None)
            }
            Some(_) => self.attach(resumable, open, left).await.map(Some),
            None => Err(lost("the machine does not have its command any more")),
        }
    }

    async fn attach(
        &self,
        resumable: &Resumable,
        open: &Open,
        left: Duration,
    ) -> Result<Running, Trouble> {
        let attached = self
            .client
            .attach(&resumable.key, number(open.index), open.taken)
            .await;
        match attached {
            Ok(mut running) => {
                if let Some(at) = Instant::now().checked_add(left + TIMEOUT_GRACE) {
                    running.set_deadline(at);
                }
                Ok(running)
            }
            Err(AttachError::Call(error)) => Err(of_call("come back to the command", &error)),
            Err(error) => Err(lost(&chain(&error))),
        }
    }

    /// Kills what the attempt runs on the machine. (Closing its connection is not enough for a command that outlives that.)
    pub(super) async fn abandon(&self) {
        if let Some(resumable) = self.resumable {
            let names = [resumable.key.name()];
            let killing = timeout(ABANDON_TIME, self.client.abandon(&names)).await;
            if !matches!(killing, Ok(Ok(()))) {
                tracing::warn!(attempt = %self.id, "it is not known whether a command was killed");
            }
        }
    }
}

fn lost(message: &str) -> Trouble {
    Trouble {
        cause: Cause::LostBuildlet,
        message: message.to_owned(),
        suspect: true,
    }
}

fn of_outcome(step: &PlannedStep, outcome: &Outcome) -> StepEnd {
    let code = match outcome.state {
        ProcessState::Success => Some(0),
        ProcessState::Exited(code) => Some(code),
        _ => None,
    };
    if code.is_some_and(|code| step.succeeds_with(code)) {
        return StepEnd::Succeeded;
    }
    StepEnd::Failed(match (outcome.limit, code) {
        (Some(limit), _) => format!("{} (limit: {})", outcome.state, limit.as_str()),
        (None, Some(0)) => "exit status 0, which counts as failure here".into(),
        (None, _) => outcome.state.to_string(),
    })
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
