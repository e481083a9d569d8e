//! Upstream's buildlet, and who starts it again whenever it ends.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use harness::Program;

use crate::place::signal_group;

/// A machine of host type `go` while this lives; then nothing of it does.
pub(crate) struct GoMachine {
    child: Arc<Mutex<Option<Child>>>,
    stop: Arc<AtomicBool>,
    supervisor: Option<JoinHandle<()>>,
}

impl GoMachine {
    /// With its files in this folder, at a coordinator on this port.
    pub(crate) fn start(program: Program, folder: PathBuf, port: u16) -> Self {
        let child: Arc<Mutex<Option<Child>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (running, stopping) = (child.clone(), stop.clone());
        let supervise = move || {
            loop {
                {
                    // Under the lock: so nobody stops between the question and the start.
                    let mut running = running.lock().unwrap();
                    if stopping.load(Ordering::Relaxed) {
                        return;
                    }
                    let ended = match running.as_mut() {
                        Some(child) => child.try_wait().unwrap().is_some(),
                        None => true,
                    };
                    if ended {
                        *running = Some(spawn(&program, &folder, port));
                    }
                }
                thread::sleep(Duration::from_millis(100));
            }
        };
        Self {
            child,
            stop,
            supervisor: Some(thread::spawn(supervise)),
        }
    }

    /// kill -9 of it and what it runs.
    pub(crate) fn kill(&self) {
        if let Some(child) = &*self.child.lock().unwrap() {
            signal_group("-KILL", child.id());
        }
    }
}

impl Drop for GoMachine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.kill();
        if let Some(supervisor) = self.supervisor.take() {
            // It has panicked, and said why.
            let _ = supervisor.join();
        }
        if let Some(child) = &mut *self.child.lock().unwrap() {
            let _ = child.wait();
        }
    }
}

fn spawn(program: &Program, folder: &Path, port: u16) -> Child {
    std::fs::create_dir_all(folder).unwrap();
    program
        .command()
        .arg("-workdir")
        .arg(folder)
        .args(["-halt=false", "-health-addr=127.0.0.1:0"])
        .args(["-reverse-type", "go", "-hostname", "go-1"])
        .arg("-coordinator")
        .arg(format!("localhost:{port}"))
        .current_dir(folder)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
