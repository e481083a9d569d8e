//! Upstream's buildlet as a process of ours.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use buildlet_proto::client::{BuildletClient as _, Config, HttpClient};
use harness::Program;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// A cold start looks for cloud metadata first, which takes a second, and more where packets to it vanish.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running buildlet. Killed, with all that it started, when dropped.
pub(crate) struct GoBuildlet {
    child: Child,
    dir: TempDir,
}

impl GoBuildlet {
    /// Starts it with an empty work directory.
    pub(crate) fn start(program: &Program, args: &[&str], env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let child = command(program, dir.path(), args, env).spawn().unwrap();
        Self { child, dir }
    }

    /// Starts it once more, in the same work directory, after it ended or was killed.
    pub(crate) fn restart(&mut self, program: &Program, args: &[&str]) {
        self.kill();
        self.child = command(program, self.dir.path(), args, &[])
            .spawn()
            .unwrap();
    }

    pub(crate) fn work_dir(&self) -> &Path {
        self.dir.path()
    }

    /// Kills it and all that it started, as a crash of the machine would.
    pub(crate) fn kill(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(pid, signal);
    }

    /// Waits until it exits by itself, and returns its exit status.
    pub(crate) async fn exited(&mut self) -> Option<i32> {
        let end = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < end, "the Go buildlet does not exit");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for GoBuildlet {
    fn drop(&mut self) {
        self.kill();
    }
}

fn command(program: &Program, dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = program.command();
    command
        .arg("-workdir")
        .arg(dir)
        .args(["-halt=false", "-health-addr=127.0.0.1:0"])
        .args(args)
        .envs(env.iter().copied())
        .current_dir(dir)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A buildlet that listens, and a client for it once it answers. `None` if there is no Go.
pub(crate) async fn listening(
    config: Config,
    env: &[(&str, &str)],
) -> Option<(GoBuildlet, HttpClient)> {
    let (buildlet, address) = open(env).await?;
    let client = HttpClient::tcp(&address, config).unwrap();
    Some((buildlet, client))
}

/// A buildlet that listens, and its address. `None` if there is no Go.
pub(crate) async fn open(env: &[(&str, &str)]) -> Option<(GoBuildlet, String)> {
    let program = harness::upstream_or_skip("buildlet")?;
    let address = free_address();
    let buildlet = GoBuildlet::start(&program, &["-listen", &address], env);
    wait_until_open(&address).await;
    Some((buildlet, address))
}

/// An address on loopback that nobody listens on. (Somebody else may by the time it is used; then the test fails loudly.)
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

async fn wait_until_open(address: &str) {
    let end = Instant::now() + START_LIMIT;
    while tokio::net::TcpStream::connect(address).await.is_err() {
        assert!(Instant::now() < end, "the Go buildlet does not listen");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Makes every kind of call, and looks at what comes of it.
pub(crate) async fn drive(client: &HttpClient, work_dir: &Path) {
    use buildlet_proto::client::{Archive, CallError, Exec, ExecError};
    use buildlet_proto::types::ext::ArchiveFormat;
    use buildlet_proto::types::{ExecRequest, FileMode, ListRequest, ProcessState};

    let status = client.status().await.unwrap();
    assert_eq!((status.version(), status.implementation()), (29, None));
    assert_eq!(client.work_dir().await.unwrap(), work_dir.to_str().unwrap());

    // Files and their modes.
    let script = "#!/bin/sh\necho \"$1 $X\"; echo err >&2; pwd; exit 7\n";
    let mode = FileMode::from_unix(0o755);
    client
        .put(script.into(), "go/bin/a b.sh", mode)
        .await
        .unwrap();
    let data = vec![7; 3 << 20];
    let mode = FileMode::from_unix(0o640);
    client.put(data.into(), "go/src/data", mode).await.unwrap();
    let refused = client.put("x".into(), "../x", mode).await.unwrap_err();
    let text = r#"buildlet answered 400 Bad Request: invalid 'path' parameter: path "../x" refers to a parent directory"#;
    assert_eq!(refused.to_string(), text);

    // A command that fails, and one that is not there.
    let request = ExecRequest::new("go/bin/a b.sh").arg("one two").env("X=y");
    let (sink, mut output) = tokio::io::duplex(1 << 16);
    let outcome = client.exec(Exec::from(request).output(sink)).await.unwrap();
    assert_eq!(outcome.state, ProcessState::Exited(7));
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut output, &mut text)
        .await
        .unwrap();
    assert_eq!(
        text,
        format!("one two y\nerr\n{}/go/bin\n", work_dir.display())
    );
    let missing = client
        .exec(ExecRequest::new("no-such-command").into())
        .await
        .unwrap_err();
    let ExecError::Start(error @ CallError::Refused { .. }) = missing else {
        panic!("{missing:?}");
    };
    assert_eq!(error.status().map(|status| status.as_u16()), Some(422));

    // A tree out and in again.
    let archive = client.get_tar("go", ArchiveFormat::Tar).await.unwrap();
    assert_eq!(archive.format(), ArchiveFormat::TarGz); // all that it knows
    client
        .put_tar(Archive::tar_gz(archive.into_content()), "copy")
        .await
        .unwrap();
    let list = async |dir: &str| {
        let request = ListRequest::new(dir).recursive(true).digest(true);
        let listing = client.list_dir(request).await.unwrap();
        let entries = listing.collect().await.unwrap();
        let shown = |e: &buildlet_proto::types::DirEntry| {
            (
                e.mode().to_string(),
                e.name().into_owned(),
                e.digest().map(str::to_owned),
            )
        };
        entries.iter().map(shown).collect::<Vec<_>>()
    };
    let listed = list("go").await;
    let names: Vec<_> = listed
        .iter()
        .map(|(mode, name, _)| (&mode[..], &name[..]))
        .collect();
    assert_eq!(
        names,
        [
            ("drwxr-xr-x", "bin"),
            ("-rwxr-xr-x", "bin/a b.sh"),
            ("drwxr-xr-x", "src"),
            ("-rw-r-----", "src/data"),
        ]
    );
    assert_eq!(list("copy").await, listed);

    client
        .remove_all(&["go".into(), "copy".into(), "never".into()])
        .await
        .unwrap();
    let refused = client
        .list_dir(ListRequest::new("go"))
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(refused.status().map(|status| status.as_u16()), Some(500));
    assert_eq!(client.broken(), None);
}
