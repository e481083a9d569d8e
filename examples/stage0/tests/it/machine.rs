//! A machine that starts: a directory, and the program in it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::server::LIMIT;

pub(crate) struct Machine(TempDir);

/// A buildlet: a shell script that says who it is.
pub(crate) fn buildlet(name: &str) -> Vec<u8> {
    format!("#!/bin/sh\necho {name} \"$@\"\n").into_bytes()
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The names of all files, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The program, with nothing of this process's environment that it looks at, and without pauses worth mentioning.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stage0"));
        command
            .current_dir(self.0.path())
            .args(["--pause", "10ms", "--network-wait", "5s"])
            .args(args);
        for name in [
            "META_BUILDLET_BINARY_URL",
            "STAGE0_BUCKET",
            "STAGE0_METADATA",
            "STAGE0_SHA256",
            "STAGE0_HOSTS",
            "STAGE0_PROBE_URL",
            "GO_BUILDER_ENV",
            "RUST_LOG",
        ] {
            command.env_remove(name);
        }
        for name in [
            "http_proxy",
            "HTTP_PROXY",
            "https_proxy",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
        ] {
            command.env_remove(name);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let child = self.command(args).spawn().unwrap();
        let id = child.id();
        // A test that would wait for ever fails instead.
        let (ended, watch) = std::sync::mpsc::channel::<()>();
        let watcher = thread::spawn(move || {
            if watch.recv_timeout(LIMIT).is_err() {
                let _ = Command::new("kill")
                    .args(["-KILL", &id.to_string()])
                    .status();
            }
        });
        let output = child.wait_with_output().unwrap();
        let _ = ended.send(());
        watcher.join().unwrap();
        output
    }

    /// Runs one round with what the buildlet printed as the result.
    pub(crate) fn boots(&self, args: &[&str]) -> String {
        let output = self.run(&[&["--once", "--insecure"], args].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs one round that finds nothing to run, with what was said about it as the result.
    pub(crate) fn fails(&self, args: &[&str]) -> String {
        let output = self.run(&[&["--once"], args].concat());
        assert_eq!(
            (output.status.code(), &*text(&output.stdout)),
            (Some(1), ""),
            "{}",
            text(&output.stderr)
        );
        text(&output.stderr)
    }

    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut child = self.command(args).spawn().unwrap();
        let (sender, lines) = std::sync::mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        // Somebody has to read it.
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .for_each(|line| eprintln!("{line}"));
        });
        Running { child, lines }
    }
}

/// The program while it runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Running {
    /// The next line that the buildlet prints.
    pub(crate) fn line(&self) -> String {
        self.lines
            .recv_timeout(LIMIT)
            .expect("the buildlet prints a line")
    }

    pub(crate) fn signal(&self, name: &str) {
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &self.child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Its exit status, once it ends by itself.
    pub(crate) fn ends(&mut self) -> Option<i32> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
