//! What clients do with the server beyond the vectors.

use std::fs;
use std::time::Duration;

use buildlet_proto::server::{Config, HttpFetch, LocalSshd, Server};
use buildlet_proto::workdir::Workdir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Buildlet, Connection, LIMIT, eventually, get, is_gone, post, put, shell, write};

#[tokio::test]
async fn one_connection_serves_every_request_with_trailers() {
    let buildlet = Buildlet::start(Config::default()).await;
    let mut connection = buildlet.connect().await;
    for code in [0, 7] {
        connection
            .send(put("/write?mode=420&path=f", b"content"))
            .await;
        assert_eq!(connection.reply().await.text(), "OK");
        connection.send(shell(&format!("cat f; exit {code}"))).await;
        let reply = connection.reply().await;
        assert_eq!(reply.text(), "content");
        let state = if code == 0 { "ok" } else { "exit status 7" };
        assert_eq!(reply.trailers, [("Process-State".into(), state.into())]);
        assert_eq!(reply.header("Trailer"), Some("Process-State"));
        connection.send(get("/status")).await;
        assert_eq!(connection.reply().await.status(), 200);
    }
}

#[tokio::test]
async fn requests_that_come_together_are_answered_in_turn() {
    let buildlet = Buildlet::start(Config::default()).await;
    let mut connection = buildlet.connect().await;
    let all = [
        shell("echo 1").into_bytes(),
        put("/write?mode=420&path=f", b"x"),
        shell("cat f; exit 3").into(),
    ];
    connection.send(all.concat()).await;
    assert_eq!(connection.reply().await.text(), "1\n");
    assert_eq!(connection.reply().await.text(), "OK");
    let reply = connection.reply().await;
    assert_eq!(
        (reply.text(), reply.trailer("Process-State")),
        ("x", Some("exit status 3"))
    );
}

