use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use maintner::net::{Follower, NetConfig};
use maintner::{Config, Corpus, View};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// However slow the machine is.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maintnerd"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// A maintnerd with a folder of its own.
pub(crate) struct Running {
    pub(crate) dir: TempDir,
    child: Child,
    log: BufReader<ChildStderr>,
    /// `127.0.0.1:PORT`
    pub(crate) http: String,
    pub(crate) https: String,
}

impl Running {
    pub(crate) fn start(sources: &str, more: &[&str]) -> Self {
        Self::start_with(sources, more, &[])
    }

    /// With an environment of its own.
    pub(crate) fn start_with(sources: &str, more: &[&str], env: &[(String, String)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("sources.toml"), sources).unwrap();
        let (child, log, http, https) = spawn(dir.path(), more, env);
        Self {
            dir,
            child,
            log,
            http,
            https,
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Ends it as nothing should, and starts it again.
    pub(crate) fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.start_again();
    }

    /// Ends it as a service manager does, and starts it again.
    pub(crate) fn restart(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.start_again();
    }

    fn start_again(&mut self) {
        self.child.wait().unwrap();
        let (child, log, http, https) = spawn(self.dir.path(), &[], &[]);
        (self.child, self.log, self.http, self.https) = (child, log, http, https);
    }

    /// Ends it as a service manager does. Returns what it logged in between too.
    pub(crate) fn terminate(mut self) -> (ExitStatus, String) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap(), log)
    }

    /// A corpus that follows its log, as another program would.
    pub(crate) fn follow(&self, cache: &Path) -> Corpus {
        let net = NetConfig::new(format!("http://{}/logs", self.http), cache);
        let deadline = Instant::now() + LIMIT;
        loop {
            // Until the log is loaded, it says so.
            let mut corpus =
                Corpus::follow(Follower::open(net.clone()).unwrap(), Config::default());
            match corpus.update() {
                Ok(()) => return corpus,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        }
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let answer = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .new_agent()
            .get(format!("http://{}{path}", self.http))
            .call();
        let mut answer = answer.unwrap();
        let body = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), body)
    }
}

fn spawn(
    dir: &Path,
    more: &[&str],
    env: &[(String, String)],
) -> (Child, BufReader<ChildStderr>, String, String) {
    let mut child = program()
        .current_dir(dir)
        .args(["-config=sources.toml", "-data-dir=data"])
        .args([
            "-listen-http=127.0.0.1:0",
            "-listen-https-selfsigned=127.0.0.1:0",
        ])
        .args(more)
        .envs(env.iter().cloned())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let http = address(&mut log, "HTTP on ");
    let https = address(&mut log, "HTTPS on ");
    (child, log, http, https)
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes what nobody else may read.
pub(crate) fn write_private(file: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .mode(0o600)
        .open(file)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

pub(crate) fn address(log: &mut BufReader<ChildStderr>, what: &str) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(
            log.read_line(&mut line).unwrap() > 0,
            "it ended before {what:?}"
        );
        if let Some((_, address)) = line.split_once(what) {
            return address.trim().to_owned();
        }
    }
}

/// Updates until there is what is wanted.
pub(crate) fn wait_for(corpus: &mut Corpus, wanted: impl Fn(&View) -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !wanted(&corpus.view()) {
        assert!(Instant::now() < deadline, "it did not come");
        corpus.update_within(Duration::from_secs(10)).unwrap();
    }
}
