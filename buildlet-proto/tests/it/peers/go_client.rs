//! Upstream's client, and upstream's way to be a coordinator, call our server.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use buildlet_proto::key::{MasterKey, password_from_key_pem};
use buildlet_proto::server::{self, Config, HttpFetch, LocalSshd, Server};
use buildlet_proto::workdir::Workdir;
use harness::{Program, peer_or_skip};
use revdial::trust::Trust;
use revdial::{Listener, ListenerConfig, Registration, TcpConnector};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

const LIMIT: Duration = Duration::from_secs(60);
const HOST_TYPE: &str = "test-reverse-dial";

/// What came of a call.
#[derive(Deserialize, Debug, PartialEq, Default)]
#[serde(default)]
struct Fact {
    call: String,
    error: String,
    remote: String,
    output: String,
    list: Vec<String>,
    broken: bool,
}

/// The Go program, while it runs.
struct Caller {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Caller {
    fn start(program: &Program, args: &[&str]) -> Self {
        let mut child = tokio::process::Command::from(program.command())
            .args(args)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            _child: child,
            lines,
        }
    }

    async fn line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(LIMIT, self.lines.next_line()).await;
        line.expect("the client goes on").unwrap()
    }

    async fn facts(&mut self) -> Vec<Fact> {
        let mut facts = Vec::new();
        while let Some(line) = self.line().await {
            facts.push(
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}")),
            );
        }
        facts
    }
}

/// A server, and what is around it on its machine: an SSH server and one for archives.
struct World {
    _folder: TempDir,
    workdir: String,
    server: Server,
    url: String,
    _services: [AbortOnDropHandle<()>; 2],
}

impl World {
    async fn new(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let workdir = folder.path().canonicalize().unwrap().join("workdir");
        std::fs::create_dir(&workdir).unwrap();
        let sshd = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let files = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/a.tgz", files.local_addr().unwrap());
        let config = config
            .environment([("PATH", "/usr/bin:/bin")])
            .fetch(HttpFetch::new())
            .ssh(LocalSshd::new(sshd.local_addr().unwrap().port()));
        Self {
            workdir: workdir.to_str().unwrap().to_owned(),
            server: Server::new(Workdir::open(&workdir).unwrap(), config).unwrap(),
            _folder: folder,
            url,
            _services: [
                AbortOnDropHandle::new(tokio::spawn(answer_ssh(sshd))),
                AbortOnDropHandle::new(tokio::spawn(serve_archive(files))),
            ],
        }
    }

    /// What a client is told by a Go buildlet too, but for the words of this system.
    fn assert_facts(&self, facts: &[Fact]) {
        let workdir = &self.workdir;
        let by_call: HashMap<&str, &Fact> = facts
            .iter()
            .map(|fact| (fact.call.as_str(), fact))
            .collect();
        let fact = |call: &str| {
            *by_call
                .get(call)
                .unwrap_or_else(|| panic!("{call}: {facts:#?}"))
        };
        let ok = |call: &str, output: &str| {
            let expected = Fact {
                call: call.into(),
                output: output.into(),
                ..Fact::default()
            };
            assert_eq!(fact(call), &expected);
        };
        let failed = |call: &str, error: &str| {
            let expected = Fact {
                call: call.into(),
                error: error.into(),
                ..Fact::default()
            };
            assert_eq!(fact(call), &expected);
        };
        let ended = |call: &str, output: &str, remote: &str| {
            let expected = Fact {
                call: call.into(),
                output: output.into(),
                remote: remote.into(),
                ..Fact::default()
            };
            assert_eq!(fact(call), &expected);
        };
        ok("status", "29");
        ok("workdir", workdir);
        ok("put", "");
        ok("puttar", "");
        failed(
            "puttar, broken",
            "400 Bad Request; body: requires gzip-compressed body: gzip: invalid header\n",
        );
        ok("puttarfromurl", "");
        ok("exec", "out &=\nerr\n");
        ended("exec, exit 7", "out\nerr\n", "exit status 7");
        ended("exec, killed", "", "signal: killed");
        ok("exec, path", &format!("{workdir}/bin:/bin\n{workdir}\n"));
        let debug = fact("exec, debug");
        let running =
            format!(":: Running {workdir}/bin/a b with args [\"{workdir}/bin/a b\" \"0\"]");
        assert!(debug.output.starts_with(&running), "{debug:?}");
        failed(
            "exec, unknown",
            "buildlet: HTTP status 422 Unprocessable Entity: \
             invalid 'cmd' parameter: command \"no-such-command\" not found\n",
        );
        ended(
            "exec, cannot start",
            "",
            &format!("fork/exec {workdir}/src/VERSION: permission denied"),
        );
        let list = fact("listdir");
        assert_eq!(list.error, "");
        let long = format!("a/{}", "long".repeat(40));
        assert_eq!(
            list.list,
            [
                "-rw-r--r--\tVERSION\t5\t2001-09-09T01:46:40Z\t21a6cafaf0e9b0080692d699c1538d0dfa42b47a",
                "drwxr-xr-x\ta/",
                "-rw-r--r--\ta/b.go\t10\t2001-09-09T01:46:40Z\t14c11f3f8c9d663bb119f177a2c89b3468d62bc5",
                &format!(
                    "-rw-r--r--\t{long}\t1\t2001-09-09T01:46:40Z\t11f6ad8ec52a2984abaafd7c3b516503785c2072"
                ),
            ]
        );
        failed(
            "listdir, outside",
            "400 Bad Request: invalid 'dir' parameter: path \"..\" refers to a parent directory\n",
        );
        let tar = fact("gettar");
        assert_eq!(tar.error, "");
        assert_eq!(
            tar.list,
            [
                "VERSION \"devel\"",
                "a/ \"\"",
                "a/b.go \"package b\\n\"",
                &format!("{long} \"x\""),
                "pkg/ \"\"",
            ]
        );
        failed(
            "gettar, missing",
            &format!("404 Not Found; body: lstat {workdir}/missing: no such file or directory\n"),
        );
        ok("connectssh", "got:SSH-2.0-client\r\n");
        ok("removeall", "");
        assert_eq!(
            fact("listdir, after").list,
            ["gocache/", "goplscache/", "tmp/"]
        );
        // The client then calls its own buildlet broken.
        assert_eq!(fact("close").error, "");
        assert!(fact("close").broken);
        assert_eq!(facts.len(), 21, "{facts:#?}");
    }
}