#[tokio::test]
async fn a_chunked_body_is_taken() {
    let buildlet = Buildlet::start(Config::default()).await;
    let mut connection = buildlet.connect().await;
    connection
        .send("PUT /write?mode=420&path=f HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    connection.send("5\r\nhello\r\n").await;
    connection.send("6\r\n world\r\n0\r\n\r\n").await;
    assert_eq!(connection.reply().await.text(), "OK");
    assert_eq!(fs::read(buildlet.path("f")).unwrap(), b"hello world");
    connection.send(shell("exit 1")).await;
    assert_eq!(
        connection.reply().await.trailer("Process-State"),
        Some("exit status 1")
    );
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it_or_the_refusal() {
    let buildlet = Buildlet::start(Config::default()).await;
    let mut connection = buildlet.connect().await;
    let head = |path: &str| {
        format!(
            "PUT /write?mode=420&path={path} HTTP/1.1\r\nHost: \r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    connection.send(head("f")).await;
    assert_eq!(connection.until("\r\n\r\n").await, "HTTP/1.1 100 Continue");
    connection.send("hello").await;
    assert_eq!(connection.reply().await.text(), "OK");
    connection.send(head("..")).await;
    assert_eq!(connection.reply().await.status(), 400);
}

#[tokio::test]
async fn extended_trailers_come_to_those_who_ask() {
    let buildlet = Buildlet::start(Config::default()).await;
    let plain = shell("exit 0");
    let extended = plain.replacen(
        "\r\n\r\n",
        "\r\nX-Buildlet-Accept: tar, trailers\r\n\r\n",
        1,
    );
    let reply = buildlet.ask(extended).await;
    assert_eq!(
        reply.header("Trailer"),
        Some("Process-State, Process-Isolation, Process-Usage, Process-Limit")
    );
    assert_eq!(reply.trailer("Process-State"), Some("ok"));
    assert_eq!(
        reply.trailer("Process-Isolation"),
        Some("none by process-group")
    );
    assert!(
        reply.trailer("Process-Usage").unwrap().contains("wall="),
        "{reply:?}"
    );
    assert_eq!(buildlet.ask(plain).await.trailers.len(), 1);

    let slow = shell("sleep 60") + "&timeout=50ms";
    let slow = post("/exec", slow.split("\r\n\r\n").nth(1).unwrap());
    let slow = slow.replacen("\r\n\r\n", "\r\nX-Buildlet-Accept: trailers\r\n\r\n", 1);
    let reply = buildlet.ask(slow).await;
    assert_eq!(reply.trailer("Process-Limit"), Some("timeout"), "{reply:?}");
}

#[tokio::test]
async fn an_extension_with_an_odd_value_is_refused() {
    let buildlet = Buildlet::start(Config::default()).await;
    for field in ["timeout=5", "isolation=much", "network=off%20"] {
        let reply = buildlet
            .ask(post("/exec", &format!("cmd=true&mode=sys&{field}")))
            .await;
        assert_eq!(reply.status(), 400);
        assert!(reply.text().starts_with("invalid '"), "{}", reply.text());
    }
}

#[tokio::test]
async fn archives_go_both_ways_without_compression_if_asked() {
    let buildlet = Buildlet::start(Config::default()).await;
    write(buildlet.path("from/a/b"), "content", 0o755);
    let request = get("/tgz?dir=from").replacen("\r\n", "\r\nX-Buildlet-Accept: zstd, tar\r\n", 1);
    let reply = buildlet.ask(request).await;
    assert_eq!(reply.header("X-Buildlet-Format"), Some("tar"));
    assert_eq!(reply.header("Content-Type"), Some("application/x-tar"));
    assert_eq!(reply.body.len() % 512, 0);

    let upload = |format: &str| {
        let head = format!("\r\nX-Buildlet-Format: {format}\r\n");
        let request = String::from_utf8(put("/writetgz?dir=to", &reply.body)).unwrap();
        request.replacen("\r\n", &head, 1)
    };
    assert_eq!(buildlet.ask(upload("tar")).await.text(), "OK");
    assert_eq!(fs::read(buildlet.path("to/a/b")).unwrap(), b"content");
    assert_eq!(buildlet.ask(upload("zstd")).await.status(), 415);
    assert_eq!(buildlet.ask(upload("tar.gz")).await.status(), 400);
}

#[tokio::test]
async fn a_link_leads_nobody_out_of_the_work_directory() {
    let buildlet = Buildlet::start(Config::default()).await;
    let outside = tempfile::tempdir().unwrap();
    write(outside.path().join("secret"), "secret", 0o644);
    std::os::unix::fs::symlink(outside.path(), buildlet.path("out")).unwrap();
    for request in [
        put("/write?path=out%2Fz&mode=420", b"x"),
        put("/write?path=out%2Fsecret&mode=420", b"x"),
        put("/writetgz?dir=out", &tgz("z")),
        put("/writetgz", &tgz("out/z")),
        get("/tgz?dir=out%2F.").into(),
        get("/tgz?dir=out%2Fsecret").into(),
        get("/ls?dir=out%2Fsecret").into(),
        post("/removeall", "path=out%2Fsecret").into(),
    ] {
        let reply = buildlet.ask(&request).await;
        let line = String::from_utf8_lossy(&request);
        let line = line.lines().next().unwrap();
        let told = reply.body.windows(6).any(|window| window == b"secret");
        assert!(
            reply.status() >= 400 || !told && line.contains("tgz?dir=out%2F."),
            "{line}: {reply:?}"
        );
    }
    let names: Vec<_> = fs::read_dir(outside.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["secret"]);
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"secret");
}

fn tgz(name: &str) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).unwrap();
    header.set_size(1);
    header.set_mode(0o644);
    header.set_cksum();
    let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(gz);
    archive.append(&header, &b"x"[..]).unwrap();
    archive.into_inner().unwrap().finish().unwrap()
}

#[tokio::test]
async fn bytes_that_come_with_an_ssh_request_are_not_lost() {
    let sshd = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = LocalSshd::new(sshd.local_addr().unwrap().port());
    let buildlet = Buildlet::start(Config::default().ssh(target)).await;
    let echo = async {
        let (mut io, _) = sshd.accept().await.unwrap();
        let (mut reader, mut writer) = io.split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    };
    let call = async {
        let mut connection = buildlet.connect().await;
        connection
            .send("POST /connect-ssh HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\nSSH-2.0-early\r\n")
            .await;
        assert_eq!(
            connection.head().await.0,
            "HTTP/1.1 101 Switching Protocols"
        );
        assert_eq!(connection.until("\r\n").await, "SSH-2.0-early");
        connection.send(vec![b'x'; 1 << 20]).await;
        assert!(
            connection
                .bytes(1 << 20)
                .await
                .iter()
                .all(|byte| *byte == b'x')
        );
        connection.io.shutdown().await.unwrap();
        assert_eq!(connection.end().await, b"");
    };
    tokio::join!(echo, call);
}

#[tokio::test]
async fn what_the_program_around_does_not_offer_is_refused() {
    let buildlet = Buildlet::start(Config::default()).await;
    for request in [
        post("/halt", ""),
        post("/connect-ssh", ""),
        post("/writetgz", "url=http%3A%2F%2Fx%2F"),
    ] {
        let reply = buildlet.ask(&request).await;
        assert_eq!(reply.status(), 501, "{reply:?}");
    }
}

#[tokio::test]
async fn a_fetch_follows_redirects_but_not_for_ever() {
    let archive = tgz("a");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let _server = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let (io, _) = listener.accept().await.unwrap();
            let mut connection = Connection::new(io);
            let head = connection.until("\r\n\r\n").await;
            let mut path = head.split(' ').nth(1).unwrap();
            path = path.strip_prefix("/next/").unwrap_or(path);
            let reply = if let Some(rest) = path.strip_prefix("loop") {
                format!("HTTP/1.1 302 Found\r\nLocation: loop{rest}x\r\nContent-Length: 0\r\n\r\n")
            } else if path == "/here" {
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: next/there\r\nContent-Length: 0\r\n\r\n".into()
            } else if path == "there" {
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                    archive.len()
                )
            } else {
                "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".into()
            };
            connection.send(reply).await;
            if path == "there" {
                connection.send(&archive).await;
            }
        }
    }));
    let buildlet = Buildlet::start(Config::default().fetch(HttpFetch::default())).await;
    let url = |path: &str| post("/writetgz?dir=d", &format!("url={origin}{path}"));
    assert_eq!(buildlet.ask(url("/here")).await.text(), "OK");
    assert_eq!(fs::read(buildlet.path("d/a")).unwrap(), b"x");
    let reply = buildlet.ask(url("/next/loop")).await;
    assert!(
        reply.text().ends_with(": more than 10 redirects\n"),
        "{reply:?}"
    );
    let reply = buildlet.ask(url("/other")).await;
    assert_eq!(
        reply.text(),
        format!("writetgz: fetching provided URL \"{origin}/other\": 500 Internal Server Error\n")
    );
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn an_archive_comes_by_https_from_servers_that_are_believed() {
    use std::sync::Arc;

    use revdial::trust::Trust;
    use tokio_rustls::rustls::RootCertStore;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let config =
        revdial::serve_tls::server_config(ring::default_provider(), vec![made.cert.into()], key);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let archive = tgz("a");
    let _server = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let (io, _) = listener.accept().await.unwrap();
            // Who does not believe us hangs up.
            let Ok(io) = acceptor.accept(io).await else {
                continue;
            };
            let mut connection = Connection::new(io);
            connection.until("\r\n\r\n").await;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                archive.len()
            );
            connection.send(head).await;
            connection.send(&archive).await;
        }
    }));
    let request = post("/writetgz", &format!("url=https://localhost:{port}/"));
    let believed = Trust::from_pem(pem.as_bytes()).unwrap();
    for (trust, believed) in [
        (believed, true),
        (Trust::Roots(RootCertStore::empty()), false),
    ] {
        let tls = trust.client_config(provider.clone()).unwrap();
        let fetch = HttpFetch::new().tls(Arc::new(tls));
        let buildlet = Buildlet::start(Config::default().fetch(fetch)).await;
        let reply = buildlet.ask(&request).await;
        if believed {
            assert_eq!(reply.text(), "OK");
            assert_eq!(fs::read(buildlet.path("a")).unwrap(), b"x");
        } else {
            assert_eq!(reply.status(), 500);
            assert!(reply.text().contains("certificate"), "{reply:?}");
        }
    }
    let buildlet = Buildlet::start(Config::default().fetch(HttpFetch::new())).await;
    let reply = buildlet.ask(&request).await;
    assert!(
        reply
            .text()
            .ends_with("unsupported protocol scheme \"https\"\n"),
        "{reply:?}"
    );
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::default().head_limit(Duration::from_millis(50));
    let server = Server::new(Workdir::open(folder.path()).unwrap(), config).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let prepare = |io: tokio::net::TcpStream| async move {
        std::future::pending::<()>().await;
        Ok(io)
    };
    let call = async {
        let io = tokio::net::TcpStream::connect(address).await.unwrap();
        assert_eq!(Connection::new(io).end().await, b"");
        stop.cancel();
    };
    let connections = buildlet_proto::server::tcp(listener);
    let serve = server.serve_with(connections, prepare, stop.clone());
    let (served, ()) = tokio::join!(serve, call);
    served.unwrap();
}

