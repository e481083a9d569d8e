//! A process that is measured.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// A process that is told to end when this is dropped, with what it prints on standard error or output.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
}

/// How long a process has to end once it was asked to.
const END: Duration = Duration::from_secs(20);

impl Process {
    /// Starts it, and reads what it says on standard error.
    pub(crate) fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let stderr = child.stderr.take().context("it has no standard error")?;
        let (sender, lines) = channel();
        // It ends with the process. What nobody waits for any more is still read, that the process is not stopped by it.
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Ok(Self { child, lines })
    }

    /// Waits for a line with this text.
    pub(crate) fn until(&self, text: &str, limit: Duration) -> anyhow::Result<String> {
        let end = Instant::now() + limit;
        let mut seen = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                bail!("it does not say {text:?}, but: {}", seen.join("\n"));
            };
            if line.contains(text) {
                return Ok(line);
            }
            seen.push(line);
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        // Not an interrupt, which a program that was started in the background may have been told to ignore.
        self.signal("-TERM")?;
        let end = Instant::now() + END;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > end {
                bail!("it does not end");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn signal(&self, signal: &str) -> io::Result<()> {
        let pid = self.pid().to_string();
        Command::new("kill").args([signal, &pid]).status().map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Memory of a process that is resident now, in bytes.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    status_line(pid, "VmRSS:")
}

/// The most that ever was, or since [`forget_peak`].
pub(crate) fn peak(pid: u32) -> anyhow::Result<u64> {
    status_line(pid, "VmHWM:")
}

/// Begins to look for the most anew.
pub(crate) fn forget_peak(pid: u32) -> anyhow::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("cannot reset the peak of memory")
}

/// Memory of a process that no other has and no file, in bytes: without pages of mapped files, which the system can drop.
pub(crate) fn private(pid: u32) -> anyhow::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .context("the system does not tell a process's private memory")?;
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Private_Dirty:"));
    kib(line)
}

fn status_line(pid: u32, name: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("there is no process {pid}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    kib(line)
}

fn kib(text: Option<&str>) -> anyhow::Result<u64> {
    let kib = text.and_then(|text| text.trim().strip_suffix(" kB"));
    let kib: u64 = kib
        .context("the system does not tell a process's memory")?
        .parse()?;
    Ok(kib << 10)
}

/// Time of all CPUs that a process has used.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').context("a process without a name")?.1;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || -> anyhow::Result<u64> {
        Ok(fields
            .next()
            .context("a process without times")?
            .parse::<u64>()?)
    };
    Ok(Duration::from_millis(10 * (ticks()? + ticks()?)))
}

/// The processes that a process has started.
pub(super) fn children(pid: u32) -> anyhow::Result<Vec<u32>> {
    let mut children = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let listed = fs::read_to_string(task?.path().join("children"))?;
        children.extend(
            listed
                .split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
    }
    Ok(children)
}
