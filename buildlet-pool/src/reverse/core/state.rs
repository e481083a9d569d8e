use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use buildlet_proto::types::ext::KeptName;
use tokio::time::Instant;

use super::super::config::ReverseConfig;
use super::super::followers::Followers;
use super::super::hold::Hold;
use super::super::record::{Identity, Records};
use crate::{HostType, LeaseOptions, LostReason, Machine, MachineId, Metrics};

/// What a pool decides: which machine is in which state, and who gets one. No I/O, no task; time is passed in.
///
/// `M` is what the shell keeps of a machine, `W` of a request that waits.
#[derive(Debug)]
pub(in crate::reverse) struct Core<M, W> {
    pub(super) config: ReverseConfig,
    pub(super) machines: HashMap<MachineId, Slot<M>>,
    pub(super) kinds: BTreeMap<HostType, Kind<W>>,
    /// The newest stay of each machine that is here.
    pub(super) names: HashMap<Identity, MachineId>,
    pub(super) records: Records,
    pub(super) followers: Followers,
    pub(super) metrics: Metrics,
    pub(super) leases: usize,
    pub(super) waiting: usize,
    /// Who waits for machines that come back, by what they come with.
    pub(super) claims: HashMap<KeptName, Claim<W>>,
    /// Numbers machines, leases, requests and offers.
    pub(super) last_number: u64,
    pub(super) random: u64,
    pub(super) closed: bool,
    pub(super) shut: bool,
}

/// Who is in the place of a machine's task, as the core sees it.
pub(in crate::reverse) trait Handle: Clone {
    /// The machine's state changed: its task is to ask for a new [`Plan`].
    fn wake(&self);
}

/// A machine for somebody.
#[derive(Debug)]
pub(in crate::reverse) struct Grant<M> {
    pub(in crate::reverse) machine: Arc<Machine>,
    pub(in crate::reverse) handle: M,
    pub(in crate::reverse) hold: Arc<Hold>,
    pub(in crate::reverse) number: u64,
}

/// What is to be done once the lock is free.
#[derive(Debug)]
pub(in crate::reverse) struct Effects<M, W> {
    pub(in crate::reverse) grants: Vec<(W, Grant<M>)>,
    pub(in crate::reverse) refused: Vec<W>,
    pub(in crate::reverse) wakers: Vec<Waker>,
    /// The last lease ended.
    pub(in crate::reverse) all_ended: bool,
}

/// What a machine's task is to do now.
#[derive(Clone, Debug)]
pub(in crate::reverse) enum Plan {
    /// Ask who it is, and clean it.
    Check,
    /// Clean it.
    Clean,
    /// Ask whether it lives.
    Probe,
    /// Ask over its holder's client.
    Ask(Arc<Hold>),
    /// Let it go; tell it to halt if that is said.
    Leave { halt: bool },
    /// Nothing until then.
    Wait(Instant),
    /// It is no more.
    End,
}

#[derive(Debug)]
pub(super) struct Slot<M> {
    pub(super) machine: Arc<Machine>,
    pub(super) handle: M,
    /// Its buildlet kills all that a command started.
    pub(super) kills_all: bool,
    pub(super) state: State,
    pub(super) since: Instant,
    pub(super) joined: Instant,
    pub(super) seen: Instant,
    pub(super) next_probe: Instant,
    pub(super) leases: u64,
}

#[derive(Debug)]
pub(super) enum State {
    Checking,
    /// It came back with commands of these names, which nobody has claimed yet.
    Held {
        names: Vec<KeptName>,
        until: Instant,
    },
    /// The place in its kind's queue, if it is on offer.
    Idle(Option<u64>),
    Leased(Leased),
    Cleaning,
    Quarantined(Instant),
    Leaving {
        halt: bool,
        reason: LostReason,
    },
}

#[derive(Debug)]
pub(super) struct Leased {
    pub(super) number: u64,
    pub(super) hold: Arc<Hold>,
    pub(super) time: Duration,
    pub(super) expires: Instant,
    pub(super) holder: String,
    /// It has commands of an earlier stay.
    pub(super) reclaimed: bool,
}

#[derive(Debug)]
pub(super) struct Claim<W> {
    pub(super) number: u64,
    pub(super) waiter: W,
    pub(super) options: LeaseOptions,
}

/// What was found out about a machine that came.
#[derive(Debug)]
pub(in crate::reverse) struct Found {
    /// Its buildlet kills all that a command started.
    pub(in crate::reverse) kills_all: bool,
    /// Its commands may outlive its stay.
    pub(in crate::reverse) keeps: bool,
    /// It has such commands; and was not cleaned therefore.
    pub(in crate::reverse) kept: Vec<KeptName>,
}

/// The machines and requests of a type.
#[derive(Debug)]
pub(super) struct Kind<W> {
    pub(super) connected: usize,
    /// Machines on offer, the one that is so for longest in front.
    pub(super) idle: BTreeMap<u64, MachineId>,
    /// Requests in the order in which they came.
    pub(super) waiting: BTreeMap<u64, Waiting<W>>,
}

#[derive(Debug)]
pub(super) struct Waiting<W> {
    pub(super) waiter: W,
    pub(super) since: Instant,
    pub(super) options: LeaseOptions,
}

impl<M, W> Default for Effects<M, W> {
    fn default() -> Self {
        Self {
            grants: Vec::new(),
            refused: Vec::new(),
            wakers: Vec::new(),
            all_ended: false,
        }
    }
}

impl<W> Default for Kind<W> {
    fn default() -> Self {
        Self {
            connected: 0,
            idle: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }
}

pub(super) fn identity(machine: &Machine) -> Identity {
    (machine.host_type.clone(), machine.host_name.clone())
}

/// No lease is longer than a year, so that no clock ends.
pub(super) fn after(now: Instant, time: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    now + time.min(YEAR)
}
