//! Peers that want too much, or take too long.

use std::fs;
use std::time::Duration;

use buildlet_proto::server::{Config, Server};
use buildlet_proto::workdir::Workdir;
use tempfile::TempDir;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{Buildlet, Connection, eventually, get, is_gone, post, put, shell};

#[tokio::test]
async fn an_upload_beyond_the_limit_is_413() {
    let buildlet = Buildlet::start(Config::default().max_upload(1 << 20)).await;
    let mut connection = buildlet.connect().await;
    // All of it is sent before the reply is read, and the reply is not lost.
    connection
        .send(put("/write?mode=420&path=f", &vec![0; 4 << 20]))
        .await;
    let reply = connection.reply().await;
    assert_eq!(
        (reply.status(), reply.text()),
        (413, "upload longer than 1048576 bytes\n")
    );

    let mut connection = buildlet.connect().await;
    connection
        .send("PUT /writetgz HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let zeros = flate2_stored(2 << 20);
    for chunk in zeros.chunks(1 << 16) {
        connection.send(format!("{:x}\r\n", chunk.len())).await;
        connection.send([chunk, b"\r\n"].concat()).await;
    }
    let reply = connection.reply().await;
    assert_eq!(
        (reply.status(), reply.text()),
        (413, "upload longer than 1048576 bytes\n")
    );
    assert_eq!(
        buildlet
            .ask(put("/write?mode=420&path=f", b"x"))
            .await
            .text(),
        "OK"
    );
}

/// A file of zeros as `.tar.gz` that is not shorter than it.
fn flate2_stored(len: usize) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path("zeros").unwrap();
    header.set_size(len as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    let mut archive = tar::Builder::new(gz);
    archive.append(&header, &vec![0; len][..]).unwrap();
    archive.into_inner().unwrap().finish().unwrap()
}

#[tokio::test]
async fn a_refused_upload_is_told_while_it_goes_on() {
    let buildlet = Buildlet::start(Config::default()).await;
    let mut connection = buildlet.connect().await;
    // More than the system's buffers hold.
    let body = vec![b'x'; 32 << 20];
    let head = format!(
        "PUT /writetgz HTTP/1.1\r\nHost: \r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.send(head).await;
    connection.send(&body).await;
    let reply = connection.reply().await;
    assert_eq!(
        reply.text(),
        "requires gzip-compressed body: gzip: invalid header\n"
    );
}

#[tokio::test]
async fn a_form_beyond_the_limit_is_413() {
    let buildlet = Buildlet::start(Config::default().max_form(100)).await;
    for target in ["/exec", "/removeall", "/writetgz"] {
        let reply = buildlet.ask(post(target, &"a".repeat(101))).await;
        assert_eq!(
            (reply.status(), reply.text()),
            (413, "form longer than 100 bytes\n")
        );
    }
    let fields = "a&".repeat(40_000);
    let buildlet = Buildlet::start(Config::default()).await;
    let reply = buildlet.ask(post("/removeall", &fields)).await;
    assert_eq!(
        (reply.status(), reply.text()),
        (413, "form with more than 32768 fields\n")
    );
}

#[tokio::test]
async fn only_so_many_commands_run_at_a_time() {
    let buildlet = Buildlet::start(Config::default().max_execs(1)).await;
    let mut first = buildlet.connect().await;
    first
        .send(shell(
            "echo started; while [ ! -e go-on ]; do sleep 0.01; done",
        ))
        .await;
    first.head().await;
    first.chunk().await;
    let reply = buildlet.ask(shell("true")).await;
    assert_eq!(
        (reply.status(), reply.text()),
        (503, "too many commands run already\n")
    );
    fs::write(buildlet.path("go-on"), "").unwrap();
    assert_eq!(first.chunk().await, b"");
    assert_eq!(buildlet.ask(shell("true")).await.status(), 200);
}

#[tokio::test]
async fn only_so_many_connections_are_served() {
    let buildlet = Buildlet::start(Config::default().max_connections(1)).await;
    let mut first = buildlet.connect().await;
    first.send(get("/healthz")).await;
    first.reply().await;
    let mut second = buildlet.connect().await;
    second.send(get("/status")).await;
    let reply = second.reply().await;
    assert_eq!(
        (reply.status(), reply.text()),
        (503, "too many connections\n")
    );
    assert_eq!(second.end().await, b"");
    // And those that wait to be told so are few.
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(buildlet.connect().await);
    }
    let last = waiting.last_mut().unwrap();
    assert_eq!(last.end().await, b"");
    drop((first, waiting));
    for _ in 0..1000 {
        let mut connection = buildlet.connect().await;
        let sent = connection.io.write_all(get("/healthz").as_bytes()).await;
        if sent.is_ok() && connection.end_of_first_line().await.ends_with("200 OK") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("connections are refused for ever");
}

impl Connection<tokio::net::TcpStream> {
    async fn end_of_first_line(&mut self) -> String {
        use tokio::io::AsyncReadExt as _;
        let mut line = [0; 15];
        let read = self.io.read_exact(&mut line).await;
        read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&line).into())
    }
}

