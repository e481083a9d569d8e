use std::fs;
use std::io;

use buildlet_proto::client::{BoxIo, BuildletClient as _, Config, Connector, Exec, HttpClient};
use buildlet_proto::types::ExecRequest;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::process::{Buildlet, is_alive, until};

fn client(address: &str) -> HttpClient {
    HttpClient::tcp(address, Config::default()).unwrap()
}

fn shell(script: &str) -> ExecRequest {
    ExecRequest::new("sh")
        .args(["-c", script])
        .dir(".")
        .system_level(true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_has_a_command_run() {
    let workdir = tempfile::tempdir().unwrap();
    let (_buildlet, address) = Buildlet::listening(workdir.path(), &[]);
    let running = client(&address)
        .start(shell("echo here; pwd; exit 7"))
        .await
        .unwrap();
    let (output, outcome) = running.collect(1 << 20).await.unwrap();
    let real = fs::canonicalize(workdir.path()).unwrap();
    let output = String::from_utf8(output.to_vec()).unwrap();
    assert!(output.starts_with("here\n"), "{output}");
    assert_eq!(
        fs::canonicalize(output.lines().nth(1).unwrap()).unwrap(),
        real
    );
    assert_eq!(outcome.success().unwrap_err().to_string(), "exit status 7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_callers_with_the_password_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, "sekret\n").unwrap();
    let flag = format!("--password-file={}", file.display());
    let (_buildlet, address) = Buildlet::listening(folder.path(), &[&flag]);
    let refused = client(&address).status().await.unwrap_err();
    assert_eq!(refused.status().map(|status| status.as_u16()), Some(403));
    let known = HttpClient::tcp(&address, Config::default().password("sekret")).unwrap();
    assert_eq!(known.status().await.unwrap().version(), 29);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_is_read_from_metadata_too() {
    let workdir = tempfile::tempdir().unwrap();
    let file = workdir.path().join("password");
    fs::write(&file, "sekret").unwrap();
    let mut command = crate::process::buildlet();
    command
        .arg("-listen=127.0.0.1:0")
        .arg("-workdir")
        .arg(workdir.path())
        .env("META_password", format!("@{}", file.display()));
    let mut buildlet = Buildlet::start(command);
    let line = buildlet.wait_for("listening on ");
    let address = line.rsplit_once("://").unwrap().1;
    assert!(client(address).status().await.is_err());
    let known = HttpClient::tcp(address, Config::default().password("sekret")).unwrap();
    known.status().await.unwrap();
    // What the command sees of it: nothing.
    let (output, _) = known
        .start(shell("env"))
        .await
        .unwrap()
        .collect(1 << 20)
        .await
        .unwrap();
    let output = String::from_utf8_lossy(&output).into_owned();
    assert!(!output.contains("META_"), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_ends_in_time_is_waited_for() {
    let workdir = tempfile::tempdir().unwrap();
    let (mut buildlet, address) = Buildlet::listening(workdir.path(), &[]);
    let client = client(&address);
    let script = "touch begun; while [ ! -e go ]; do sleep 0.01; done; echo done";
    let running = client.start(shell(script)).await.unwrap();
    until("it begins", || workdir.path().join("begun").exists());
    buildlet.signal("TERM");
    buildlet.wait_for("terminated");
    fs::write(workdir.path().join("go"), "").unwrap();
    let (output, outcome) = running.collect(1 << 20).await.unwrap();
    assert_eq!(&output[..], b"done\n");
    outcome.success().unwrap();
    assert_eq!(buildlet.status().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_does_not_end_is_killed_and_told_by_status() {
    let workdir = tempfile::tempdir().unwrap();
    let (mut buildlet, address) = Buildlet::listening(workdir.path(), &[]);
    let client = client(&address);
    let _running = client
        .start(shell("echo $$ > pid.new; mv pid.new pid; sleep 1000"))
        .await
        .unwrap();
    let file = workdir.path().join("pid");
    until("it begins", || file.exists());
    let pid: u32 = fs::read_to_string(file).unwrap().trim().parse().unwrap();
    buildlet.signal("TERM");
    assert_eq!(buildlet.status().code(), Some(1));
    until("its command ends", || !is_alive(pid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halt_ends_the_program_and_leaves_the_machine_alone() {
    let workdir = tempfile::tempdir().unwrap();
    let (mut buildlet, address) = Buildlet::listening(workdir.path(), &[]);
    client(&address).close().await;
    assert_eq!(buildlet.status().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_proves_who_the_buildlet_is() {
    let folder = tempfile::tempdir().unwrap();
    program::self_signed_acceptor(folder.path(), &["localhost".to_owned()]).unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    let (_buildlet, address) = Buildlet::listening(
        folder.path(),
        &[
            &format!("-tls-cert={}", cert.display()),
            &format!("-tls-key={}", key.display()),
        ],
    );
    let tls = program::tls_client_config(Some(&cert), false).unwrap();
    let address = address.replace("127.0.0.1", "localhost");
    let connector = revdial::TcpConnector::new(&address)
        .unwrap()
        .tls(tls)
        .unwrap();
    let client = HttpClient::new(Tls(connector), "localhost", Config::default()).unwrap();
    let outcome = client.exec(Exec::from(shell("true"))).await.unwrap();
    outcome.success().unwrap();
}

/// Connects as workers do to their coordinator.
struct Tls(revdial::TcpConnector);

#[async_trait::async_trait]
impl Connector for Tls {
    async fn connect(&self) -> io::Result<BoxIo> {
        let connected = revdial::Connect::connect(&self.0).await;
        Ok(Box::new(connected.map_err(io::Error::other)?))
    }
}

/// As Go's buildlet does, whose address of archives is `https://storage.googleapis.com/...`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_is_fetched_over_tls_from_whom_the_system_believes() {
    let folder = tempfile::tempdir().unwrap();
    let acceptor = program::self_signed_acceptor(folder.path(), &["localhost".to_owned()]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}/a.tgz",
        listener.local_addr().unwrap().port()
    );
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Who does not believe it ends the handshake.
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).await.unwrap_or(0) > 2 {
                line.clear();
            }
            let body = archive();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&body).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });

    let believing = tempfile::tempdir().unwrap();
    let mut command = crate::process::buildlet();
    command
        .arg("-listen=127.0.0.1:0")
        .arg("-workdir")
        .arg(believing.path())
        .env("SSL_CERT_FILE", folder.path().join("cert.pem"));
    let mut buildlet = Buildlet::start(command);
    let line = buildlet.wait_for("listening on ");
    let address = line.rsplit_once("://").unwrap().1;
    client(address).put_tar_from_url(&url, "d").await.unwrap();
    let written = fs::read_to_string(believing.path().join("d/hello")).unwrap();
    assert_eq!(written, "over TLS");

    let strange = tempfile::tempdir().unwrap();
    let (_buildlet, address) = Buildlet::listening(strange.path(), &[]);
    client(&address)
        .put_tar_from_url(&url, "d")
        .await
        .unwrap_err();
    assert!(!strange.path().join("d/hello").exists());
    server.abort();
}

fn archive() -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    let content = b"over TLS";
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    let gz = pargzip::Writer::new(Vec::new(), pargzip::Config::default()).unwrap();
    let mut tar = tar::Builder::new(gz);
    tar.append_data(&mut header, "hello", &content[..]).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}
