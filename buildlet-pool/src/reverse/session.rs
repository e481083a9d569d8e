use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use buildlet_proto::client::{BuildletClient as _, CallError};
use buildlet_proto::types::ext::Extension;
use tokio::time::{sleep_until, timeout};

use super::core::{Found, Plan};
use super::hold::Hold;
use super::shared::{MachineHandle, Shared};
use crate::text::chain;

/// So many names of kept commands are looked at; a buildlet has one or two.
const MAX_KEPT: usize = 64;

/// The task of a machine: does what the core plans, until the machine is gone.
pub(super) async fn run(shared: Arc<Shared>, machine: Arc<MachineHandle>) {
    let session = Session { shared, machine };
    let end = tokio::select! {
        end = session.machine.dialer.closed() => Some(end.to_string()),
        () = session.live() => None,
        () = session.shared.kill.cancelled() => None,
    };
    session.remove(end);
}

struct Session {
    shared: Arc<Shared>,
    machine: Arc<MachineHandle>,
}

/// Why a machine is not fit for use.
#[derive(Debug)]
enum Unfit {
    Call(&'static str, CallError),
    Slow(&'static str, Duration),
    TooOld { version: i64, min: i64 },
}

impl Session {
    /// Returns once the machine is to be no more.
    async fn live(&self) {
        let (shared, machine) = (&self.shared, &*self.machine);
        let id = machine.id;
        loop {
            let plan = shared.change(|core, now, fx| core.plan(now, id, fx));
            match plan {
                Plan::Wait(until) => tokio::select! {
                    () = sleep_until(until) => {}
                    () = machine.changed.notified() => {}
                },
                Plan::Probe => tokio::select! {
                    answer = self.status() => match answer {
                        Ok(_) => shared.change(|core, now, _| core.answered(now, id)),
                        Err(why) => self.unfit(&why),
                    },
                    // Its state is another, and so is what is to be done.
                    () = machine.changed.notified() => {}
                },
                Plan::Ask(hold) => self.ask(&hold).await,
                Plan::Check => match self.check().await {
                    Ok(found) => {
                        shared.change(|core, now, fx| core.checked(now, id, found, fx));
                    }
                    Err(why) => self.unfit(&why),
                },
                Plan::Clean => match self.clean().await {
                    Ok(()) => shared.change(|core, now, fx| core.cleaned(now, id, fx)),
                    Err(why) => self.unfit(&why),
                },
                Plan::Leave { halt } => return self.leave(halt).await,
                Plan::End => return,
            }
        }
    }

    /// Who it is; and cleans it, whatever it did before, unless it has commands that somebody may claim.
    async fn check(&self) -> Result<Found, Unfit> {
        let status = self.status().await?;
        let (version, min) = (status.version(), self.shared.config.min_version);
        if version < min {
            return Err(Unfit::TooOld { version, min });
        }
        let is_own = self.machine.invited.is_none();
        // Who is invited does not come back: its end is that of its process.
        let mut kept: Vec<_> = status.kept().iter().map(|kept| kept.name).collect();
        kept.truncate(if is_own { MAX_KEPT } else { 0 });
        if is_own && kept.is_empty() {
            self.empty().await?;
        }
        Ok(Found {
            kills_all: status.supports(Extension::Timeout),
            keeps: is_own && status.supports(Extension::Resume),
            kept,
        })
    }

    async fn status(&self) -> Result<buildlet_proto::types::Status, Unfit> {
        const WHAT: &str = "asking for its status";
        let limit = self.shared.config.health.limit;
        match timeout(limit, self.machine.client.status()).await {
            Ok(answer) => answer.map_err(|error| Unfit::Call(WHAT, error)),
            Err(_) => Err(Unfit::Slow(WHAT, limit)),
        }
    }

    /// Kills what it still runs, and empties its work directory.
    async fn clean(&self) -> Result<(), Unfit> {
        const WHAT: &str = "killing its commands";
        let limit = self.shared.config.health.clean_limit;
        let client = &self.machine.client;
        let killing = async {
            // Asked before, when it came.
            if client.supports(Extension::Resume).await? {
                client.abandon(&[]).await?;
            }
            Ok(())
        };
        match timeout(limit, killing).await {
            Ok(done) => done.map_err(|error| Unfit::Call(WHAT, error))?,
            Err(_) => return Err(Unfit::Slow(WHAT, limit)),
        }
        self.empty().await
    }

    async fn empty(&self) -> Result<(), Unfit> {
        const WHAT: &str = "emptying its work directory";
        let limit = self.shared.config.health.clean_limit;
        let everything = [".".to_owned()];
        match timeout(limit, self.machine.client.remove_all(&everything)).await {
            Ok(done) => done.map_err(|error| Unfit::Call(WHAT, error)),
            Err(_) => Err(Unfit::Slow(WHAT, limit)),
        }
    }

    /// Asks a machine that is in a lease. If it does not answer, that is for the holder's client to judge, which knows what else it sends.
    async fn ask(&self, hold: &Hold) {
        tokio::select! {
            answered = hold.ask() => if answered {
                self.shared.change(|core, now, _| core.answered(now, self.machine.id));
            },
            () = self.machine.changed.notified() => {}
        }
    }

    fn unfit(&self, why: &Unfit) {
        let why = chain(why);
        tracing::warn!(
            machine = self.machine.client.name(),
            why,
            "machine is not fit for use"
        );
        self.shared
            .change(|core, now, fx| core.unfit(now, self.machine.id, why, fx));
    }

    /// Says good-bye. Who was told to halt closes the connection; until then it may register again and be told apart.
    async fn leave(&self, halt: bool) {
        let machine = &*self.machine;
        if halt && machine.invited.is_none() {
            machine.client.close().await;
            let limit = self.shared.config.health.leave_limit;
            // Else it is closed now.
            let _ = timeout(limit, machine.dialer.closed()).await;
        }
        machine.dialer.close().await;
    }

    fn remove(&self, end: Option<String>) {
        let id = self.machine.id;
        self.shared
            .change(|core, now, fx| core.remove(now, id, end, fx));
        if let Some(invited) = &self.machine.invited {
            invited.leave();
        }
        tracing::info!(machine = self.machine.client.name(), %id, "machine left");
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(what, _) => write!(f, "{what} failed"),
            Self::Slow(what, limit) => write!(f, "{what} took longer than {limit:?}"),
            Self::TooOld { version, min } => {
                write!(
                    f,
                    "its version is {version}, and {min} is the lowest allowed"
                )
            }
        }
    }
}

impl Error for Unfit {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Call(_, error) => Some(error),
            _ => None,
        }
    }
}