#[tokio::test]
async fn a_health_port_serves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::default().password("sekret");
    let server = Server::new(Workdir::open(folder.path()).unwrap(), config).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let ask = async {
        let io = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut connection = Connection::new(io);
        for (request, status) in [("/healthz", 200), ("/status", 404), ("/", 404)] {
            connection.send(get(request)).await;
            assert_eq!(connection.reply().await.status(), status, "{request}");
        }
        stop.cancel();
    };
    let connections = buildlet_proto::server::tcp(listener);
    let (served, ()) = tokio::join!(server.serve_health(connections, stop.clone()), ask);
    served.unwrap();
}

#[tokio::test]
async fn one_connection_can_be_served_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new(Workdir::open(folder.path()).unwrap(), Config::default()).unwrap();
    let (ours, theirs) = duplex(1024);
    let client = async {
        let mut connection = Connection::new(ours);
        connection.send(shell("echo hi")).await;
        assert_eq!(connection.reply().await.text(), "hi\n");
    };
    let (served, ()) = tokio::join!(server.serve_connection(theirs), client);
    served.unwrap();
}

#[tokio::test]
async fn a_stop_lets_running_requests_end() {
    let buildlet = Buildlet::start(Config::default()).await;
    let mut idle = buildlet.connect().await;
    idle.send(get("/healthz")).await;
    idle.reply().await;
    let mut busy = buildlet.connect().await;
    busy.send(shell(
        "echo started; while [ ! -e go-on ]; do sleep 0.01; done; echo ended",
    ))
    .await;
    busy.head().await;
    assert_eq!(busy.chunk().await, b"started\n");
    buildlet.stop.cancel();
    assert_eq!(idle.end().await, b"");
    fs::write(buildlet.path("go-on"), "").unwrap();
    assert_eq!(busy.chunk().await, b"ended\n");
    let rest = String::from_utf8(busy.end().await).unwrap();
    assert_eq!(rest, "0\r\nProcess-State: ok\r\n\r\n");
    buildlet.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_cuts_off_what_does_not_end() {
    let buildlet = Buildlet::start(Config::default().grace(Duration::from_millis(50))).await;
    let mut busy = buildlet.connect().await;
    busy.send(shell("echo $$; sleep 60")).await;
    busy.head().await;
    let pid = String::from_utf8(busy.chunk().await).unwrap();
    assert!(!is_gone(&pid));
    buildlet.stop.cancel();
    let error = buildlet.served.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "1 connections had to be cut off");
    eventually("the command is gone", || is_gone(&pid)).await;
    tokio::time::timeout(LIMIT, busy.end()).await.unwrap();
}

#[tokio::test]
async fn the_state_of_the_server_can_be_asked_for() {
    let buildlet = Buildlet::start(Config::default()).await;
    let reply = buildlet.ask(get("/debug/goroutines")).await;
    assert_eq!(
        reply.text(),
        "0 commands, 1 connections, 0 file operations\n"
    );
    let mut duplicate = [0; 1];
    let mut connection = buildlet.connect().await;
    connection.io.shutdown().await.unwrap();
    assert_eq!(connection.io.read(&mut duplicate).await.unwrap(), 0);
}
