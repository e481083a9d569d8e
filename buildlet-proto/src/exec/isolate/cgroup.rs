//! Control groups, version 2, by their files: kernel documentation, `admin-guide/cgroup-v2`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::exec::{Enforcement, Limits};
use crate::types::ext::Mechanism;

/// A control group for one command.
#[derive(Debug)]
pub(super) struct Cgroup {
    dir: PathBuf,
    /// The group that this process belongs to else.
    home: PathBuf,
    /// This process is in it for good, so it must not be killed.
    captive: bool,
}

/// What a group counted; what it does not count is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::exec) struct Counts {
    pub(in crate::exec) user: Option<Duration>,
    pub(in crate::exec) system: Option<Duration>,
    pub(in crate::exec) peak_memory_bytes: Option<u64>,
    pub(in crate::exec) out_of_memory: bool,
}

/// A limit: its name for people, the controller, its file and what is written there.
struct Limit {
    name: &'static str,
    controller: &'static str,
    file: &'static str,
    value: Option<String>,
}

impl Cgroup {
    /// Makes a group in `parent`, or in the one that this process is in.
    ///
    /// That a group cannot be made is only missing if a limit was asked for that needs it.
    pub(super) fn create(
        parent: Option<&Path>,
        limits: &Limits,
        enforcement: &mut Enforcement,
    ) -> Option<Self> {
        let limits = wanted(limits);
        let made = own_group().and_then(|home| {
            let parent = parent.unwrap_or(&home);
            let dir = parent.join(format!("buildlet-exec-{}", std::process::id()));
            fs::create_dir(&dir)
                .map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
            Ok(Self {
                dir,
                home,
                captive: false,
            })
        });
        let group = match made {
            Ok(group) => group,
            Err(reason) => {
                if limits.iter().any(|limit| limit.value.is_some()) {
                    enforcement.miss(Mechanism::Cgroup, reason);
                }
                return None;
            }
        };
        let mut set = vec!["kill".to_owned()];
        for limit in limits {
            match group.limit(&limit) {
                Ok(None) => {}
                Ok(Some(word)) => set.push(word),
                Err(reason) => enforcement.miss(Mechanism::Cgroup, reason),
            }
        }
        enforcement.add(Mechanism::Cgroup, set.join(" "));
        Some(group)
    }

    /// Sets a limit, if it is asked for.
    fn limit(&self, limit: &Limit) -> Result<Option<String>, String> {
        let Some(value) = &limit.value else {
            return Ok(None);
        };
        let Limit {
            name,
            controller,
            file,
            ..
        } = limit;
        if !self.dir.join(file).exists() {
            self.enable(controller)
                .map_err(|error| format!("{name}: controller {controller}: {error}"))?;
        }
        self.write(file, value)
            .map_err(|error| format!("{name}: {file}: {error}"))?;
        if *controller == "memory" {
            // Without swap, and all or nothing. Either is missing where the kernel was built without it.
            let _ = self.write("memory.swap.max", "0");
            let _ = self.write("memory.oom.group", "1");
        }
        Ok(Some(format!("{name}={value}")))
    }

    /// Lets groups within the parent have a controller.
    fn enable(&self, controller: &str) -> io::Result<()> {
        let parent = self.dir.parent().unwrap_or(&self.dir);
        let available = fs::read_to_string(parent.join("cgroup.controllers"))?;
        if !available.split_whitespace().any(|name| name == controller) {
            return Err(io::Error::other(format!("not in {}", parent.display())));
        }
        // Fails with "busy" in a group that has processes of its own.
        fs::write(
            parent.join("cgroup.subtree_control"),
            format!("+{controller}"),
        )
    }