async fn answer_ssh(listener: TcpListener) {
    loop {
        let (mut io, _) = listener.accept().await.unwrap();
        let mut line = [0; 16];
        io.read_exact(&mut line).await.unwrap();
        io.write_all(&[b"got:", &line[..]].concat()).await.unwrap();
    }
}

async fn serve_archive(listener: TcpListener) {
    let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let archive = tar::Builder::new(gz)
        .into_inner()
        .unwrap()
        .finish()
        .unwrap();
    loop {
        let (mut io, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(io.read_u8().await.unwrap());
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            archive.len()
        );
        io.write_all(&[head.as_bytes(), &archive].concat())
            .await
            .unwrap();
    }
}

fn client() -> Option<Program> {
    peer_or_skip("gobuildletclient")
}

/// A key pair of the Go program's making, in a folder.
fn key_pair(program: &Program) -> TempDir {
    let keys = tempfile::tempdir().unwrap();
    let folder = keys.path().to_str().unwrap();
    let made = program.filter(&["-new-keys", folder], b"").unwrap();
    assert!(made.status.success(), "{made:?}");
    keys
}

fn read(folder: &TempDir, name: &str) -> String {
    std::fs::read_to_string(Path::new(folder.path()).join(name)).unwrap()
}

#[tokio::test]
async fn a_go_client_calls_our_buildlet() {
    let Some(program) = client() else { return };
    let world = World::new(Config::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let call = async {
        let args = ["-addr", &address, "-ssh", "-url", &world.url];
        let facts = Caller::start(&program, &args).facts().await;
        stop.cancel();
        facts
    };
    let serve = world.server.serve(server::tcp(listener), stop.clone());
    let (served, facts) = tokio::join!(serve, call);
    served.unwrap();
    world.assert_facts(&facts);
}

#[tokio::test]
async fn a_go_client_calls_our_buildlet_by_tls_with_its_password() {
    let Some(program) = client() else { return };
    let keys = key_pair(&program);
    let key = read(&keys, "key.pem");
    let tls = tls(&read(&keys, "cert.pem"), &key);
    let world = World::new(Config::default().password(password_from_key_pem(&key))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let call = async {
        let folder = keys.path().to_str().unwrap();
        let args = [
            "-addr", &address, "-keys", folder, "-ssh", "-url", &world.url,
        ];
        let facts = Caller::start(&program, &args).facts().await;
        // Another pair than the server's is another password, and another key too.
        let other = key_pair(&program);
        let args = ["-addr", &address, "-keys", other.path().to_str().unwrap()];
        let refused = Caller::start(&program, &args).facts().await;
        stop.cancel();
        (facts, refused)
    };
    let prepare = |io| {
        let tls = tls.clone();
        async move { tls.accept(io).await }
    };
    let serve = world
        .server
        .serve_with(server::tcp(listener), prepare, stop.clone());
    let (served, (facts, refused)) = tokio::join!(serve, call);
    served.unwrap();
    world.assert_facts(&facts);
    assert!(
        refused[0].error.ends_with("unexpected TLS certificate"),
        "{:?}",
        refused[0]
    );
}

fn tls(cert: &str, key: &str) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    Arc::new(config).into()
}

#[derive(Deserialize)]
struct Listening {
    listening: String,
}

#[derive(Deserialize)]
struct Registered {
    registered: HashMap<String, Vec<String>>,
}

#[tokio::test]
async fn a_go_coordinator_calls_our_buildlet_that_registered() {
    let Some(program) = client() else { return };
    let keys = key_pair(&program);
    let world = World::new(Config::default()).await;
    let folder = keys.path().to_str().unwrap();
    let args = [
        "-listen",
        "127.0.0.1:0",
        "-keys",
        folder,
        "-ssh",
        "-url",
        &world.url,
    ];
    let mut coordinator = Caller::start(&program, &args);
    let Listening { listening } = serde_json::from_str(&coordinator.line().await.unwrap()).unwrap();

    let key = MasterKey::development()
        .key_for(HOST_TYPE)
        .as_str()
        .to_owned();
    let registration = Registration::buildlet(HOST_TYPE, &key, "host-a", "29").unwrap();
    let tls = Trust::Anyone
        .client_config(Arc::new(ring::default_provider()))
        .unwrap();
    let connector = TcpConnector::new(&listening)
        .unwrap()
        .tls(tls.into())
        .unwrap();
    let mut listener = Listener::register(connector, registration, ListenerConfig::default())
        .await
        .unwrap();
    let Registered { registered } =
        serde_json::from_str(&coordinator.line().await.unwrap()).unwrap();
    assert_eq!(registered["X-Go-Builder-Key"], [key]);
    assert_eq!(registered["X-Go-Host-Type"], [HOST_TYPE]);

    let connections = server::infallible(&mut listener);
    let serve = world.server.serve(connections, CancellationToken::new());
    // The coordinator's end ends the listener, and that the server.
    let (served, facts) = tokio::join!(serve, coordinator.facts());
    served.unwrap();
    world.assert_facts(&facts);
}
