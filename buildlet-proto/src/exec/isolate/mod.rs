//! What keeps a command from the rest of the machine.
//!
//! All of it is applied by a supervisor to itself, and inherited by the command: so nothing has to run between `fork` and `exec`, and there
//! is no moment in which the command runs without. What sticks to a process (namespaces, resource limits) makes the supervisor one for
//! commands with the same [`Setup`]; what sticks to a thread (Landlock, capabilities) is applied in one that ends when it has started the command.

mod capabilities;
mod cgroup;
mod landlock;
mod namespaces;
mod rlimits;

use std::io::PipeWriter;
use std::path::PathBuf;
use std::process::Child;
use std::thread;

use self::cgroup::Cgroup;
pub(super) use self::cgroup::Counts;
use super::start::Start;
use super::{Enforcement, Isolation, Limits, Network, Sandbox};
use crate::types::ext::Mechanism;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Setup {
    pub(super) isolation: Isolation,
    pub(super) limits: Limits,
    pub(super) sandbox: Sandbox,
    pub(super) network: Network,
    pub(super) require: bool,
    /// The control group to make another one in; the own one if there is none.
    pub(super) cgroup: Option<PathBuf>,
}

impl Setup {
    /// Whether a supervisor that ran one such command can run the next.
    pub(super) fn is_reusable(&self) -> bool {
        self.isolation < Isolation::Sandbox && self.network == Network::On
    }
}

/// A setup that was applied to this process, as far as it could be.
#[derive(Debug)]
pub(super) struct Prepared {
    setup: Setup,
    enforcement: Enforcement,
    cgroup: Option<Cgroup>,
}

/// What became of a command.
#[derive(Debug)]
pub(super) enum Launched {
    Started(Child, Enforcement),
    Failed(String, Enforcement),
    /// Not everything required is enforced.
    Refused(Enforcement),
}

impl Prepared {
    /// Applies what sticks to this process, which must have one thread if it is not privileged.
    pub(super) fn new(setup: Setup) -> Self {
        let mut enforcement = Enforcement::new(setup.isolation);
        enforcement.add(Mechanism::ProcessGroup, "killed as a whole");
        enforcement.add(Mechanism::Subreaper, "no descendant can leave");
        enforcement.add(Mechanism::Session, "without a terminal");
        // The group first: in a new namespace its files may not be ours any more.
        let cgroup = (setup.isolation >= Isolation::Sandbox)
            .then(|| Cgroup::create(setup.cgroup.as_deref(), &setup.limits, &mut enforcement))
            .flatten();
        namespaces::enter(&setup, &mut enforcement);
        if setup.isolation >= Isolation::Process {
            rlimits::set(&setup.limits, &mut enforcement);
        }
        Self {
            setup,
            enforcement,
            cgroup,
        }
    }

    /// Starts a command.
    pub(super) fn launch(&mut self, start: &Start, output: PipeWriter) -> Launched {
        let mut enforcement = self.enforcement.clone();
        let joined = self.cgroup.as_ref().map(Cgroup::join);
        if let Some(Err(error)) = &joined {
            enforcement.miss(Mechanism::Cgroup, format!("cannot join: {error}"));
        }
        let launched = if self.setup.isolation < Isolation::Sandbox {
            self.start(start, output, enforcement)
        } else {
            thread::scope(|scope| {
                let thread = scope.spawn(|| {
                    capabilities::drop_most(&mut enforcement);
                    landlock::restrict(&self.setup.sandbox, &mut enforcement);
                    self.start(start, output, enforcement)
                });
                thread.join().expect("starting a process does not panic")
            })
        };
        if let Some(cgroup) = &mut self.cgroup
            && joined.is_some_and(|joined| joined.is_ok())
        {
            cgroup.leave();
        }
        launched
    }

    fn start(&self, start: &Start, output: PipeWriter, enforcement: Enforcement) -> Launched {
        if self.setup.require && !enforcement.is_complete() {
            return Launched::Refused(enforcement);
        }
        match start.spawn(output) {
            Ok(child) => Launched::Started(child, enforcement),
            Err(text) => Launched::Failed(text, enforcement),
        }
    }

    /// Kills all processes at once, if there is a control group for that.
    pub(super) fn kill(&self) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
    }

    /// Removes the control group, if there is one, in which nothing runs any more; what it counted.
    pub(super) fn finish(&mut self) -> Counts {
        match self.cgroup.take() {
            Some(cgroup) => cgroup.counts(),
            None => Counts::default(),
        }
    }
}
