use std::fmt;

use crate::types::ext::{Enforced, Isolation, Mechanism};

/// What really keeps a command from the rest of the machine, and what was asked for in vain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enforcement {
    pub(super) asked: Isolation,
    pub(super) measures: Vec<Measure>,
    pub(super) missing: Vec<Missing>,
}

/// Something that is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Measure {
    /// By what.
    pub mechanism: Mechanism,
    /// With which values, for people: `core=0 nofile=4096`.
    pub detail: String,
}

/// Something that was asked for and is not enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Missing {
    /// What would have enforced it.
    pub mechanism: Mechanism,
    /// Why it does not, for people.
    pub reason: String,
}

impl Enforcement {
    pub(super) fn new(asked: Isolation) -> Self {
        Self {
            asked,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, mechanism: Mechanism, detail: impl Into<String>) {
        let detail = detail.into();
        self.measures.push(Measure { mechanism, detail });
    }

    pub(super) fn miss(&mut self, mechanism: Mechanism, reason: impl Into<String>) {
        let reason = reason.into();
        self.missing.push(Missing { mechanism, reason });
    }

    #[cfg(target_os = "linux")]
    pub(super) fn measures_as_texts(&self) -> Vec<(Mechanism, &str)> {
        let measures = self.measures.iter();
        measures.map(|m| (m.mechanism, m.detail.as_str())).collect()
    }

    #[cfg(target_os = "linux")]
    pub(super) fn missing_as_texts(&self) -> Vec<(Mechanism, &str)> {
        let missing = self.missing.iter();
        missing.map(|m| (m.mechanism, m.reason.as_str())).collect()
    }

    /// The level that was asked for.
    #[must_use]
    pub fn asked(&self) -> Isolation {
        self.asked
    }

    /// What is enforced.
    #[must_use]
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// What was asked for and is not enforced.
    #[must_use]
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Whether everything that was asked for is enforced.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// Whether this is among what is enforced.
    #[must_use]
    pub fn by(&self, mechanism: Mechanism) -> bool {
        self.measures
            .iter()
            .any(|measure| measure.mechanism == mechanism)
    }

    /// The report for the trailer. The level in it is the one asked for if nothing that makes it up is missing, else the one below
    /// that was reached.
    #[must_use]
    pub fn to_wire(&self) -> Enforced {
        let mechanisms = self.measures.iter().map(|measure| measure.mechanism);
        Enforced::new(self.reached(), mechanisms)
    }

    fn reached(&self) -> Isolation {
        let missing = |mechanism| self.missing.iter().any(|m| m.mechanism == mechanism);
        let sandboxed = self.by(Mechanism::Landlock) && !missing(Mechanism::Landlock);
        let limited = self.by(Mechanism::Rlimits) && !missing(Mechanism::Rlimits);
        match self.asked {
            Isolation::Sandbox if sandboxed && limited => Isolation::Sandbox,
            Isolation::Sandbox | Isolation::Process if limited => Isolation::Process,
            _ => Isolation::None,
        }
    }
}

impl fmt::Display for Enforcement {
    /// For logs: `process group (…); rlimits (core=0); no cgroup: …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measures = self
            .measures
            .iter()
            .map(|Measure { mechanism, detail }| format!("{} ({detail})", mechanism.as_str()));
        let missing = self
            .missing
            .iter()
            .map(|Missing { mechanism, reason }| format!("no {}: {reason}", mechanism.as_str()));
        let words: Vec<_> = measures.chain(missing).collect();
        f.write_str(&words.join("; "))
    }
}