#[tokio::test]
async fn heads_beyond_the_limits_are_431_or_414() {
    let buildlet = Buildlet::start(Config::default()).await;
    let long = "a".repeat(70 << 10);
    for (head, status) in [
        (
            format!("GET /status HTTP/1.1\r\nHost: \r\nA: {long}\r\n\r\n"),
            431,
        ),
        // Without end, and with more behind it than any buffer takes.
        (
            format!("GET /status HTTP/1.1\r\nHost: \r\nA: {}", long.repeat(64)),
            431,
        ),
        (
            format!("GET /status?{long} HTTP/1.1\r\nHost: \r\n\r\n"),
            431,
        ),
        (
            format!("GET /status HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101)),
            431,
        ),
        (
            format!("GET /{} HTTP/1.1\r\nHost: \r\n\r\n", &long[..65_500]),
            431,
        ),
        ("\r\n".repeat(1 << 18), 431),
    ] {
        let mut connection = buildlet.connect().await;
        connection.send(&head).await;
        let reply = connection.reply().await;
        assert_eq!(reply.status(), status, "{:?}", &head[..40]);
        assert_eq!(connection.end().await, b"");
    }
    assert_eq!(buildlet.ask(get("/status")).await.status(), 200);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_its_command_killed() {
    let config = Config::default().stall_limit(Duration::from_millis(200));
    let buildlet = Buildlet::start(config).await;
    let mut connection = buildlet.connect().await;
    connection.send(shell("echo $$ >&2; exec yes")).await;
    connection.head().await;
    let pid = String::from_utf8(connection.chunk().await).unwrap();
    let pid = pid.lines().next().unwrap();
    eventually("the command is gone", || is_gone(pid)).await;
}

/// A server with a client in memory, in virtual time.
struct Stalled {
    _folder: TempDir,
    client: Connection<DuplexStream>,
    _served: AbortOnDropHandle<()>,
    began: Instant,
}

impl Stalled {
    fn new(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::new(Workdir::open(folder.path()).unwrap(), config).unwrap();
        let (ours, theirs) = duplex(1 << 16);
        let served = tokio::spawn(async move {
            let _ = server.serve_connection(theirs).await;
        });
        Self {
            _folder: folder,
            client: Connection::new(ours),
            _served: AbortOnDropHandle::new(served),
            began: Instant::now(),
        }
    }

    /// Sends these bytes one a second, as long as the connection lives.
    async fn trickle(&mut self, bytes: impl Iterator<Item = u8>) {
        for byte in bytes {
            if self.client.io.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn seconds(&self) -> u64 {
        self.began.elapsed().as_secs()
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_is_given_up() {
    let mut stalled = Stalled::new(Config::default());
    stalled
        .trickle(
            "GET /status HTTP/1.1\r\n"
                .bytes()
                .chain(std::iter::repeat(b'a')),
        )
        .await;
    assert!(
        (30..=32).contains(&stalled.seconds()),
        "{}",
        stalled.seconds()
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_in_the_end() {
    let mut stalled = Stalled::new(Config::default().idle_limit(Duration::from_secs(600)));
    stalled.client.send(get("/healthz")).await;
    assert_eq!(stalled.client.reply().await.status(), 200);
    let io = &mut stalled.client.io;
    assert_eq!(
        tokio::io::AsyncReadExt::read(io, &mut [0]).await.unwrap(),
        0
    );
    assert_eq!(stalled.seconds(), 600);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    // Not in virtual time, which stands still while a thread waits for the body.
    let buildlet = Buildlet::start(Config::default().stall_limit(Duration::from_millis(200))).await;
    for head in [
        "PUT /write?mode=420&path=f HTTP/1.1\r\nHost: \r\nContent-Length: 5\r\n\r\nhel",
        "PUT /writetgz HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\x1f\r\n",
        "POST /removeall HTTP/1.1\r\nHost: \r\nContent-Length: 5\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\npath",
    ] {
        let mut connection = buildlet.connect().await;
        connection.send(head).await;
        assert_eq!(connection.reply().await.status(), 408);
        assert_eq!(connection.end().await, b"");
    }
}

#[tokio::test]
async fn an_impossible_limit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (config, what) in [
        (Config::default().max_execs(0), "max_execs"),
        (
            Config::default().max_connections(usize::MAX),
            "max_connections",
        ),
        (Config::default().idle_limit(Duration::ZERO), "idle_limit"),
    ] {
        let workdir = Workdir::open(folder.path()).unwrap();
        let error = Server::new(workdir, config).unwrap_err();
        assert_eq!(error.to_string(), format!("{what} is zero or too large"));
    }
}
