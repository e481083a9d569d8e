use std::collections::{BTreeSet, HashMap};

use crate::config::{Config, ConfigError, Mode};
use crate::event::{Decision, Event, EventError};
use crate::history::History;
use crate::ids::{HostType, MachineId, ShareName, SupersedeKey, WorkId};
use crate::names::Table;
use crate::queues::{LaneKey, Queues, Rules, Spot};
use crate::time::Time;
use crate::work::Work;

/// Decides which waiting work gets which machine: a state machine without I/O and without a clock.
///
/// [`handle`](Self::handle) takes what happened and gives what is to be done. The same events at the same times give
/// the same decisions, always.
///
/// # Cost
///
/// An event costs O(log n) in the number of works and machines. When a builder reaches its limit or gets below it, and
/// when a quota gets less or more, each *lane* that this holds up or frees costs O(log n) once more: a lane is all
/// works of one share, class, builder and cost, however many they are.
///
/// # Memory
///
/// [`Config::max_waiting`] works, [`Config::max_machines`] machines, and 32 durations for [`Config::max_names`]
/// builders; host types, shares, builders and quotas are forgotten with the last thing that names them.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) config: Config,
    pub(crate) now: Time,
    pub(crate) queues: Queues,
    pub(crate) works: HashMap<WorkId, Entry>,
    pub(crate) machines: HashMap<MachineId, Machine>,
    pub(crate) history: History,
    /// Shares, each with the number of works that name it.
    shares: Table<ShareName, usize>,
    /// Work that waits for a time, by that time.
    delayed: BTreeSet<(Time, WorkId)>,
    /// The newest waiting work of each key.
    newest: HashMap<SupersedeKey, WorkId>,
    /// Counts arrivals of works and offers of machines, which breaks ties.
    arrivals: u64,
    limited_builders: usize,
    set_quotas: usize,
}

/// A work that waits or runs.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) work: Work,
    pub(crate) spot: Spot,
    pub(crate) state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not due yet.
    Delayed,
    Waiting,
    Running {
        machine: MachineId,
        since: Time,
    },
}

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) host: u32,
    pub(crate) use_: Use,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Free since this arrival.
    Idle(u64),
    Busy {
        work: WorkId,
        /// Whether it was offered again before its work was reported finished.
        offered: bool,
    },
    /// Its work has ended, and it was not offered again yet.
    Away,
}

