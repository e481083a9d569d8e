//! How long works took.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::ids::BuilderName;

/// The latest durations of each builder, and of all.
#[derive(Debug)]
pub(crate) struct History {
    builders: HashMap<BuilderName, Recent>,
    /// Builders by when they last got a duration; the first is forgotten first.
    by_use: BTreeMap<u64, BuilderName>,
    all: Ring,
    clock: u64,
    limit: usize,
}

#[derive(Debug)]
struct Recent {
    ring: Ring,
    used: u64,
}

/// The last [`KEPT`](Ring::KEPT) durations.
#[derive(Debug, Default)]
struct Ring {
    durations: Vec<Duration>,
    next: usize,
}

impl History {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            builders: HashMap::new(),
            by_use: BTreeMap::new(),
            all: Ring::default(),
            clock: 0,
            limit,
        }
    }

    pub(crate) fn add(&mut self, builder: &BuilderName, took: Duration) {
        self.all.push(took);
        if self.limit == 0 {
            return;
        }
        self.clock += 1;
        let recent = self.builders.entry(builder.clone()).or_insert(Recent {
            ring: Ring::default(),
            used: 0,
        });
        recent.ring.push(took);
        self.by_use.remove(&recent.used);
        recent.used = self.clock;
        self.by_use.insert(self.clock, builder.clone());
        if self.builders.len() > self.limit
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.builders.remove(&oldest);
        }
    }

    /// The median of the builder's durations, or of all there are; `None` before anything has ended.
    pub(crate) fn typical(&self, builder: &BuilderName) -> Option<Duration> {
        let own = self.builders.get(builder).map(|recent| &recent.ring);
        own.unwrap_or(&self.all).median()
    }
}

impl Ring {
    /// Enough for a median that a few odd builds do not move, and few enough to follow a change within a day.
    const KEPT: usize = 32;

    fn push(&mut self, took: Duration) {
        if self.durations.len() < Self::KEPT {
            self.durations.push(took);
        } else {
            self.durations[self.next] = took;
            self.next = (self.next + 1) % Self::KEPT;
        }
    }

    fn median(&self) -> Option<Duration> {
        let mut sorted = self.durations.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_median_is_of_the_latest_durations() {
        let mut history = History::new(10);
        let builder = BuilderName::from("linux-amd64");
        assert_eq!(history.typical(&builder), None);
        for n in 1..=3 {
            history.add(&builder, secs(n));
        }
        assert_eq!(history.typical(&builder), Some(secs(2)));
        for _ in 0..Ring::KEPT {
            history.add(&builder, secs(9));
        }
        assert_eq!(history.typical(&builder), Some(secs(9)));
    }

    #[test]
    fn an_unknown_builder_takes_as_long_as_others_do() {
        let mut history = History::new(10);
        history.add(&"a".into(), secs(5));
        assert_eq!(history.typical(&"b".into()), Some(secs(5)));
    }

    #[test]
    fn the_builder_that_had_none_for_longest_is_forgotten() {
        let mut history = History::new(2);
        for (name, took) in [("a", 1), ("b", 2), ("a", 1), ("c", 3)] {
            history.add(&name.into(), secs(took));
        }
        assert_eq!(history.builders.len(), 2);
        assert_eq!(history.by_use.len(), 2);
        assert!(!history.builders.contains_key(&"b".into()));
    }
}
