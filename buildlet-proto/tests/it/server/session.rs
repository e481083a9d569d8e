//! A whole session of an upstream coordinator, its records replayed one by one.

use std::collections::BTreeMap;

use buildlet_proto::server::{Config, LocalSshd};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::{Buildlet, Connection, Reply, write};
use crate::data::vectors;

#[derive(Deserialize)]
struct Session {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    conn: String,
    from: String,
    /// What one read gave.
    record: String,
}

/// The requests of each pick-up connection, in their order, as the records that they came in.
fn pickups() -> BTreeMap<String, Vec<String>> {
    let mut pickups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in vectors::<Session>("session").events {
        let http = event.conn.starts_with("pickup") && event.from == "coordinator";
        // The first two are the reply to the pick-up itself.
        if http && event.record != "\r\n" && !event.record.starts_with("HTTP/0.0") {
            pickups.entry(event.conn).or_default().push(event.record);
        }
    }
    pickups
}

#[tokio::test]
async fn a_session_of_an_upstream_coordinator_is_served_record_by_record() {
    let sshd = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let config = Config::default()
        .environment([("PATH", "/usr/bin:/bin")])
        .ssh(Sshd {
            target: LocalSshd::new(sshd.local_addr().unwrap().port()),
            home: home.path().to_owned(),
        });
    let buildlet = Buildlet::start(config).await;
    let workdir = buildlet.workdir.to_str().unwrap().to_owned();
    let _ssh = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
        let (mut io, _) = sshd.accept().await.unwrap();
        io.write_all(b"SSH-2.0-fake\r\n").await.unwrap();
    }));

    let mut targets = Vec::new();
    for (name, records) in pickups() {
        let mut connection = buildlet.connect().await;
        for record in records {
            if record == "<EOF>" {
                break;
            }
            let request = record.split(" HTTP/1.1").next().unwrap().to_owned();
            // What the peer that recorded the session made up.
            write(
                buildlet.path("go/bin/x"),
                "#!/bin/sh\necho \"$1|$2|$K|$PATH\"\nexit 2\n",
                0o755,
            );
            std::fs::create_dir_all(buildlet.path("d")).unwrap();
            connection.send(record).await;
            if request == "POST /connect-ssh" {
                assert_ssh(&mut connection).await;
            } else {
                let reply = connection.reply().await;
                assert_answer(&request, &reply, &workdir);
            }
            targets.push(format!("{name} {request}"));
        }
    }
    assert_eq!(targets.len(), 16, "{targets:#?}");
    let keys = std::fs::read_to_string(home.path().join(".ssh/authorized_keys")).unwrap();
    assert_eq!(keys, "ssh-ed25519 AAAA x\n");
}

async fn assert_ssh(connection: &mut Connection<TcpStream>) {
    let expected = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: ssh\r\nConnection: Upgrade\r\n\r\n\
                    SSH-2.0-fake\r\n";
    assert_eq!(connection.end().await, expected.as_bytes());
}

fn assert_answer(request: &str, reply: &Reply, workdir: &str) {
    let status = match request {
        // Not fetched from anywhere, and not there.
        "POST /writetgz?dir=go" => 501,
        // `tgz-bytes` are none.
        "PUT /writetgz?dir=" => 400,
        _ => 200,
    };
    assert_eq!(reply.status(), status, "{request}: {reply:?}");
    let mut trailers = Vec::new();
    match request {
        "GET /status" => {
            let status: Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(status["Version"], 29);
        }
        "GET /workdir" => assert_eq!(reply.text(), workdir),
        "POST /exec" if reply.text().contains(":: Running") => {
            let (running, output) = reply.text().split_once("\n\n").unwrap();
            let args = format!("with args [\"{workdir}/go/bin/x\" \"a b\" \"&\"] and env [");
            assert!(running.contains(&args), "{running}");
            assert_eq!(output, format!("a b|&|v|{workdir}/b:/usr/bin:/bin\n"));
            trailers.push(("Process-State".to_owned(), "exit status 2".to_owned()));
        }
        "POST /exec" => {
            assert_eq!(reply.text(), "");
            trailers.push(("Process-State".to_owned(), "ok".to_owned()));
        }
        "PUT /write?mode=493&path=a%2Fb+c" => assert_eq!(reply.text(), "OK"),
        "GET /tgz?dir=go" => assert_eq!(reply.body[..2], [0x1f, 0x8b]),
        request if request.starts_with("GET /ls") => {
            assert!(reply.text().contains("\tbin/x\t"), "{reply:?}");
        }
        _ => {}
    }
    assert_eq!(reply.trailers, trailers, "{request}");
}

/// The machine's sshd, for a user with this home.
struct Sshd {
    target: LocalSshd,
    home: std::path::PathBuf,
}

#[async_trait::async_trait]
impl buildlet_proto::server::SshTarget for Sshd {
    async fn authorize(
        &self,
        user: &str,
        line: &str,
    ) -> Result<(), buildlet_proto::server::SshError> {
        assert_eq!(user, "gopher");
        Ok(buildlet_proto::ssh_gate::authorize_in(&self.home, line)?)
    }

    async fn connect(&self) -> std::io::Result<buildlet_proto::server::SshSession> {
        self.target.connect().await
    }
}