impl Scheduler {
    /// A scheduler that knows of no work and no machine.
    ///
    /// # Errors
    ///
    /// If the configuration contradicts itself.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let config = config.validate()?;
        Ok(Self {
            now: Time::from_unix_millis(i64::MIN),
            queues: Queues::new(config.mode == Mode::StrictLine),
            works: HashMap::new(),
            machines: HashMap::new(),
            history: History::new(config.max_names),
            shares: Table::new(),
            delayed: BTreeSet::new(),
            newest: HashMap::new(),
            arrivals: 0,
            limited_builders: 0,
            set_quotas: 0,
            config,
        })
    }

    /// Takes what happened at `now` and gives what is to be done, in this order.
    ///
    /// # Errors
    ///
    /// If the event contradicts what is known or would exceed a limit; it changed nothing then, not even the time.
    pub fn handle(&mut self, now: Time, event: Event) -> Result<Vec<Decision>, EventError> {
        let mut decisions = Vec::new();
        let before = self.now;
        self.now = before.max(now);
        if let Err(refused) = self.apply(event, &mut decisions) {
            self.now = before;
            return Err(refused);
        }
        self.wake_delayed();
        self.assign(&mut decisions);
        Ok(decisions)
    }

    /// When to send [`Event::TimePassed`] if nothing else happens before; `None` if there is nothing to wait for.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Time> {
        self.delayed.first().map(|(due, _)| *due)
    }

    fn apply(&mut self, event: Event, decisions: &mut Vec<Decision>) -> Result<(), EventError> {
        match event {
            Event::WorkAdded(work) => self.add(work, decisions),
            Event::WorkCancelled(id) => self.cancel(id),
            Event::WorkFinished { work, took } => {
                let entry = self.take_running(work)?;
                if let Some(took) = took {
                    self.history.add(&entry.work.builder, took);
                }
                self.forget_share(entry.spot.lane.share);
                Ok(())
            }
            Event::AssignmentFailed(id) => {
                let entry = self.take_running(id)?;
                self.forget_share(entry.spot.lane.share);
                self.wait(entry.work, entry.spot.order.2, decisions);
                Ok(())
            }
            Event::MachineOffered { machine, host_type } => self.offer(machine, &host_type),
            Event::MachineLost(machine) => {
                self.lose(machine);
                Ok(())
            }
            Event::BuilderLimit { builder, max } => {
                let known = self.queues.builders.find(&builder);
                let had = known.is_some_and(|number| self.queues.builders[number].max.is_some());
                self.limited_builders = self.count(self.limited_builders, had, max.is_some())?;
                let number = self.queues.builders.find_or_add(&builder, Default::default);
                self.queues.builders[number].max = max;
                self.queues.wake_builder(number);
                self.queues.tidy_builder(number);
                Ok(())
            }
            Event::QuotaChanged {
                quota,
                limit,
                untracked,
            } => {
                let known = self.queues.quotas.find(&quota);
                let had = known.is_some_and(|number| self.queues.quotas[number].is_set());
                let has = limit > 0 || untracked > 0;
                self.set_quotas = self.count(self.set_quotas, had, has)?;
                let number = self.queues.quotas.find_or_add(&quota, Default::default);
                self.queues.quotas[number].limit = limit;
                self.queues.quotas[number].untracked = untracked;
                self.queues.review_quota(number);
                self.queues.tidy_quota(number);
                Ok(())
            }
            Event::Learned { builder, took } => {
                self.history.add(&builder, took);
                Ok(())
            }
            Event::TimePassed => Ok(()),
        }
    }

    /// How many names are set when one that was or was not is or is not.
    fn count(&self, names: usize, had: bool, has: bool) -> Result<usize, EventError> {
        let limit = self.config.max_names;
        match (had, has) {
            (false, true) if names >= limit => Err(EventError::TooManyNames { limit }),
            (false, true) => Ok(names + 1),
            (true, false) => Ok(names - 1),
            _ => Ok(names),
        }
    }

    fn add(&mut self, mut work: Work, decisions: &mut Vec<Decision>) -> Result<(), EventError> {
        if self.works.contains_key(&work.id) {
            return Err(EventError::DuplicateWork(work.id));
        }
        let limit = self.config.max_waiting;
        if self.works.len() >= limit {
            return Err(EventError::QueueFull { limit });
        }
        work.requested.get_or_insert(self.now);
        self.arrivals += 1;
        self.wait(work, self.arrivals, decisions);
        Ok(())
    }

    /// Lets work wait that came as the `arrival`th, unless newer work of its key waits.
    fn wait(&mut self, work: Work, arrival: u64, decisions: &mut Vec<Decision>) {
        let id = work.id;
        if let Some(key) = &work.supersede
            && let Some(&other) = self.newest.get(key)
        {
            let theirs = &self.works[&other];
            if (theirs.work.newness(), theirs.spot.order.2) > (work.newness(), arrival) {
                decisions.push(Decision::Supersede {
                    work: id,
                    by: other,
                });
                return;
            }
            decisions.push(Decision::Supersede {
                work: other,
                by: id,
            });
            self.take_waiting(other);
        }
        if let Some(key) = &work.supersede {
            self.newest.insert(key.clone(), id);
        }

        let spot = self.spot(&work, arrival);
        self.queues.arrive(&spot);
        let state = match work.not_before {
            Some(due) if due > self.now => {
                self.delayed.insert((due, id));
                State::Delayed
            }
            _ => {
                self.queues.enter(&spot, id);
                State::Waiting
            }
        };
        self.works.insert(id, Entry { work, spot, state });
    }

    fn spot(&mut self, work: &Work, arrival: u64) -> Spot {
        // A strict line knows no shares.
        let everybody = ShareName::from("");
        let share = match self.config.mode {
            Mode::Fair => &work.share,
            Mode::StrictLine => &everybody,
        };
        let share = self.shares.find_or_add(share, || 0);
        self.shares[share] += 1;
        let queues = &mut self.queues;
        let lane = LaneKey {
            host: queues.hosts.find_or_add(&work.host_type, Default::default),
            rank: work.rank(),
            share,
            builder: queues.builders.find_or_add(&work.builder, Default::default),
            level: work.level,
            cost: work.cost.as_ref().map(|cost| {
                let quota = queues.quotas.find_or_add(&cost.quota, Default::default);
                (quota, cost.units)
            }),
        };
        Spot {
            lane,
            order: (work.level.saturating_neg(), work.sort_key(), arrival),
            age: (0, work.requested().unix_millis(), arrival),
        }
    }

    fn cancel(&mut self, id: WorkId) -> Result<(), EventError> {
        match self.works.get(&id).map(|entry| entry.state) {
            None => Err(EventError::UnknownWork(id)),
            Some(State::Running { .. }) => Err(EventError::Running(id)),
            Some(State::Delayed | State::Waiting) => {
                self.take_waiting(id);
                Ok(())
            }
        }
    }

    /// Takes out work that waits.
    fn take_waiting(&mut self, id: WorkId) {
        let entry = self.works.remove(&id).expect("the caller saw it wait");
        self.forget_key(&entry.work);
        match entry.state {
            State::Delayed => {
                self.delayed
                    .remove(&(entry.work.not_before.unwrap_or_default(), id));
            }
            _ => self.queues.leave(&entry.spot),
        }
        self.queues.depart(&entry.spot);
        self.forget_share(entry.spot.lane.share);
    }

    /// Takes out work that runs, and frees its machine.
    fn take_running(&mut self, id: WorkId) -> Result<Entry, EventError> {
        let machine = match self.works.get(&id).map(|entry| entry.state) {
            None => return Err(EventError::UnknownWork(id)),
            Some(State::Running { machine, .. }) => machine,
            Some(State::Delayed | State::Waiting) => return Err(EventError::NotRunning(id)),
        };
        let entry = self.works.remove(&id).expect("it was just there");
        if let Some(found) = self.machines.get_mut(&machine)
            && let Use::Busy { work, offered } = found.use_
            && work == id
        {
            if offered {
                self.arrivals += 1;
                found.use_ = Use::Idle(self.arrivals);
                self.queues.hosts[found.host]
                    .idle
                    .insert((self.arrivals, machine));
                self.queues.touch(found.host);
            } else {
                found.use_ = Use::Away;
            }
        }
        self.queues.finish(&entry.spot);
        Ok(entry)
    }

    fn offer(&mut self, id: MachineId, host_type: &HostType) -> Result<(), EventError> {
        let known = self.queues.hosts.find(host_type);
        if let Some(machine) = self.machines.get_mut(&id) {
            if known != Some(machine.host) {
                return Err(EventError::HostTypeChanged(id));
            }
            match &mut machine.use_ {
                Use::Idle(_) => return Ok(()),
                Use::Busy { offered, .. } => {
                    *offered = true;
                    return Ok(());
                }
                Use::Away => {}
            }
        } else {
            let limit = self.config.max_machines;
            if self.machines.len() >= limit {
                return Err(EventError::TooManyMachines { limit });
            }
            let host = self.queues.hosts.find_or_add(host_type, Default::default);
            self.queues.hosts[host].machines += 1;
            self.machines.insert(
                id,
                Machine {
                    host,
                    use_: Use::Away,
                },
            );
        }
        self.arrivals += 1;
        let machine = self.machines.get_mut(&id).expect("it is known by now");
        machine.use_ = Use::Idle(self.arrivals);
        let host = &mut self.queues.hosts[machine.host];
        host.idle.insert((self.arrivals, id));
        self.queues.touch(machine.host);
        Ok(())
    }

    fn lose(&mut self, id: MachineId) {
        let Some(machine) = self.machines.remove(&id) else {
            return;
        };
        let host = &mut self.queues.hosts[machine.host];
        host.machines -= 1;
        if let Use::Idle(since) = machine.use_ {
            host.idle.remove(&(since, id));
        }
        if host.machines == 0 {
            self.queues.review_quotas();
            self.queues.tidy_host(machine.host);
        }
    }

    fn wake_delayed(&mut self) {
        while let Some(&(due, id)) = self.delayed.first() {
            if due > self.now {
                return;
            }
            self.delayed.pop_first();
            let entry = self.works.get_mut(&id).expect("delayed work waits");
            entry.state = State::Waiting;
            self.queues.enter(&entry.spot, id);
        }
    }

    /// Gives free machines to waiting work until there are no more of either that may come together.
    fn assign(&mut self, decisions: &mut Vec<Decision>) {
        let rules = Rules {
            strict: self.config.mode == Mode::StrictLine,
            overdue: self.now.saturating_sub(self.config.patience),
            aged_every: self.config.aged_every,
        };
        while let Some(host) = self.queues.next_dirty() {
            while let Some(&(since, machine)) = self.queues.hosts[host].idle.first() {
                let Some(work) = self.queues.pick(host, &rules) else {
                    break;
                };
                self.queues.hosts[host].idle.remove(&(since, machine));
                self.start(work, machine);
                decisions.push(Decision::Assign { work, machine });
            }
        }
    }

    fn start(&mut self, id: WorkId, machine: MachineId) {
        let entry = self.works.get_mut(&id).expect("what is in a lane waits");
        entry.state = State::Running {
            machine,
            since: self.now,
        };
        let found = self.machines.get_mut(&machine).expect("it is free");
        found.use_ = Use::Busy {
            work: id,
            offered: false,
        };
        self.queues.leave(&entry.spot);
        self.queues.start(&entry.spot);
        if let Some(key) = &entry.work.supersede
            && self.newest.get(key) == Some(&id)
        {
            self.newest.remove(key);
        }
    }

    fn forget_key(&mut self, work: &Work) {
        if let Some(key) = &work.supersede
            && self.newest.get(key) == Some(&work.id)
        {
            self.newest.remove(key);
        }
    }

    fn forget_share(&mut self, share: u32) {
        self.shares[share] -= 1;
        if self.shares[share] == 0 {
            self.shares.remove(share);
        }
    }
}
