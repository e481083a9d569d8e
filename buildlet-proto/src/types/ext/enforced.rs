use std::fmt;

use super::Isolation;

/// Trailer of `/exec`: an [`Enforced`].
pub const ISOLATION_TRAILER: &str = "Process-Isolation";

/// Something that keeps a command from the rest of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Mechanism {
    /// A process group of its own, killed as a whole.
    ProcessGroup,
    /// Limits per process (`setrlimit`).
    Rlimits,
    /// Limits of the tree by a control group.
    Cgroup,
    /// Writes confined by Landlock.
    Landlock,
    /// No network but loopback.
    NetworkOff,
    /// A parent that adopts all descendants, so that none can leave.
    Subreaper,
    /// A session of its own, without a terminal.
    Session,
    /// No set-user-ID programs.
    NoNewPrivs,
    /// No signals to and no tracing of other processes.
    Scope,
    /// None of the superuser's power over the machine.
    Capabilities,
    /// Files that it cannot see.
    HiddenFiles,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::ProcessGroup,
        Self::Rlimits,
        Self::Cgroup,
        Self::Landlock,
        Self::NetworkOff,
        Self::Subreaper,
        Self::Session,
        Self::NoNewPrivs,
        Self::Scope,
        Self::Capabilities,
        Self::HiddenFiles,
    ];

    /// The word in the trailer.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProcessGroup => "process-group",
            Self::Rlimits => "rlimits",
            Self::Cgroup => "cgroup",
            Self::Landlock => "landlock",
            Self::NetworkOff => "network-off",
            Self::Subreaper => "subreaper",
            Self::Session => "session",
            Self::NoNewPrivs => "no-new-privs",
            Self::Scope => "scope",
            Self::Capabilities => "capabilities",
            Self::HiddenFiles => "hidden-files",
        }
    }
}

/// What a command was really kept by: the level that was reached, which may be below the one asked for, and the means.
///
/// ```
/// use buildlet_proto::types::ext::{Enforced, Isolation, Mechanism};
/// let enforced = Enforced::new(Isolation::Process, [Mechanism::ProcessGroup, Mechanism::Rlimits]);
/// assert_eq!(enforced.to_string(), "process by process-group rlimits");
/// assert_eq!(Enforced::parse("process by process-group rlimits").unwrap(), enforced);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enforced {
    level: Isolation,
    mechanisms: Vec<Mechanism>,
}

impl Enforced {
    /// This level, by these means.
    #[must_use]
    pub fn new(level: Isolation, mechanisms: impl IntoIterator<Item = Mechanism>) -> Self {
        let mut mechanisms: Vec<_> = mechanisms.into_iter().collect();
        mechanisms.sort_unstable();
        mechanisms.dedup();
        Self { level, mechanisms }
    }

    /// Reads the trailer; words of a later version are passed over.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let level = Isolation::parse(words.next()?).ok()?;
        let known = |word: &str| Mechanism::ALL.into_iter().find(|m| m.as_str() == word);
        Some(Self::new(level, words.filter_map(known)))
    }

    /// The level that was reached.
    #[must_use]
    pub fn level(&self) -> Isolation {
        self.level
    }

    /// By what, sorted.
    #[must_use]
    pub fn mechanisms(&self) -> &[Mechanism] {
        &self.mechanisms
    }

    /// Whether this is one of the means.
    #[must_use]
    pub fn by(&self, mechanism: Mechanism) -> bool {
        self.mechanisms.contains(&mechanism)
    }
}

impl fmt::Display for Enforced {
    /// The trailer's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.level.as_str())?;
        for (place, mechanism) in self.mechanisms.iter().enumerate() {
            let before = if place == 0 { " by " } else { " " };
            write!(f, "{before}{}", mechanism.as_str())?;
        }
        Ok(())
    }
}