    fn write(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.dir.join(file), value)
    }

    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.dir.join(file)).ok()
    }

    /// Moves this process into the group: what it starts from now on is born there.
    pub(super) fn join(&self) -> io::Result<()> {
        self.write("cgroup.procs", "0")
    }

    /// Moves this process back.
    pub(super) fn leave(&mut self) {
        self.captive = fs::write(self.home.join("cgroup.procs"), "0").is_err();
    }

    /// Kills all processes in it, also those that are being started.
    pub(super) fn kill(&self) {
        if !self.captive {
            // Linux 5.14; before that, processes are killed one by one.
            let _ = self.write("cgroup.kill", "1");
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let cpu = self.read("cpu.stat").unwrap_or_default();
        let events = self.read("memory.events").unwrap_or_default();
        let time = |key| number(&cpu, key).map(Duration::from_micros);
        Counts {
            user: time("user_usec"),
            system: time("system_usec"),
            peak_memory_bytes: self
                .read("memory.peak")
                .and_then(|text| text.trim().parse().ok()),
            out_of_memory: number(&events, "oom_kill").is_some_and(|count| count > 0),
        }
    }
}

/// How long the removal of a group may take: processes that are dead and reaped leave it only when the kernel is done with them.
const REMOVAL_LIMIT: Duration = Duration::from_secs(2);

impl Drop for Cgroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + REMOVAL_LIMIT;
        while !self.captive && fs::remove_dir(&self.dir).is_err() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn wanted(limits: &Limits) -> [Limit; 3] {
    const PERIOD_MICROS: u64 = 100_000;
    let cpu = |percent: u64| {
        format!(
            "{} {PERIOD_MICROS}",
            percent.saturating_mul(PERIOD_MICROS / 100)
        )
    };
    [
        Limit {
            name: "memory",
            controller: "memory",
            file: "memory.max",
            value: limits.memory_bytes.map(|bytes| bytes.to_string()),
        },
        Limit {
            name: "tasks",
            controller: "pids",
            file: "pids.max",
            value: limits.tasks.map(|count| count.to_string()),
        },
        Limit {
            name: "cpu",
            controller: "cpu",
            file: "cpu.max",
            value: limits.cpu_percent.map(cpu),
        },
    ]
}

/// The value in a file of lines such as `user_usec 1234`.
fn number(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}

/// The directory of the group that this process is in.
fn own_group() -> Result<PathBuf, String> {
    let read = |file| fs::read_to_string(file).map_err(|error| format!("{file}: {error}"));
    group_dir(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?)
        .ok_or_else(|| "no cgroup2 file system is mounted".to_owned())
}

/// From the content of `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn group_dir(groups: &str, mounts: &str) -> Option<PathBuf> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        if !kind.starts_with("cgroup2 ") {
            return None;
        }
        let mut fields = fields.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        // Of a group outside of what is mounted there is no directory.
        let below = Path::new(group).strip_prefix(root).ok()?;
        Some(Path::new(place).join(below))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n\
        31 25 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_own_group_is_found_below_its_mount() {
        let groups = "9:name=systemd:/\n0::/system.slice/buildlet.service\n";
        let dir = group_dir(groups, MOUNTS).unwrap();
        assert_eq!(
            dir,
            Path::new("/sys/fs/cgroup/system.slice/buildlet.service")
        );
        assert_eq!(
            group_dir("0::/\n", MOUNTS).unwrap(),
            Path::new("/sys/fs/cgroup")
        );
    }

    #[test]
    fn a_part_of_the_tree_may_be_mounted() {
        let mounts = MOUNTS.replace("0:26 / /sys", "0:26 /pod/a /sys");
        let dir = group_dir("0::/pod/a/b\n", &mounts).unwrap();
        assert_eq!(dir, Path::new("/sys/fs/cgroup/b"));
        assert_eq!(group_dir("0::/pod/other\n", &mounts), None);
    }

    #[test]
    fn without_version_2_there_is_no_group() {
        assert_eq!(group_dir("4:memory:/x\n", MOUNTS), None);
        assert_eq!(
            group_dir("0::/\n", "25 30 0:23 / /sys rw - sysfs sysfs rw\n"),
            None
        );
    }

    #[test]
    fn numbers_are_found_by_their_whole_key() {
        let text = "oom 3\noom_kill 1\noom_kill_group 2\n";
        assert_eq!(number(text, "oom_kill"), Some(1));
        assert_eq!(number(text, "oom"), Some(3));
        assert_eq!(number(text, "low"), None);
    }
}
