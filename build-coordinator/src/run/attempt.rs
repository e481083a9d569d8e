use std::error::Error;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use buildlet_pool::{Lease, LostReason, Verdict};
use buildlet_proto::client::{Archive, BuildletClient, CallError, ExecError, Outcome};
use buildlet_proto::types::ext::LimitHit;
use buildlet_proto::types::{ExecRequest, ListRequest, ProcessState};
use dashboard_config::Artifact;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::plan::SOURCE;
use super::{LiveLog, Next, OutputLimit, Plan, PlannedStep, Progress, StepEnd};
use crate::model::{AttemptId, Build, Cause, Change, Span, StepOutcome, Timestamp};

/// How long after a failed call it is waited for the news that the machine is gone, which explains it.
const EXPLANATION: Duration = Duration::from_secs(2);
/// How long fetching all artifacts of an attempt may take.
const ARTIFACT_TIME: Duration = Duration::from_secs(15 * 60);
/// Files of an attempt that are kept, at most.
const MAX_ARTIFACTS: usize = 1000;
/// Files of an attempt that are looked at, at most, to find those that are to be kept.
const MAX_LISTED: usize = 500_000;
/// How long placing the source may take.
const SOURCE_TIME: Duration = Duration::from_secs(15 * 60);

/// One attempt at a build.
#[derive(Debug)]
pub struct Attempt {
    id: AttemptId,
    plan: Plan,
    log: LiveLog,
    limit: OutputLimit,
}

/// Where an attempt gets its source, and where what it makes goes: the seam between it and a coordinator.
///
/// A dropped call either has no effect or is carried out.
#[async_trait]
pub trait Stage: Send + Sync {
    /// The source of a build's revision, as `.tar.gz`, which every buildlet takes.
    async fn source(&self, build: &Build) -> Result<Archive, StageError>;

    /// Stores what happened to the attempt's build.
    async fn record(&self, change: Change) -> Result<(), StageError>;

    /// Stores a file that the attempt left, to its end.
    async fn keep(
        &self,
        attempt: AttemptId,
        name: &str,
        content: Box<dyn AsyncRead + Send + Unpin>,
    ) -> Result<Kept, KeepError>;
}

/// Why the coordinator could not do its part.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct StageError {
    what: String,
    source: Box<dyn Error + Send + Sync>,
}

/// Why a file could not be kept.
pub type KeepError = io::Error;

/// A file that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stages make it")]
pub struct Kept {
    /// Its name in the blob store.
    pub blob: String,
    /// Its size.
    pub bytes: u64,
}

/// How an attempt ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ending {
    /// Why.
    pub cause: Cause,
    /// More about it, for people.
    pub message: String,
    /// What is to be said of the machine.
    pub verdict: Verdict,
    /// What took how long.
    pub spans: Vec<Span>,
}

/// Ends attempts from outside. The first request counts. A clone ends the same attempt.
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<Option<StopReason>>);

/// Why an attempt is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// Somebody does not want it any more.
    Cancelled,
    /// A newer revision took its place.
    Superseded,
    /// The coordinator stops. The build is tried again by its next run.
    Stopping,
}

impl StageError {
    /// `what` could not be done, because of `source`.
    pub fn new(what: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            what: what.into(),
            source: source.into(),
        }
    }
}

