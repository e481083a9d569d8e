//! Running: until stopped, or one revision.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};
use build_coordinator::coordinator::{Coordinator, ReloadError};
use build_coordinator::model::{Attempt, BuildDetail, BuildId, Cause};
use build_coordinator::run::LiveLog;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::args::{OnceArgs, RunArgs};
use crate::progress;
use crate::setup::Wanted;
use crate::shown::{LogPrinter, ending, took, what};
use crate::state::State;
use crate::system::System;
use crate::terminal::printable;

/// Bytes of a log that are in memory at a time.
const COPIED: usize = 64 * 1024;

/// Builds what is new until it is stopped.
pub(crate) async fn forever(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let (finish, stop) = (CancellationToken::new(), CancellationToken::new());
    let _signals = program::finish_then_stop_on_signal(finish.clone(), stop.clone())?;
    let wanted = Wanted::of(args)?;
    let dir = match &args.state_dir {
        Some(dir) => dir.clone(),
        None => wanted.default_state()?,
    };
    let state = State::open(&dir).await?;
    let setup = tokio::select! {
        setup = wanted.setup(&state.git) => setup?,
        () = finish.cancelled() => bail!("interrupted"),
    };
    let again = match setup.files.is_empty() {
        true => "",
        false => ", which is read again when it changes",
    };
    eprintln!("building {}{again}", setup.origin);
    let system = System::start(setup.config, setup.files, state, args).await?;
    eprintln!(
        "http://localhost:{}/ shows it; its state is in {}",
        system.address.port(),
        dir.display()
    );
    let showing = AbortOnDropHandle::new(tokio::spawn(progress::show(system.coordinator.clone())));
    let _reloading = reload_on_hangup(&system.coordinator)?;
    finish.cancelled().await;
    eprintln!("what runs is being ended; once more stops it now");
    system.end(&stop).await?;
    drop(showing);
    Ok(ExitCode::SUCCESS)
}

/// Reads the configuration again at each SIGHUP, unless this is a terminal: whose end is told by the same signal, and ends the program.
#[cfg(unix)]
fn reload_on_hangup(coordinator: &Coordinator) -> anyhow::Result<Option<AbortOnDropHandle<()>>> {
    use tokio::signal::unix::{SignalKind, signal};
    if io::stderr().is_terminal() {
        return Ok(None);
    }
    let mut hangups = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    let coordinator = coordinator.clone();
    Ok(Some(AbortOnDropHandle::new(tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            // Problems are shown as those are that nobody asked for.
            match coordinator.reload_files().await {
                Ok(true) | Err(ReloadError::Refused(_)) => {}
                Ok(false) => eprintln!("the configuration says what it said before"),
                Err(error) => eprintln!("the configuration is not read again: {error}"),
            }
        }
    }))))
}

#[cfg(not(unix))]
fn reload_on_hangup(_: &Coordinator) -> anyhow::Result<()> {
    Ok(())
}

/// Builds one revision, prints the logs, and says by the exit code how it went.
pub(crate) async fn once(args: &RunArgs, once: &OnceArgs) -> anyhow::Result<ExitCode> {
    let (finish, stop) = (CancellationToken::new(), CancellationToken::new());
    let _signals = program::finish_then_stop_on_signal(finish.clone(), stop.clone())?;
    let wanted = Wanted::of(args)?;
    // What is learned is in the exit code. Beside a coordinator that runs for ever, this is another.
    let folder = match &args.state_dir {
        Some(_) => None,
        None => Some(temporary_state(&wanted.default_state()?)?),
    };
    let state = args
        .state_dir
        .as_deref()
        .or(folder.as_ref().map(tempfile::TempDir::path))
        .context("there is no folder for the state")?;
    let state = State::open(state).await?;
    let setup = tokio::select! {
        setup = wanted.setup(&state.git) => setup?,
        () = finish.cancelled() => bail!("interrupted"),
    };
    let only = setup.only_repository()?;
    let revision = match (only.copy, &once.rev, only.head) {
        (Some(copy), rev, _) => revision(copy, rev.as_deref().unwrap_or("HEAD"))?,
        (None, Some(rev), _) => rev.clone(),
        (None, None, Some(head)) => head.to_string(),
        (None, None, None) => bail!("say which revision, with --rev"),
    };
    let order = Order {
        repository: only.repository.to_owned(),
        revision,
        builder: once.builder.clone(),
    };
    if let Some(name) = &once.builder
        && setup.config.builder(name).is_none()
    {
        let known: Vec<&str> = setup.config.builders().map(|one| &*one.name).collect();
        bail!(
            "there is no builder {name:?}; there are: {}",
            known.join(", ")
        );
    }
    let mut args = args.clone();
    args.listen = "localhost:0".to_owned();
    eprintln!("building {}", setup.origin);
    let config = setup.config.only_when_asked();
    let system = System::start(config, Vec::new(), state, &args).await?;
    let result = tokio::select! {
        result = build_all(&system.coordinator, &order) => Some(result),
        () = finish.cancelled() => None,
    };
    // Interrupted, or nothing is to be done any more: what still runs is stopped.
    stop.cancel();
    system.end(&stop).await?;
    match result {
        Some(result) => result,
        None => bail!("interrupted"),
    }
}

