//! A pool in virtual time: whatever happens in whatever order, no machine has two holders and none is lost.

use std::collections::{HashMap, HashSet};
use std::task::Waker;
use std::time::Duration;

use buildlet_proto::types::ext::KeptName;
use proptest::prelude::*;
use tokio::time::Instant;

use super::Core;
use super::state::{Effects, Found, Grant, Handle, Plan};
use crate::reverse::config::{HostPolicy, Reuse, ReverseConfig};
use crate::{
    HostType, LeaseOptions, Machine, MachineId, MachineState, OfferEvent, PoolStatus, Verdict,
};

/// A machine's task, which is run by hand.
#[derive(Clone, Debug)]
struct Task;

impl Handle for Task {
    fn wake(&self) {}
}

/// What may happen; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Join {
        kind: u8,
        name: u8,
    },
    /// Somebody claims what a machine may come back with.
    Claim(u8),
    Unclaim(u8),
    Disconnect(u8),
    /// A machine's task does what is planned, and it works or not.
    Work {
        machine: u8,
        works: bool,
        /// If it is asked who it is: what it came back with.
        kept: Option<u8>,
    },
    Wait {
        kind: u8,
    },
    GiveUp(u8),
    /// Somebody who follows the offers takes one of them.
    Lease(u8),
    End {
        lease: u8,
        verdict: u8,
    },
    /// A request gave up while its machine was on the way.
    Return(u8),
    Broken(u8),
    Renew(u8),
    Drain {
        machine: u8,
        drained: bool,
    },
    Quarantine(u8),
    Pass {
        seconds: u16,
    },
    Follow,
}

fn step() -> impl Strategy<Value = Step> {
    let n = any::<u8>;
    prop_oneof![
        4 => (0..2_u8, 0..6_u8).prop_map(|(kind, name)| Step::Join { kind, name }),
        3 => (0..4_u8).prop_map(Step::Claim),
        1 => n().prop_map(Step::Unclaim),
        1 => n().prop_map(Step::Disconnect),
        12 => (n(), prop::bool::weighted(0.9), prop::option::weighted(0.3, 0..4_u8))
            .prop_map(|(machine, works, kept)| Step::Work { machine, works, kept }),
        4 => (0..2_u8).prop_map(|kind| Step::Wait { kind }),
        1 => n().prop_map(Step::GiveUp),
        4 => n().prop_map(Step::Lease),
        5 => (n(), 0..4_u8).prop_map(|(lease, verdict)| Step::End { lease, verdict }),
        1 => n().prop_map(Step::Return),
        1 => n().prop_map(Step::Broken),
        1 => n().prop_map(Step::Renew),
        1 => (n(), any::<bool>()).prop_map(|(machine, drained)| Step::Drain { machine, drained }),
        1 => n().prop_map(Step::Quarantine),
        3 => (0..400_u16).prop_map(|seconds| Step::Pass { seconds }),
        3 => Just(Step::Follow),
    ]
}

struct World {
    core: Core<Task, u64>,
    now: Instant,
    machines: Vec<MachineId>,
    /// Requests that wait, by the number the core knows them by, in the order in which they came.
    waiting: Vec<(u64, HostType, u64)>,
    /// Claims, by name: number and request.
    claims: HashMap<KeptName, (u64, u64)>,
    leases: Vec<Grant<Task>>,
    follower: u64,
    /// What the follower takes to be on offer.
    offered: HashSet<MachineId>,
    last_request: u64,
}

