//! A Go program that is told what to do on its standard input, and says what happens on its standard output.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use harness::Program;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// No step of a test takes long; what takes this long hangs.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

pub(super) struct Process {
    name: String,
    child: Child,
    commands: ChildStdin,
    events: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(super) fn start(program: &Program, args: &[&str]) -> Self {
        let mut child = Command::from(program.command())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            name: program.name().to_owned(),
            commands: child.stdin.take().unwrap(),
            events: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        }
    }

    /// The next thing that happens, which must be this.
    pub(super) async fn expect(&mut self, event: &str) -> Value {
        let next = timeout(LIMIT, self.events.next_line()).await;
        let next = next.unwrap_or_else(|_| panic!("{} does not come to \"{event}\"", self.name));
        let line = next
            .unwrap()
            .unwrap_or_else(|| panic!("{} ended before \"{event}\"", self.name));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["event"], event, "{line}");
        value
    }

    pub(super) async fn tell(&mut self, command: &str) {
        self.commands
            .write_all(format!("{command}\n").as_bytes())
            .await
            .unwrap();
    }

    /// Has a command done, and says why it failed.
    pub(super) async fn run(&mut self, command: &str) -> Result<(), String> {
        self.tell(command).await;
        let name = command.split_whitespace().next().unwrap();
        let done = self.expect(name).await;
        if done["ok"] == true {
            Ok(())
        } else {
            Err(done["error"].as_str().unwrap().to_owned())
        }
    }

    /// Ends it as the system does that has no memory left.
    pub(super) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until it has ended by itself.
    pub(super) async fn ended(mut self) -> ExitStatus {
        timeout(LIMIT, self.child.wait())
            .await
            .expect("it ends")
            .unwrap()
    }
}