/// What is to be built once.
struct Order {
    repository: String,
    revision: String,
    builder: Option<String>,
}

async fn build_all(coordinator: &Coordinator, order: &Order) -> anyhow::Result<ExitCode> {
    let builds = coordinator
        .enqueue(
            &order.repository,
            &order.revision,
            order.builder.as_deref(),
            "run --once",
        )
        .await?;
    if let [_, _, ..] = &builds[..] {
        let names: Vec<&str> = (builds.iter())
            .map(|build| build.key.builder.as_str())
            .collect();
        let names = names.join(", ");
        eprintln!(
            "on {}; --builder NAME builds on one of them",
            printable(&names)
        );
    }
    let mut all_good = true;
    for build in builds {
        let detail = follow(coordinator, build.id).await?;
        all_good &= detail.build.cause() == Some(Cause::Succeeded);
        eprintln!(
            "== {}: {}, {}",
            what(&detail.build),
            ending(&detail),
            took(&detail.build)
        );
    }
    Ok(if all_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints a build's logs until it is over.
async fn follow(coordinator: &Coordinator, id: BuildId) -> anyhow::Result<BuildDetail> {
    let mut events = coordinator.subscribe();
    let mut printer = LogPrinter::default();
    let mut printed = 0;
    loop {
        let detail = coordinator
            .store()
            .detail(id)
            .await?
            .context("the build is lost")?;
        let next = detail.attempts.get(printed);
        if let Some(attempt) = next
            && let Some(log) = Log::of(coordinator, attempt)
        {
            eprintln!("== {}, attempt {}", what(&detail.build), printed + 1);
            log.print(coordinator, &mut printer).await?;
            printed += 1;
        } else if next.is_none() && detail.build.cause().is_some() {
            return Ok(detail);
        } else if events.next().await?.is_none() {
            bail!("the coordinator has stopped");
        }
    }
}

/// The log of an attempt.
enum Log {
    Live(LiveLog),
    Stored(String),
    /// It ended without one.
    None,
}

impl Log {
    /// `None` if it has not begun.
    fn of(coordinator: &Coordinator, attempt: &Attempt) -> Option<Self> {
        match &attempt.log {
            Some(stored) => Some(Self::Stored(stored.blob.clone())),
            None if attempt.is_running() => coordinator.live_log(attempt.id).map(Self::Live),
            None => Some(Self::None),
        }
    }

    /// Prints it to its end.
    async fn print(
        self,
        coordinator: &Coordinator,
        printer: &mut LogPrinter,
    ) -> anyhow::Result<()> {
        match self {
            Self::None => {}
            Self::Live(live) => {
                let mut reader = live.reader_at(0);
                while let Some(bytes) = reader.next_chunk().await.context("the log is lost")? {
                    printer.print(&bytes)?;
                }
            }
            Self::Stored(blob) => {
                let mut text = coordinator.logs().read(&blob.parse()?, 0..u64::MAX).await?;
                let mut buffer = vec![0; COPIED];
                loop {
                    match text.read(&mut buffer).await.context("the log is lost")? {
                        0 => break,
                        n => printer.print(&buffer[..n])?,
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a revision's name means where somebody works.
fn revision(copy: &Path, name: &str) -> anyhow::Result<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(copy)
        .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
        .arg(format!("{name}^{{commit}}"))
        .stdin(Stdio::null())
        .output()
        .context("cannot run git")?;
    let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || id.is_empty() {
        bail!("{} has no revision {name}", copy.display());
    }
    Ok(id)
}

fn temporary_state(default: &Path) -> anyhow::Result<tempfile::TempDir> {
    let parent = default
        .parent()
        .context("the state directory has no parent")?;
    std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    tempfile::Builder::new()
        .prefix("once-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot make a folder in {}", parent.display()))
}