impl Ending {
    /// An attempt that the coordinator could not go on with.
    pub(crate) fn coordinator_lost(message: String) -> Self {
        Self {
            cause: Cause::CoordinatorLost,
            message,
            verdict: Verdict::Healthy,
            spans: Vec::new(),
        }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Stop {
    /// Asks for the end. Whether this was the first to do so.
    #[expect(clippy::must_use_candidate, reason = "most only want it to end")]
    pub fn request(&self, reason: StopReason) -> bool {
        self.0.send_if_modified(|asked| {
            let first = asked.is_none();
            asked.get_or_insert(reason);
            first
        })
    }

    /// Waits until the end is asked for. Cancel safe.
    pub async fn requested(&self) -> StopReason {
        let mut asked = self.0.subscribe();
        loop {
            if let Some(reason) = *asked.borrow_and_update() {
                return reason;
            }
            // The sender is as old as this.
            let _ = asked.changed().await;
        }
    }
}

/// What the machinery, not the build, is to blame for.
#[derive(Debug)]
struct Trouble {
    cause: Cause,
    message: String,
    /// Whether the machine may be at fault.
    suspect: bool,
}

impl Attempt {
    /// An attempt that carries out `plan` and writes to `log`.
    #[must_use]
    pub fn new(id: AttemptId, plan: Plan, log: LiveLog) -> Self {
        Self {
            id,
            plan,
            log,
            limit: OutputLimit::default(),
        }
    }

    /// How much output of a step is taken; 256 MiB by default. A step that has more is killed and has failed.
    #[must_use]
    pub fn output_limit(mut self, limit: OutputLimit) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it on a machine to its end, which is never an error: whatever happens is a [`Cause`].
    ///
    /// When the end is asked for, or the machine is lost, it ends at once, whatever it is doing; what runs on the machine is
    /// killed by the buildlet, whose connection closes. At the end the log has everything and is still open.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future kills what runs. Nothing says then how it ended; ask for its end with `stop` instead.
    pub async fn run(&self, lease: &Lease, stage: &dyn Stage, stop: &Stop) -> Ending {
        let spans = Spans::default();
        let mut suspect = false;
        let (cause, message) = tokio::select! {
            biased;
            reason = stop.requested() => reason.ending(),
            lost = lease.lost() => of_lost(&lost),
            result = self.work(lease, stage, &spans) => match result {
                Ok(verdict) => verdict,
                Err(trouble) => {
                    suspect = trouble.suspect;
                    self.explain(trouble, lease, stop).await
                }
            },
        };
        if !cause.is_verdict() {
            self.log
                .write(format!("\n\nError: {cause}: {message}\n"))
                .await;
        }
        let verdict = match cause {
            Cause::SetupError | Cause::Network if suspect => Verdict::Suspect(message.clone()),
            _ if lease.client().broken().is_some() => Verdict::Unknown,
            _ => Verdict::Healthy,
        };
        Ending {
            cause,
            message,
            verdict,
            spans: spans.into_vec(),
        }
    }

    /// A call that failed may be the first sign that the machine is gone, or that the attempt was to end anyway.
    async fn explain(&self, trouble: Trouble, lease: &Lease, stop: &Stop) -> (Cause, String) {
        if matches!(trouble.cause, Cause::Network | Cause::LostBuildlet) {
            tokio::select! {
                biased;
                reason = stop.requested() => return reason.ending(),
                lost = lease.lost() => return of_lost(&lost),
                () = tokio::time::sleep(EXPLANATION) => {}
            }
        }
        (trouble.cause, trouble.message)
    }

    async fn work(
        &self,
        lease: &Lease,
        stage: &dyn Stage,
        spans: &Spans,
    ) -> Result<(Cause, String), Trouble> {
        let build = &self.plan.build;
        let client = lease.client().as_ref();
        let header = format!("{} at {}\n\n", build.key.builder, build.key.revision);
        self.log.write(header).await;
        let workdir = client
            .work_dir()
            .await
            .map_err(|error| of_call("ask for the work directory", &error))?;
        spans
            .during("write_source", "", self.place_source(client, stage))
            .await?;

        let deadline = Instant::now() + self.plan.timeout;
        let mut progress = Progress::new(&self.plan.steps);
        loop {
            let (index, runs) = match progress.advance() {
                Next::Done => break,
                Next::Run(index) => (index, true),
                Next::Skip(index) => (index, false),
            };
            let step = &self.plan.steps[index];
            self.begin(stage, index, step).await?;
            let (outcome, message) = if runs {
                let name = format!("step:{}", step.title);
                let end = spans
                    .during(&name, "", self.step(client, step, &workdir, deadline))
                    .await?;
                progress.ended(end)
            } else {
                (StepOutcome::Skipped, String::new())
            };
            self.end(stage, index, outcome, message).await?;
        }

        let failed = progress.has_failed();
        let (mut cause, mut message) = progress.verdict();
        let keeping = spans.during(
            "keep_artifacts",
            "",
            self.keep_artifacts(client, stage, failed),
        );
        if let Some(missing) = keeping.await?
            && cause == Cause::Succeeded
        {
            (cause, message) = (Cause::Failed, missing);
        }
        Ok((cause, message))
    }

    async fn place_source(
        &self,
        client: &dyn BuildletClient,
        stage: &dyn Stage,
    ) -> Result<(), Trouble> {
        let source = stage
            .source(&self.plan.build)
            .await
            .map_err(|error| no_source(&error))?;
        let placing = timeout(SOURCE_TIME, client.put_tar(source, SOURCE)).await;
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

    async fn begin(
        &self,
        stage: &dyn Stage,
        index: usize,
        step: &PlannedStep,
    ) -> Result<(), Trouble> {
        let started = Change::StepStarted {
            attempt: self.id.number,
            index: number(index),
            name: step.title.clone(),
            log_offset: self.log.end(),
        };
        stage
            .record(started)
            .await
            .map_err(|error| of_stage(&error))
    }

    async fn end(
        &self,
        stage: &dyn Stage,
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
        stage.record(ended).await.map_err(|error| of_stage(&error))
    }

    async fn step(
        &self,
        client: &dyn BuildletClient,
        step: &PlannedStep,
        workdir: &str,
        deadline: Instant,
    ) -> Result<StepEnd, Trouble> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(StepEnd::TimedOut(format!(
                "the build took longer than {:?}",
                self.plan.timeout
            )));
        }
        self.log.write(format!("##### {}\n", step.title)).await;
        let request = step.request(&self.plan.build, workdir, left);
        let limit = request.time_limit().unwrap_or(left);
        let timed_out = || StepEnd::TimedOut(format!("it ran longer than {limit:?}"));
        let mut running = match client.start(request).await {
            Ok(running) => running,
            Err(ExecError::Start(CallError::Refused { text, .. })) => {
                self.log.write(format!("{}\n", text.trim_end())).await;
                return Ok(StepEnd::Failed(text));
            }
            Err(error) => return Err(of_exec(&error)),
        };
        let mut taken = 0_u64;
        loop {
            match running.next_output().await {
                Ok(Some(mut bytes)) => {
                    let room = self.limit.0 - taken;
                    let over = bytes.len() as u64 > room;
                    if over {
                        bytes.truncate(usize::try_from(room).unwrap_or(usize::MAX));
                    }
                    taken += bytes.len() as u64;
                    self.log.write(bytes).await;
                    if over {
                        drop(running); // which kills it
                        let message = format!(
                            "it wrote more than the {} bytes of output that are taken",
                            self.limit.0
                        );
                        self.log.write(format!("\n\nError: {message}\n")).await;
                        return Ok(StepEnd::Failed(message));
                    }
                }
                Ok(None) => break,
                Err(ExecError::TimedOut) => return Ok(timed_out()),
                Err(error) => return Err(of_exec(&error)),
            }
        }
        match running.outcome() {
            Some(outcome) if outcome.limit == Some(LimitHit::Timeout) => Ok(timed_out()),
            Some(outcome) => Ok(of_outcome(step, outcome)),
            None => Err(of_exec(&ExecError::NoProcessState)),
        }
    }

    /// Fetches what is to be kept. Gives what is said if something is missing that must not be.
    async fn keep_artifacts(
        &self,
        client: &dyn BuildletClient,
        stage: &dyn Stage,
        failed: bool,
    ) -> Result<Option<String>, Trouble> {
        let wanted: Vec<&Artifact> = self
            .plan
            .artifacts
            .iter()
            .filter(|wanted| wanted.when.applies(failed))
            .collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        let fetching = async {
            let files = list(client, &wanted).await?;
            let mut missing = None;
            let mut kept = std::collections::HashSet::new();
            for (at, wanted) in wanted.iter().enumerate() {
                let found: Vec<_> = files.iter().filter(|file| file.of.contains(&at)).collect();
                let title = title(wanted);
                let bytes: u64 = found.iter().map(|file| file.bytes).sum();
                if found.is_empty() && wanted.required {
                    missing.get_or_insert(format!("artifact {title}: there is no such file"));
                }
                if bytes > wanted.max_size.0 {
                    let limit = wanted.max_size.0;
                    let note = format!(
                        "\nartifact {title}: not kept, as {bytes} bytes are more than {limit}\n"
                    );
                    self.log.write(note).await;
                    continue;
                }
                for file in found {
                    if kept.len() < MAX_ARTIFACTS && kept.insert(&file.name) {
                        self.fetch(client, stage, file).await?;
                    }
                }
            }
            Ok(missing)
        };
        match timeout(ARTIFACT_TIME, fetching).await {
            Ok(done) => done,
            Err(_) => Err(Trouble {
                cause: Cause::Network,
                message: format!("fetching artifacts took longer than {ARTIFACT_TIME:?}"),
                suspect: true,
            }),
        }
    }

    async fn fetch(
        &self,
        client: &dyn BuildletClient,
        stage: &dyn Stage,
        file: &Listed,
    ) -> Result<(), Trouble> {
        // The protocol has archives of directories, and a file's directory may be many times its size.
        let path = format!("{SOURCE}/{}", file.name);
        let command = ExecRequest::new("cat")
            .args(["--", &path])
            .system_level(true)
            .timeout(ARTIFACT_TIME);
        let running = client
            .start(command)
            .await
            .map_err(|error| of_exec(&error))?;
        let (content, mut sink) = tokio::io::duplex(256 << 10);
        let reading = async move {
            let outcome = running.copy_to(&mut sink).await;
            drop(sink); // its end is the content's end
            outcome
        };
        let (outcome, kept) = tokio::join!(
            reading,
            stage.keep(self.id, &file.name, Box::new(content.take(file.bytes + 1)))
        );
        let kept =
            kept.map_err(|error| of_stage(&StageError::new("cannot keep an artifact", error)))?;
        let outcome = outcome.map_err(|error| of_exec(&error))?;
        if !outcome.state.is_success() || kept.bytes != file.bytes {
            let note = format!(
                "\nartifact {}: not kept, as it changed meanwhile or cannot be read\n",
                file.name
            );
            self.log.write(note).await;
            return Ok(());
        }
        let stored = Change::ArtifactStored {
            attempt: self.id.number,
            name: file.name.clone(),
            blob: kept.blob,
            bytes: kept.bytes,
        };
        stage.record(stored).await.map_err(|error| of_stage(&error))
    }
}

/// A file that is to be kept.
#[derive(Debug)]
struct Listed {
    name: String,
    bytes: u64,
    /// Which of the wanted artifacts it belongs to.
    of: Vec<usize>,
}

async fn list(client: &dyn BuildletClient, wanted: &[&Artifact]) -> Result<Vec<Listed>, Trouble> {
    let failed = |error| of_call("list the files", &error);
    let request = ListRequest::new(SOURCE).recursive(true).skip(".git");
    let mut listing = client.list_dir(request).await.map_err(failed)?;
    let mut files = Vec::new();
    let mut looked_at = 0;
    while let Some(entry) = listing.next().await.map_err(failed)? {
        looked_at += 1;
        if looked_at > MAX_LISTED || files.len() > MAX_ARTIFACTS {
            break;
        }
        let Some(bytes) = entry.size() else { continue };
        let name = entry.name();
        // A name that is no text could not be shown or asked for.
        if name.as_bytes() != entry.name_bytes() {
            continue;
        }
        let matches = |wanted: &&Artifact| wanted.paths.iter().any(|path| path.matches(&name));
        let of: Vec<usize> = (wanted.iter().enumerate())
            .filter(|(_, wanted)| matches(wanted))
            .map(|(at, _)| at)
            .collect();
        if !of.is_empty() {
            files.push(Listed {
                name: name.into_owned(),
                bytes,
                of,
            });
        }
    }
    Ok(files)
}

fn title(artifact: &Artifact) -> String {
    let paths = || {
        artifact
            .paths
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    artifact.name.clone().unwrap_or_else(paths)
}

impl StopReason {
    fn ending(self) -> (Cause, String) {
        match self {
            Self::Cancelled => (Cause::Cancelled, "its end was asked for".into()),
            Self::Superseded => (Cause::Superseded, "a newer revision took its place".into()),
            Self::Stopping => (Cause::CoordinatorLost, "the coordinator stopped".into()),
        }
    }
}

fn of_lost(lost: &LostReason) -> (Cause, String) {
    let cause = match lost {
        LostReason::Preempted => Cause::Preempted,
        LostReason::Shutdown => Cause::CoordinatorLost,
        _ => Cause::LostBuildlet,
    };
    (cause, lost.to_string())
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

fn of_exec(error: &ExecError) -> Trouble {
    let cause = match error {
        ExecError::Dead(_) => Cause::LostBuildlet,
        ExecError::Start(CallError::Unsupported(_)) => Cause::SetupError,
        _ => Cause::Network,
    };
    let suspect = cause != Cause::SetupError;
    Trouble {
        cause,
        message: chain(error),
        suspect,
    }
}

fn of_call(what: &str, error: &CallError) -> Trouble {
    let cause = match error {
        CallError::Dead(_) => Cause::LostBuildlet,
        CallError::Refused { .. } | CallError::Unsupported(_) => Cause::SetupError,
        _ => Cause::Network,
    };
    let suspect = !matches!(error, CallError::Unsupported(_));
    Trouble {
        cause,
        message: format!("cannot {what}: {}", chain(error)),
        suspect,
    }
}

fn no_source(error: &dyn Error) -> Trouble {
    Trouble {
        cause: Cause::SetupError,
        message: format!("cannot give the source: {}", chain(error)),
        suspect: false,
    }
}

/// The coordinator itself cannot go on; its next run tries again.
fn of_stage(error: &StageError) -> Trouble {
    Trouble {
        cause: Cause::CoordinatorLost,
        message: chain(error),
        suspect: false,
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// The timeline of an attempt, of which there is something also if it is cut short.
#[derive(Debug, Default)]
struct Spans(Mutex<Vec<Span>>);

/// Notes its span when it is dropped.
struct Open<'a> {
    spans: &'a Spans,
    span: Span,
}

impl Spans {
    async fn during<T>(
        &self,
        name: &str,
        detail: &str,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let now = Timestamp::now();
        let mut open = Open {
            spans: self,
            span: Span {
                name: name.to_owned(),
                detail: detail.to_owned(),
                start: now,
                end: now,
                error: Some("interrupted".into()),
            },
        };
        let result = work.await;
        open.span.error = result.as_ref().err().map(|trouble| trouble.message.clone());
        result
    }

    fn into_vec(self) -> Vec<Span> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.span.end = Timestamp::now();
        let mut spans = self.spans.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.push(self.span.clone());
    }
}
