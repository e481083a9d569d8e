use std::fmt;

/// A signal, by its number on Linux.
///
/// On the wire signals have Go's names, such as `segmentation fault`, which are the same on all Unix systems while some
/// numbers are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signal(i32);

impl Signal {
    /// Number 9, `killed`.
    pub const KILL: Self = Self(9);
    /// Number 15, `terminated`.
    pub const TERMINATE: Self = Self(15);

    /// The signal of this number.
    #[must_use]
    pub const fn from_number(number: i32) -> Self {
        Self(number)
    }

    /// Its number on Linux.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }

    /// The signal that Go calls `name`, on Linux; `None` for a name that is not used there.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if let Some(place) = NAMES.iter().position(|known| *known == name) {
            return i32::try_from(place + 1).ok().map(Self);
        }
        let number = name.strip_prefix("signal ")?;
        let signal = Self(number.parse().ok()?);
        (signal.to_string() == name).then_some(signal)
    }
}

impl fmt::Display for Signal {
    /// Go's name, such as `killed`; `signal 34` for those without one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = usize::try_from(self.0).ok().and_then(|n| n.checked_sub(1));
        match place.and_then(|place| NAMES.get(place)) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// Signals 1 to 31.
const NAMES: [&str; 31] = [
    "hangup",
    "interrupt",
    "quit",
    "illegal instruction",
    "trace/breakpoint trap",
    "aborted",
    "bus error",
    "floating point exception",
    "killed",
    "user defined signal 1",
    "segmentation fault",
    "user defined signal 2",
    "broken pipe",
    "alarm clock",
    "terminated",
    "stack fault",
    "child exited",
    "continued",
    "stopped (signal)",
    "stopped",
    "stopped (tty input)",
    "stopped (tty output)",
    "urgent I/O condition",
    "CPU time limit exceeded",
    "file size limit exceeded",
    "virtual timer expired",
    "profiling timer expired",
    "window changed",
    "I/O possible",
    "power failure",
    "bad system call",
];
