use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::config::Quarantine;
use crate::text::cut;
use crate::{AbsentMachine, HostType};

/// How many machines are remembered, those that are here included. Who has a key can register under any number of names.
const MAX_RECORDS: usize = 20_000;
/// How many of those that went are told of in a status.
const MAX_ABSENT: usize = 1_000;
/// Of a failure's reason so much is kept.
const MAX_REASON: usize = 500;

/// Who a machine is over all its stays.
pub(super) type Identity = (HostType, Arc<str>);

/// What is remembered of machines while they come and go.
#[derive(Debug, Default)]
pub(super) struct Records {
    records: HashMap<Identity, Record>,
}

/// What is remembered of a machine.
#[derive(Debug)]
pub(super) struct Record {
    /// Failures in a row.
    pub(super) failures: u32,
    pub(super) last_failure: String,
    /// In quarantine until then. It stays after that time, until a trial has shown something.
    pub(super) until: Option<Instant>,
    /// How often in a row it was put there.
    times: u32,
    /// An operator took it out of service: it stays so when it comes back.
    drained: bool,
    /// How many of its stays go on.
    present: usize,
    seen: Instant,
    left: String,
}

impl Records {
    /// A machine comes.
    pub(super) fn join(&mut self, now: Instant, identity: &Identity) {
        if !self.records.contains_key(identity) && self.records.len() >= MAX_RECORDS {
            self.forget_one();
        }
        let record = self
            .records
            .entry(identity.clone())
            .or_insert_with(|| Record::new(now));
        record.present += 1;
        record.seen = now;
    }

    /// A machine goes.
    pub(super) fn leave(&mut self, now: Instant, identity: &Identity, reason: String) {
        if let Some(record) = self.records.get_mut(identity) {
            record.present = record.present.saturating_sub(1);
            record.seen = now;
            record.left = cut(reason, MAX_REASON);
        }
    }

    pub(super) fn get(&self, identity: &Identity) -> Option<&Record> {
        self.records.get(identity)
    }

    /// A lease of it ended well.
    pub(super) fn did_well(&mut self, identity: &Identity) {
        if let Some(record) = self.records.get_mut(identity) {
            record.failures = 0;
            record.last_failure.clear();
            record.until = None;
            record.times = 0;
        }
    }

    /// A lease of it ended in a way that no build is guilty of. Whether it is in quarantine now.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        identity: &Identity,
        reason: String,
        rules: &Quarantine,
    ) -> bool {
        let Some(record) = self.records.get_mut(identity) else {
            return false;
        };
        record.failures = record.failures.saturating_add(1);
        record.last_failure = cut(reason, MAX_REASON);
        let on_trial = record.times > 0;
        if !on_trial && record.failures < rules.failures {
            return false;
        }
        record.until = Some(now + record.sentence(rules));
        record.times = record.times.saturating_add(1);
        true
    }

    /// Puts a machine in quarantine, or lets it out, because somebody says so.
    pub(super) fn set_quarantine(
        &mut self,
        identity: &Identity,
        until: Option<Instant>,
        reason: String,
    ) {
        if until.is_none() {
            return self.did_well(identity);
        }
        if let Some(record) = self.records.get_mut(identity) {
            record.until = until;
            record.times = record.times.max(1);
            record.last_failure = cut(reason, MAX_REASON);
        }
    }

    /// Takes a machine out of service, or back into it.
    pub(super) fn set_drained(&mut self, identity: &Identity, drained: bool) {
        if let Some(record) = self.records.get_mut(identity) {
            record.drained = drained;
        }
    }

    /// Those that went, the last seen first.
    pub(super) fn absent(&self, now: Instant) -> Vec<AbsentMachine> {
        let absent = self.records.iter().filter(|(_, one)| one.present == 0);
        let mut absent: Vec<_> = absent
            .map(|((host_type, host_name), record)| AbsentMachine {
                host_type: host_type.clone(),
                host_name: host_name.clone(),
                seen_before: now.saturating_duration_since(record.seen),
                reason: record.left.clone(),
            })
            .collect();
        absent.sort_by(|a, b| {
            let by_name = || (&a.host_type, &a.host_name).cmp(&(&b.host_type, &b.host_name));
            a.seen_before.cmp(&b.seen_before).then_with(by_name)
        });
        absent.truncate(MAX_ABSENT);
        absent
    }

    /// Forgets the machine that was not seen for longest, of those that are not here; rather one that did well than one in quarantine.
    fn forget_one(&mut self) {
        let absent = self.records.iter().filter(|(_, one)| one.present == 0);
        let oldest = absent.min_by_key(|(_, one)| (one.until.is_some() || one.drained, one.seen));
        if let Some(identity) = oldest.map(|(identity, _)| identity.clone()) {
            self.records.remove(&identity);
        }
    }
}

impl Record {
    fn new(now: Instant) -> Self {
        Self {
            failures: 0,
            last_failure: String::new(),
            until: None,
            times: 0,
            drained: false,
            present: 0,
            seen: now,
            left: String::new(),
        }
    }

    /// Whether an operator took it out of service.
    pub(super) fn drained(&self) -> bool {
        self.drained
    }

    /// Until when it is to be given to nobody, if that is later than `now`.
    pub(super) fn quarantined(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    /// Whether its next lease is to show if it works again.
    pub(super) fn on_trial(&self) -> bool {
        self.times > 0
    }

    fn sentence(&self, rules: &Quarantine) -> Duration {
        let factor = 1_u32.checked_shl(self.times).unwrap_or(u32::MAX);
        rules.first.saturating_mul(factor).min(rules.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Quarantine = Quarantine {
        failures: 2,
        first: Duration::from_secs(60),
        longest: Duration::from_secs(200),
    };

    fn identity(name: &str) -> Identity {
        ("host-x".into(), name.into())
    }

    #[test]
    fn quarantine_doubles_with_each_failed_trial_up_to_the_longest() {
        let (mut records, now, a) = (Records::default(), Instant::now(), identity("a"));
        records.join(now, &a);
        let fail = |records: &mut Records| records.failed(now, &a, "no disk".into(), &RULES);
        assert!(!fail(&mut records), "once is no habit");
        for seconds in [60, 120, 200, 200] {
            assert!(fail(&mut records));
            let until = records.get(&a).unwrap().quarantined(now).unwrap();
            assert_eq!(until - now, Duration::from_secs(seconds));
        }
        records.did_well(&a);
        assert!(!records.get(&a).unwrap().on_trial());
        assert!(!fail(&mut records));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_machines_that_are_here_stay() {
        let (mut records, now) = (Records::default(), Instant::now());
        records.join(now, &identity("here"));
        for n in 0..MAX_RECORDS as u64 + 10 {
            let (one, at) = (identity(&n.to_string()), now + Duration::from_secs(n + 1));
            records.join(at, &one);
            if n == 0 {
                records.set_quarantine(&one, Some(at), "broken".into());
            }
            records.leave(at, &one, "bye".into());
        }
        assert_eq!(records.records.len(), MAX_RECORDS);
        assert!(records.get(&identity("here")).is_some());
        assert!(
            records.get(&identity("0")).is_some(),
            "one in quarantine does not get out of it so"
        );
        assert!(records.get(&identity("1")).is_none());
        let absent = records.absent(now + Duration::from_secs(50_000));
        assert_eq!(absent.len(), MAX_ABSENT);
        assert_eq!(&*absent[0].host_name, (MAX_RECORDS + 9).to_string());
    }
}
