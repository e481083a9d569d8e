use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// A process, told apart from another that has the same number later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProcessIdentity {
    pid: u32,
    /// Since the system's start, in its ticks.
    started: u64,
    /// Which start of the system that was.
    boot: String,
}

/// How often a process that is to end is looked at.
const POLL: Duration = Duration::from_millis(10);

impl ProcessIdentity {
    /// The process of this number, if the system tells. `None` where there is no `/proc`, and for a process that has ended.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // "pid (name) state ppid ...", where the name may have any characters. The time of the start is field 22.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let state = fields.next()?;
        if matches!(state, "Z" | "X") {
            return None;
        }
        let started = fields.nth(18)?.parse().ok()?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(Self {
            pid,
            started,
            boot: boot.trim().to_owned(),
        })
    }

    /// Reads what [`write`](Self::write) wrote; `None` if that was not written to its end.
    pub(super) fn read(file: &Path) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let mut words = text.strip_suffix('\n')?.split(' ');
        let pid = words.next()?.parse().ok()?;
        let started = words.next()?.parse().ok()?;
        let boot = words.next()?.to_owned();
        Some(Self { pid, started, boot })
    }

    pub(super) fn write(&self, file: &Path) -> io::Result<()> {
        let Self { pid, started, boot } = self;
        fs::write(file, format!("{pid} {started} {boot}\n"))
    }

    pub(super) fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Ends the process and its group: asks, and after `limit` kills. Blocks until it is gone, or cannot be killed for five seconds.
    pub(super) fn end(&self, limit: Duration) {
        for (signal, limit) in [(Signal::Terminate, limit), (Signal::Kill, KILL_LIMIT)] {
            if !self.is_alive() {
                return;
            }
            signal_group(self.pid, signal);
            let deadline = Instant::now() + limit;
            while self.is_alive() && Instant::now() < deadline {
                std::thread::sleep(POLL);
            }
        }
    }
}

/// A process that was killed is gone at once, unless its disk hangs.
const KILL_LIMIT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    Terminate,
    Kill,
}

/// Signals a process and all of its group, of which it is the leader. One that is gone needs none.
#[cfg(unix)]
pub(super) fn signal_group(pid: u32, signal: Signal) {
    let signal = match signal {
        Signal::Terminate => rustix::process::Signal::TERM,
        Signal::Kill => rustix::process::Signal::KILL,
    };
    let pid = i32::try_from(pid).ok();
    if let Some(group) = pid.and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

/// Elsewhere a process is only killed, by its handle.
#[cfg(not(unix))]
pub(super) fn signal_group(_: u32, _: Signal) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_again_and_another_of_its_number_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let this = ProcessIdentity::of(std::process::id()).unwrap();
        this.write(&file).unwrap();
        assert_eq!(ProcessIdentity::read(&file), Some(this.clone()));
        assert!(this.is_alive());
        let other = ProcessIdentity {
            started: this.started + 1,
            ..this.clone()
        };
        assert!(!other.is_alive());
        let before = ProcessIdentity {
            boot: "another".to_owned(),
            ..this
        };
        assert!(!before.is_alive());
    }

    #[test]
    fn half_a_file_names_no_process() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        for text in ["", "1", "1 2", "1 2 boot", "x 2 boot\n"] {
            fs::write(&file, text).unwrap();
            assert_eq!(ProcessIdentity::read(&file), None, "{text:?}");
        }
    }

    #[test]
    fn a_process_that_ignores_the_request_is_killed() {
        use std::io::Read as _;
        use std::os::unix::process::CommandExt as _;
        use std::process::{Command, Stdio};
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; echo; while :; do sleep 1; done"])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        // It ignores the signal from here on.
        let mut byte = [0];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut byte)
            .unwrap();
        let process = ProcessIdentity::of(child.id()).unwrap();
        process.end(Duration::from_millis(50));
        assert!(!process.is_alive());
        child.wait().unwrap();
    }
}
