use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use buildlet_proto::client::{self, HttpClient};
use revdial::Dialer;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::ReverseConfig;
use super::core::{Core, Effects, Grant, Handle};
use super::invitation::Invited;
use super::leased::Ticket;
use super::record::Identity;
use super::turns::Turns;
use crate::MachineId;

/// How long the pool's own connection to a machine is kept after a call.
const KEPT: Duration = Duration::from_secs(2);

/// What handles of a pool, its tasks and its leases share.
pub(super) struct Shared {
    pub(super) config: ReverseConfig,
    state: Mutex<State>,
    /// The last lease ended.
    pub(super) all_ended: Notify,
    /// The tasks of machines end.
    pub(super) kill: CancellationToken,
    pub(super) tasks: TaskTracker,
    /// For the connections that leases make.
    pub(super) turns: Arc<Turns>,
}

/// What a lock is held on, for as long as a look-up takes.
pub(super) struct State {
    pub(super) core: PoolCore,
    pub(super) invited: HashMap<Identity, Arc<Invited>>,
}

pub(super) type PoolCore = Core<Arc<MachineHandle>, Waiter>;
pub(super) type PoolEffects = Effects<Arc<MachineHandle>, Waiter>;
pub(super) type PoolGrant = Grant<Arc<MachineHandle>>;
pub(super) type Waiter = oneshot::Sender<Ticket>;

/// A machine, as its task and the leases it is in use it.
pub(super) struct MachineHandle {
    pub(super) id: MachineId,
    pub(super) dialer: Dialer,
    /// The pool's own client.
    pub(super) client: HttpClient,
    /// It was invited: the end of its session is its end, and its work directory is its own.
    pub(super) invited: Option<Arc<Invited>>,
    pub(super) changed: Notify,
}

impl Shared {
    pub(super) fn new(config: ReverseConfig, seed: u64) -> Self {
        Self {
            state: Mutex::new(State {
                core: Core::new(config.clone(), seed),
                invited: HashMap::new(),
            }),
            config,
            all_ended: Notify::new(),
            kill: CancellationToken::new(),
            tasks: TaskTracker::new(),
            turns: Arc::new(Turns::new()),
        }
    }

    /// Looks something up, or changes what wakes nobody.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes something, and then, with the lock free, does what follows from it.
    pub(super) fn change<T>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut PoolCore, Instant, &mut PoolEffects) -> T,
    ) -> T {
        let mut effects = PoolEffects::default();
        let now = Instant::now();
        let result = self.look(|state| change(&mut state.core, now, &mut effects));
        self.carry_out(effects);
        result
    }

    fn carry_out(self: &Arc<Self>, effects: PoolEffects) {
        let Effects {
            grants,
            refused,
            wakers,
            all_ended,
        } = effects;
        for (waiter, grant) in grants {
            // Back comes the ticket of a request that gave up at this moment: dropped, its machine goes to the next.
            drop(waiter.send(Ticket::new(self.clone(), grant)));
        }
        drop(refused);
        for waker in wakers {
            waker.wake();
        }
        if all_ended {
            self.all_ended.notify_waiters();
        }
    }
}

impl MachineHandle {
    pub(super) fn new(
        id: MachineId,
        dialer: Dialer,
        host_name: &str,
        invited: Option<Arc<Invited>>,
        config: &ReverseConfig,
    ) -> Result<Self, client::ConfigError> {
        let client_config = client::Config::default()
            // The pool asks in its own rhythm.
            .heartbeat_interval(None)
            .connect_timeout(config.health.limit)
            .head_timeout(config.health.limit)
            // A connection kept from question to question would cost more memory than making one costs time; one that is kept for a
            // moment serves all calls of a cleaning, and the cleanings of short builds that follow each other.
            .max_idle(1)
            .idle_timeout(KEPT);
        let client = HttpClient::reverse(dialer.clone(), host_name, client_config)?;
        Ok(Self {
            id,
            dialer,
            client,
            invited,
            changed: Notify::new(),
        })
    }
}

impl Handle for Arc<MachineHandle> {
    fn wake(&self) {
        self.changed.notify_one();
    }
}