impl World {
    fn new() -> Self {
        let config = ReverseConfig::default()
            .quarantine_after(2)
            .lease_time(Duration::from_secs(600))
            .max_waiting(20)
            .policy("kind-0", HostPolicy::default().reuse(Reuse::Cleaned));
        let mut core = Core::new(config, 7);
        let follower = core.follow();
        Self {
            core,
            now: Instant::now(),
            machines: Vec::new(),
            waiting: Vec::new(),
            claims: HashMap::new(),
            leases: Vec::new(),
            follower,
            offered: HashSet::new(),
            last_request: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        let (now, mut fx) = (self.now, Effects::default());
        match *step {
            Step::Join { kind, name } => {
                let id = MachineId::new(self.core.new_number());
                let machine = Machine::new(id, kind_name(kind), name.to_string());
                if let Some((old, _)) = self.core.named(&(kind_name(kind), name.to_string().into()))
                {
                    self.core.replaced(now, old, &mut fx);
                }
                self.core.join(now, machine, Task);
                self.machines.push(id);
            }
            Step::Disconnect(which) => {
                if let Some(id) = choose(&self.machines, which) {
                    self.gone(id, Some("its power failed"), &mut fx);
                }
            }
            Step::Work {
                machine,
                works,
                kept,
            } => {
                if let Some(id) = choose(&self.machines, machine) {
                    self.work(id, works, kept, &mut fx);
                }
            }
            Step::Wait { kind } => {
                self.last_request += 1;
                let (request, kind) = (self.last_request, kind_name(kind));
                let options = LeaseOptions::default();
                if let Ok(number) = self.core.wait(now, &kind, options, request, &mut fx) {
                    self.waiting.push((number, kind, request));
                }
            }
            Step::Claim(name) => {
                self.last_request += 1;
                let (request, name) = (self.last_request, kept_name(name));
                let options = LeaseOptions::default();
                let claimed = self.core.claim(now, name, options, request, &mut fx);
                if let Ok(number) = claimed {
                    self.claims.insert(name, (number, request));
                    // The one before it is told so.
                    fx.refused.clear();
                }
            }
            Step::Unclaim(which) => {
                let claims = self.claims.iter().map(|(name, one)| (*name, *one));
                let mut claims: Vec<_> = claims.collect();
                claims.sort_unstable();
                if let Some((name, (number, request))) = choose(&claims, which) {
                    assert_eq!(self.core.unclaim(name, number), Some(request));
                    self.claims.remove(&name);
                }
            }
            Step::GiveUp(which) => {
                if let Some((number, kind, request)) = choose(&self.waiting, which) {
                    assert_eq!(self.core.give_up(&kind, number), Some(request));
                    self.waiting.retain(|waiting| waiting.0 != number);
                }
            }
            Step::Lease(which) => {
                let mut offered: Vec<_> = self.offered.iter().copied().collect();
                offered.sort_unstable();
                if let Some(id) = choose(&offered, which)
                    && let Ok(grant) = self.core.lease(now, id, LeaseOptions::default())
                {
                    self.offered.remove(&id);
                    self.leases.push(grant);
                }
            }
            Step::End { lease, verdict } => {
                let verdict = match verdict {
                    0 => Verdict::Healthy,
                    1 => Verdict::Suspect("no disk".to_owned()),
                    2 => Verdict::Unfinished,
                    _ => Verdict::Unknown,
                };
                self.end(lease, Some(verdict), &mut fx);
            }
            Step::Return(which) => self.end(which, None, &mut fx),
            Step::Broken(which) => {
                let leases: Vec<_> = self
                    .leases
                    .iter()
                    .map(|one| (one.machine.id, one.number))
                    .collect();
                if let Some((id, number)) = choose(&leases, which) {
                    let reason = crate::LostReason::Unresponsive("deaf".to_owned());
                    self.core.broken(now, id, number, reason, &mut fx);
                }
            }
            Step::Renew(which) => {
                let leases: Vec<_> = self
                    .leases
                    .iter()
                    .map(|one| (one.machine.id, one.number))
                    .collect();
                if let Some((id, number)) = choose(&leases, which) {
                    self.core.renew(now, id, number, Duration::from_secs(900));
                }
            }
            Step::Drain { machine, drained } => {
                if let Some(id) = choose(&self.machines, machine) {
                    assert!(self.core.set_drained(now, id, drained, &mut fx));
                }
            }
            Step::Quarantine(which) => {
                if let Some(id) = choose(&self.machines, which) {
                    let sentence = Some((Duration::from_secs(100), "noise".to_owned()));
                    assert!(self.core.set_quarantine(now, id, sentence, &mut fx));
                }
            }
            Step::Pass { seconds } => self.now += Duration::from_secs(seconds.into()),
            Step::Follow => self.follow(),
        }
        self.carry_out(fx);
        self.check();
    }

    fn end(&mut self, which: u8, verdict: Option<Verdict>, fx: &mut Effects<Task, u64>) {
        if !self.leases.is_empty() {
            let lease = self.leases.remove(usize::from(which) % self.leases.len());
            self.core
                .end(self.now, lease.machine.id, lease.number, verdict, fx);
            assert!(lease.hold.over().is_cancelled());
        }
    }

    fn work(&mut self, id: MachineId, works: bool, kept: Option<u8>, fx: &mut Effects<Task, u64>) {
        let why = || "it does not work".to_owned();
        match self.core.plan(self.now, id, fx) {
            Plan::Check if works => {
                let found = Found {
                    kills_all: true,
                    keeps: true,
                    kept: kept.into_iter().map(kept_name).collect(),
                };
                self.core.checked(self.now, id, found, fx);
            }
            Plan::Clean if works => self.core.cleaned(self.now, id, fx),
            Plan::Probe if works => self.core.answered(self.now, id),
            Plan::Check | Plan::Clean | Plan::Probe => self.core.unfit(self.now, id, why(), fx),
            Plan::Leave { .. } => self.gone(id, None, fx),
            Plan::Ask(hold) => assert!(!hold.over().is_cancelled()),
            Plan::Wait(until) => assert!(until > self.now, "a task must not spin"),
            Plan::End => panic!("it is here"),
        }
    }

    fn gone(&mut self, id: MachineId, why: Option<&str>, fx: &mut Effects<Task, u64>) {
        self.machines.retain(|one| *one != id);
        self.core
            .remove(self.now, id, why.map(ToOwned::to_owned), fx);
    }

    fn carry_out(&mut self, fx: Effects<Task, u64>) {
        for (request, grant) in fx.grants {
            let claim = self.claims.iter().find(|(_, one)| one.1 == request);
            if let Some(name) = claim.map(|(name, _)| *name) {
                self.claims.remove(&name);
                self.leases.push(grant);
                continue;
            }
            let at = self.waiting.iter().position(|waiting| waiting.2 == request);
            let (_, kind, _) = self.waiting.remove(at.expect("it waits"));
            assert_eq!(grant.machine.host_type, kind);
            let earlier = self.waiting.iter().find(|waiting| waiting.1 == kind);
            assert!(
                earlier.is_none_or(|earlier| earlier.2 > request),
                "out of turn"
            );
            self.leases.push(grant);
        }
        assert!(fx.refused.is_empty());
    }

    /// The follower reads all that there is to read.
    fn follow(&mut self) {
        while let Some(event) = self.core.next_offer(self.follower, Waker::noop()) {
            match event {
                OfferEvent::Offered(machine) => drop(self.offered.insert(machine.id)),
                OfferEvent::Withdrawn(machine) => {
                    assert!(self.offered.remove(&machine), "withdrawn, but not offered");
                }
                OfferEvent::Gone { machine, .. } => drop(self.offered.remove(&machine)),
            }
        }
        let status = self.status();
        let idle = status.machines().filter(|one| one.is_idle());
        let idle: HashSet<_> = idle.map(|one| one.machine.id).collect();
        assert_eq!(
            self.offered, idle,
            "a follower that is up to date knows all that is on offer"
        );
    }

    fn status(&self) -> PoolStatus {
        self.core.status(self.now, String::new())
    }

    fn check(&self) {
        let status = self.status();
        let here: HashSet<_> = status.machines().map(|one| one.machine.id).collect();
        assert_eq!(here, self.machines.iter().copied().collect());

        // Who has a lease that is not over has a machine, and nobody else has it.
        let live = self
            .leases
            .iter()
            .filter(|lease| !lease.hold.over().is_cancelled());
        let mut held = HashMap::new();
        for lease in live {
            let before = held.insert(lease.machine.id, lease.number);
            assert_eq!(before, None, "two holders of {}", lease.machine.id);
        }
        let busy = status
            .machines()
            .filter(|one| one.state == MachineState::Busy);
        let busy: HashSet<_> = busy.map(|one| one.machine.id).collect();
        assert_eq!(busy, held.keys().copied().collect(), "busy is what is held");
        assert_eq!(self.core.leases(), held.len());

        // Nothing is idle while somebody waits for it, and the queue is who waits.
        for (name, kind) in &status.host_types {
            let waiting = self.waiting.iter().filter(|waiting| waiting.1 == *name);
            assert_eq!(waiting.count(), kind.waiting);
            assert!(
                kind.waiting == 0 || kind.idle() == 0,
                "{name}: idle beside a queue"
            );
        }
        let metrics = &status.metrics;
        let ended = metrics.ended_healthy + metrics.ended_suspect + metrics.ended_unknown;
        assert_eq!(metrics.leases, ended + metrics.lost + held.len() as u64);
    }
}

fn kept_name(name: u8) -> KeptName {
    format!("{name:016x}").parse().unwrap()
}

fn kind_name(kind: u8) -> HostType {
    format!("kind-{kind}").into()
}

fn choose<T: Clone>(from: &[T], which: u8) -> Option<T> {
    (!from.is_empty()).then(|| from[usize::from(which) % from.len()].clone())
}

proptest! {
    #[test]
    fn no_machine_has_two_holders_and_none_is_lost(steps in prop::collection::vec(step(), 1..300)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        // When everything has ended and works again, every machine is idle, or leaves.
        let mut fx = Effects::default();
        for lease in std::mem::take(&mut world.leases) {
            world.core.end(world.now, lease.machine.id, lease.number, Some(Verdict::Healthy), &mut fx);
        }
        for waiting in std::mem::take(&mut world.waiting) {
            world.core.give_up(&waiting.1, waiting.0);
        }
        for _ in 0..10 {
            world.now += Duration::from_secs(4000);
            for id in world.machines.clone() {
                world.core.set_drained(world.now, id, false, &mut fx);
                world.work(id, true, None, &mut fx);
            }
        }
        let left_over = fx.grants.len();
        for (_, grant) in fx.grants.drain(..) {
            world.core.end(world.now, grant.machine.id, grant.number, None, &mut Effects::default());
        }
        prop_assert_eq!(left_over, 0);
        world.follow();
        prop_assert_eq!(world.offered.len(), world.machines.len());
        prop_assert_eq!(world.core.leases(), 0);
    }
}
