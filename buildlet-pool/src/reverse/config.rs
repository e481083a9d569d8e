use std::collections::HashMap;
use std::time::Duration;

use buildlet_proto::key::MasterKey;

use crate::HostType;

/// How a [`ReversePool`](crate::ReversePool) treats the machines that register.
#[derive(Clone, Debug)]
pub struct ReverseConfig {
    pub(super) master_key: Option<MasterKey>,
    pub(super) default_policy: HostPolicy,
    pub(super) policies: HashMap<HostType, HostPolicy>,
    pub(super) min_version: i64,
    pub(super) max_machines: usize,
    pub(super) max_waiting: usize,
    pub(super) lease_time: Duration,
    pub(super) claim_limit: Duration,
    pub(super) health: Health,
    pub(super) quarantine: Quarantine,
}

/// What holds for the machines of a type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostPolicy {
    pub(super) expected: usize,
    pub(super) reuse: Reuse,
}

/// What becomes of a machine after a lease that ended well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reuse {
    /// It is told to halt, and comes back as a new process, as upstream has it: what it restarts into is for its owner to say, such as a
    /// fresh container. Takes a second or two.
    #[default]
    Never,
    /// Its work directory is emptied, and it is on offer again within milliseconds. Only where the buildlet is known to kill all that a command
    /// started (this project's is); others are told to halt all the same. What builds leave elsewhere on the machine stays.
    Cleaned,
}

/// How the pool finds out whether machines live.
#[derive(Clone, Copy, Debug)]
pub(super) struct Health {
    pub(super) interval: Duration,
    pub(super) limit: Duration,
    pub(super) clean_limit: Duration,
    pub(super) leave_limit: Duration,
    pub(super) duplicate_limit: Duration,
}

/// When machines are put in quarantine, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quarantine {
    pub(super) failures: u32,
    pub(super) first: Duration,
    pub(super) longest: Duration,
}

impl Default for ReverseConfig {
    fn default() -> Self {
        Self {
            master_key: None,
            default_policy: HostPolicy::default(),
            policies: HashMap::new(),
            min_version: 23,
            max_machines: 16_384,
            max_waiting: 65_536,
            lease_time: Duration::from_secs(2 * 60 * 60),
            claim_limit: Duration::from_secs(10),
            health: Health {
                interval: Duration::from_secs(10),
                limit: Duration::from_secs(20),
                clean_limit: Duration::from_secs(5 * 60),
                leave_limit: Duration::from_secs(5),
                duplicate_limit: Duration::from_secs(5),
            },
            quarantine: Quarantine {
                failures: 3,
                first: Duration::from_secs(60),
                longest: Duration::from_secs(60 * 60),
            },
        }
    }
}

impl ReverseConfig {
    /// With what machines prove what they are: each has the key of its host type, which this makes. None by default: then nobody may
    /// register but who was [invited](crate::ReversePool::invite).
    #[must_use]
    pub fn master_key(mut self, key: MasterKey) -> Self {
        self.master_key = Some(key);
        self
    }

    /// What holds for types of which nothing else is said. A type need not be known to register, as upstream.
    #[must_use]
    pub fn default_policy(mut self, policy: HostPolicy) -> Self {
        self.default_policy = policy;
        self
    }

    /// What holds for machines of this type.
    #[must_use]
    pub fn policy(mut self, host_type: impl Into<HostType>, policy: HostPolicy) -> Self {
        self.policies.insert(host_type.into(), policy);
        self
    }

    /// The lowest version of a buildlet that may stay; 23 by default, as upstream since 2024: the first to speak version 2 of the protocol.
    #[must_use]
    pub fn min_version(mut self, version: i64) -> Self {
        self.min_version = version;
        self
    }

    /// How many machines may be here at once; 16,384 by default. More are refused.
    #[must_use]
    pub fn max_machines(mut self, machines: usize) -> Self {
        self.max_machines = machines;
        self
    }

    /// How many requests may wait; 65,536 by default, which is some megabytes.
    #[must_use]
    pub fn max_waiting(mut self, requests: usize) -> Self {
        self.max_waiting = requests;
        self
    }

    /// How long a lease lasts that says nothing of it; two hours by default, as long as a virtual machine of upstream lives.
    #[must_use]
    pub fn lease_time(mut self, time: Duration) -> Self {
        self.lease_time = time;
        self
    }

    /// How long a machine that came back with commands waits for who claims them; ten seconds by default. It is for those who learn
    /// of the end of its last stay a moment later than of its return.
    #[must_use]
    pub fn claim_limit(mut self, limit: Duration) -> Self {
        self.claim_limit = limit;
        self
    }

    /// How often a machine is asked whether it lives; 10 seconds by default, as upstream. Up to four tenths are added at random, so that not all
    /// are asked at once. While it is leased, the client's own heartbeat counts beside this, which does not mind a machine that is busy sending.
    #[must_use]
    pub fn health_interval(mut self, pause: Duration) -> Self {
        self.health.interval = pause;
        self
    }

    /// How long an idle machine may take to answer; 20 seconds by default, as upstream since 2024.
    #[must_use]
    pub fn health_limit(mut self, limit: Duration) -> Self {
        self.health.limit = limit;
        self
    }

    /// How long emptying a work directory may take; five minutes by default.
    #[must_use]
    pub fn clean_limit(mut self, limit: Duration) -> Self {
        self.health.clean_limit = limit;
        self
    }

    /// How long a machine that was told to halt may stay connected; five seconds by default. Buildlets take one.
    #[must_use]
    pub fn leave_limit(mut self, limit: Duration) -> Self {
        self.health.leave_limit = limit;
        self
    }

    /// How long a machine may take to prove that it lives when another registers under its name; five seconds by default. It must be less
    /// than the time that the front door gives to a registration (10 s).
    #[must_use]
    pub fn duplicate_limit(mut self, limit: Duration) -> Self {
        self.health.duplicate_limit = limit;
        self
    }

    /// After how many failures in a row that no build is guilty of a machine is put in quarantine; 3 by default. One that fails on trial is back
    /// at once.
    #[must_use]
    pub fn quarantine_after(mut self, failures: u32) -> Self {
        self.quarantine.failures = failures.max(1);
        self
    }

    /// How long a machine is in quarantine the first time, and at most; a minute and an hour by default. It doubles with each trial
    /// that fails.
    #[must_use]
    pub fn quarantine_time(mut self, first: Duration, longest: Duration) -> Self {
        self.quarantine.first = first;
        self.quarantine.longest = longest.max(first);
        self
    }

    pub(super) fn policy_of(&self, host_type: &HostType) -> HostPolicy {
        let policy = self.policies.get(host_type);
        policy.copied().unwrap_or(self.default_policy)
    }
}

impl HostPolicy {
    /// How many machines of the type there should be, for the status; 0, which is nothing said, by default.
    #[must_use]
    pub fn expected(mut self, machines: usize) -> Self {
        self.expected = machines;
        self
    }

    /// What becomes of a machine after a lease that ended well.
    #[must_use]
    pub fn reuse(mut self, reuse: Reuse) -> Self {
        self.reuse = reuse;
        self
    }
}
