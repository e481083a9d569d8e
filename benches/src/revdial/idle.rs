//! How much memory registered workers take that have nothing to do.
//!
//! The coordinator is a process of its own, and so are the workers, all in one: what a process holds in memory then tells
//! what its side of a registration takes. The coordinator is ours or Go's.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use revdial::DialerConfig;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::link::Configs;
use super::reverse::{believing, coordinate, register};
use super::{goal, runtime};
use crate::table::{Align, markdown};

/// Workers that register at the same time: more would only wait for the CPUs, and time out at worst.
const AT_ONCE: usize = 16;
/// Until what registering took for a moment has been let go of.
const SETTLE: Duration = Duration::from_secs(3);

/// Measures both sides with so many workers, with our coordinator and with Go's.
pub(super) fn report(registered: u32) -> anyhow::Result<String> {
    let go = harness::peer("gorevdialer")?;
    let us = std::env::current_exe().context("cannot find this program")?;
    let ours = {
        let mut command = Command::new(&us);
        command.arg("revdial-coordinator");
        command
    };
    let mut rows = Vec::new();
    for (name, command) in [("ours", ours), ("Go's", go.command())] {
        let mut coordinator = Process::start(command)?;
        let addr = coordinator.expect("listening")?["addr"]
            .as_str()
            .context("it has no address")?
            .to_owned();
        let mut command = Command::new(&us);
        command.args([
            "revdial-workers",
            "--addr",
            &addr,
            "--count",
            &registered.to_string(),
        ]);
        let mut workers = Process::start(command)?;
        workers.expect("started")?;
        let before = [coordinator.resident()?, workers.resident()?];
        for _ in 0..registered {
            coordinator.expect("registered")?;
        }
        workers.expect("ready")?;
        thread::sleep(SETTLE);
        let after = [coordinator.resident()?, workers.resident()?];
        let [theirs, workers] = [0, 1]
            .map(|at| after[at].saturating_sub(before[at]) as f64 / 1024.0 / f64::from(registered));
        let goal = if name == "ours" {
            goal("under 40 KiB", theirs < 40.0)
        } else {
            String::new()
        };
        rows.push(vec![
            name.to_owned(),
            format!("{registered}"),
            format!("{theirs:.1}"),
            format!("{workers:.1}"),
            goal,
        ]);
    }
    let columns = [
        ("coordinator", Align::Left),
        ("registered", Align::Right),
        ("there, KiB each", Align::Right),
        ("our workers, KiB each", Align::Right),
        ("goal", Align::Left),
    ];
    let mut text = String::new();
    writeln!(text, "{}", markdown(&columns, &rows))?;
    Ok(text)
}

/// A coordinator that keeps the workers which register, until its standard input ends.
///
/// # Errors
///
/// When it cannot listen.
pub fn coordinator() -> anyhow::Result<()> {
    // Each worker has a descriptor at either end.
    program::raise_file_limit();
    runtime(2)?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        say(&json!({"event": "listening", "addr": listener.local_addr()?.to_string()}))?;
        let acceptor = Configs::new(false)?.acceptor()?;
        let (send, mut dialers) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            coordinate(listener, acceptor, DialerConfig::default(), send).await;
        });
        let mut kept = Vec::new();
        let end = tokio::task::spawn_blocking(wait_for_end);
        tokio::pin!(end);
        loop {
            tokio::select! {
                Some(dialer) = dialers.recv() => {
                    kept.push(dialer);
                    say(&json!({"event": "registered"}))?;
                }
                ended = &mut end => return Ok(ended??),
            }
        }
    })
}

/// So many workers that register there and then do nothing, until standard input ends.
///
/// # Errors
///
/// When one cannot register.
pub fn workers(addr: &str, count: u32) -> anyhow::Result<()> {
    program::raise_file_limit();
    runtime(2)?.block_on(async {
        let tls = believing()?;
        say(&json!({"event": "started"}))?;
        let mut registering = JoinSet::new();
        let mut registered = Vec::new();
        for _ in 0..count {
            if registering.len() == AT_ONCE {
                let done = registering.join_next().await.context("there are some")?;
                registered.push(done??);
            }
            let (addr, tls) = (addr.to_owned(), tls.clone());
            registering.spawn(async move { register(&addr, tls).await });
        }
        while let Some(done) = registering.join_next().await {
            registered.push(done??);
        }
        say(&json!({"event": "ready"}))?;
        tokio::task::spawn_blocking(wait_for_end).await??;
        drop(registered);
        Ok(())
    })
}

fn say(event: &serde_json::Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{event}")
}

fn wait_for_end() -> io::Result<()> {
    io::copy(&mut io::stdin().lock(), &mut io::sink()).map(drop)
}

/// A process that says where it listens, and tells what happens in lines of JSON.
struct Process {
    child: Child,
    events: BufReader<ChildStdout>,
    /// It ends when this is closed.
    _commands: ChildStdin,
}

impl Process {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self {
            events: BufReader::new(child.stdout.take().context("it has no output")?),
            _commands: child.stdin.take().context("it has no input")?,
            child,
        })
    }

    /// The next event, which must be this.
    fn expect(&mut self, event: &str) -> anyhow::Result<serde_json::Value> {
        let mut line = String::new();
        self.events.read_line(&mut line)?;
        let value: serde_json::Value =
            serde_json::from_str(&line).with_context(|| format!("not an event: {line:?}"))?;
        ensure!(value["event"] == event, "{line:?} in place of \"{event}\"");
        Ok(value)
    }

    /// Bytes that are resident.
    fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kib.context("the system does not say how much is resident")? << 10)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
