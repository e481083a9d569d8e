//! `listener.json`: a Go buildlet at scripted coordinators, and ours at the same.

use std::time::Duration;

use revdial::proto::Message;
use revdial::{Listener, ListenerConfig, RegisterError};
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{ID, case, cases, texts};
use crate::coordinator::{KEY, opener, read_head};

const LISTENER: &str = include_str!("../../data/listener.json");

/// A coordinator that does what a test says: streams as a worker opens them, the first of them its control connection.
struct Script {
    streams: mpsc::UnboundedReceiver<DuplexStream>,
    control: BufReader<DuplexStream>,
    listener: Listener,
}

impl Script {
    async fn begin() -> Self {
        let (opener, mut streams) = opener();
        let registering = opener.register(ListenerConfig::default());
        let mut control = BufReader::new(streams.recv().await.unwrap());
        read_head(&mut control).await;
        control
            .write_all(b"HTTP/0.0 101 Switching Protocols\r\n\r\n")
            .await
            .unwrap();
        Self {
            streams,
            control,
            listener: registering.await.unwrap().unwrap(),
        }
    }

    async fn conn_ready(&mut self, path: &str) {
        let conn_path = path.to_owned();
        let line = Message::ConnReady { conn_path }.encode();
        self.control.write_all(&line).await.unwrap();
    }

    async fn pick_up(&mut self) -> BufReader<DuplexStream> {
        BufReader::new(self.streams.recv().await.unwrap())
    }

    /// What the worker says on the control connection next.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.control.read_line(&mut line).await.unwrap();
        line
    }

    /// Sends a line, and sees whether the session lives on.
    async fn survives(mut self, line: &[u8]) -> bool {
        self.control.write_all(line).await.unwrap();
        self.conn_ready("/after").await;
        tokio::select! {
            Some(_) = self.streams.recv() => true,
            byte = self.control.read_u8() => {
                assert!(byte.is_err(), "the session ends without a word");
                assert!(self.listener.accept().await.is_none());
                false
            }
        }
    }
}

async fn is_closed(stream: &mut BufReader<DuplexStream>) -> bool {
    matches!(stream.read_u8().await, Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof)
}

#[tokio::test(start_paused = true)]
async fn our_listener_asks_in_the_words_of_a_go_buildlet() {
    // The vectors' worker has another name and type, and so another key.
    let expected = texts(
        &case(
            LISTENER,
            "registration request of the Go buildlet (one TLS record)",
        )["records"],
    )[0]
    .replace("my-host", "host-a")
    .replace("9322a0f46b098a3218073b0711fbdccd", KEY)
    .replace("host-linux-bullseye", "test-reverse-dial");
    let (opener, mut streams) = opener();
    let _registering = opener.register(ListenerConfig::default());
    let mut server = streams.recv().await.unwrap();
    let mut request = vec![0; expected.len()];
    server.read_exact(&mut request).await.unwrap();
    assert_eq!(String::from_utf8(request).unwrap(), expected);
    // Nothing follows before the reply.
    assert!(
        timeout(Duration::from_secs(30), server.read_u8())
            .await
            .is_err()
    );

    let mut script = Script::begin().await;
    script
        .conn_ready(&format!("/revdial?revdial.dialer={ID}"))
        .await;
    let expected = texts(&case(LISTENER, "pick-up request of the Go buildlet")["records"]);
    assert_eq!(read_head(&mut script.pick_up().await).await, expected[0]);

    let named = "unknown commands are ignored; JSON escapes in connPath are understood";
    let line = b"{\"command\":\"hello\"}\n{\"command\":\"conn-ready\",\"connPath\":\"\\u002frevdial?a=1\\u0026b=2\"}\n";
    script.control.write_all(line).await.unwrap();
    let expected = texts(&case(LISTENER, named)["records"]);
    assert_eq!(read_head(&mut script.pick_up().await).await, expected[0]);
}

#[tokio::test(start_paused = true)]
async fn our_listener_takes_replies_to_pick_ups_as_a_go_buildlet_does() {
    let unknown_dialer = "HTTP/1.1 400 Bad Request\r\nContent-Length: 15\r\n\r\nunknown dialer\n";
    let again = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n";
    let names = [
        "pick-up answered 400",
        "pick-up 307 relative",
        "pick-up 307 absolute URL",
        "pick-up 307 scheme-relative",
        "pick-up 307 without Location",
        "pick-up 302",
        "pick-up 200",
        "pick-up 100 then 101",
        "pick-up HTTP/2.0 101",
        "pick-up garbage",
        "two redirects in a row",
        "pick-up closed without an answer",
    ];
    for name in names {
        let case = case(LISTENER, name);
        let reply = match name {
            "pick-up answered 400" => unknown_dialer,
            "two redirects in a row" => again,
            "pick-up closed without an answer" => "",
            _ => case["pickup_response"].as_str().unwrap(),
        };
        let mut script = Script::begin().await;
        script.conn_ready("/revdial?revdial.dialer=0").await;
        let mut pickup = script.pick_up().await;
        read_head(&mut pickup).await;
        pickup.write_all(reply.as_bytes()).await.unwrap();
        if reply.is_empty() {
            drop(pickup);
        } else {
            let mut then = texts(&case["then_from_buildlet_on_pickup"]);
            then.extend(texts(
                &case["first_redirect_followed_on_the_same_connection"],
            ));
            then.extend(texts(&case["pickup"]));
            for record in then {
                if record == "<EOF>" {
                    assert!(is_closed(&mut pickup).await, "{name}");
                } else {
                    assert_eq!(read_head(&mut pickup).await, record, "{name}");
                    let next = if name == "two redirects in a row" {
                        again
                    } else {
                        "HTTP/0.0 101 .\r\n\r\n"
                    };
                    pickup.write_all(next.as_bytes()).await.unwrap();
                }
            }
        }
        // The first line of this case belongs to the case before it, as the file says.
        let lines = texts(&case["control_from_buildlet"])
            .split_off(usize::from(name == "pick-up 307 absolute URL"));
        let Some(expected) = lines.first() else {
            assert!(script.listener.accept().await.is_some(), "{name}");
            continue;
        };
        let (ours, expected) = (script.line().await, expected.as_str());
        if name == "pick-up 307 without Location" {
            // Upstream prints its whole reply structure between these two.
            let ours = Message::decode(ours.as_bytes()).unwrap();
            let Message::PickupFailed { error, .. } = ours else {
                panic!("{ours:?}")
            };
            assert!(
                error.starts_with("switch failed: redirect missing Location header; got "),
                "{error}"
            );
            assert!(error.ends_with(":\n\tabc"), "{error}");
        } else {
            assert_eq!(ours, expected, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn our_listener_tolerates_the_lines_that_a_go_buildlet_does() {
    let of_length =
        |len: usize| format!("{{\"command\":\"x\",\"y\":\"{}\"}}\n", "y".repeat(len - 23));
    for (name, line) in [
        ("line of 4096 bytes with newline", of_length(4096)),
        ("line of 4097 bytes with newline", of_length(4097)),
        ("empty line", "\n".into()),
        ("JSON array", "[]\n".into()),
        ("JSON null", "null\n".into()),
        ("wrong type", "{\"command\":1}\n".into()),
        ("upper-case keys", "{\"COMMAND\":\"keep-alive\"}\n".into()),
        ("CRLF", "{\"command\":\"keep-alive\"}\r\n".into()),
        (
            "leading and trailing blanks",
            "  {\"command\":\"keep-alive\"}  \n".into(),
        ),
        (
            "two objects on a line",
            "{\"command\":\"keep-alive\"}{\"command\":\"keep-alive\"}\n".into(),
        ),
        (
            "duplicate key",
            "{\"command\":\"x\",\"command\":\"keep-alive\"}\n".into(),
        ),
        ("line that is not JSON", "xyz\n".into()),
    ] {
        let case = case(LISTENER, name);
        if let Some(length) = case["length"].as_u64() {
            assert!(
                length.abs_diff(line.len() as u64) <= 1,
                "{name}: {} bytes",
                line.len()
            );
        }
        let survives = case["still_works"].as_bool().unwrap_or(false);
        assert_eq!(
            Script::begin().await.survives(line.as_bytes()).await,
            survives,
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn our_listener_reads_lines_however_they_come() {
    assert_eq!(
        case(LISTENER, "several control lines in one record")["result"],
        "both picked up"
    );
    assert_eq!(case(LISTENER, "two conn-ready give two pick-ups")["n"], 2);
    let mut script = Script::begin().await;
    let line = Message::ConnReady {
        conn_path: "/a".into(),
    }
    .encode();
    script.control.write_all(&line.repeat(2)).await.unwrap();
    let _both = (script.pick_up().await, script.pick_up().await);

    assert_eq!(
        case(LISTENER, "control line split over records")["result"],
        "picked up"
    );
    for byte in &line {
        script.control.write_u8(*byte).await.unwrap();
        tokio::task::yield_now().await;
    }
    let _third = script.pick_up().await;

    assert_eq!(
        case(LISTENER, "control connection closed: process ends")["exit_code"],
        0
    );
    drop(script.control);
    assert!(script.listener.accept().await.is_none());
    let end = script.listener.end().unwrap().to_string();
    assert_eq!(end, "session closed by the peer");
}

/// Here ours differs: a Go buildlet loses these bytes.
#[tokio::test(start_paused = true)]
async fn our_listener_keeps_what_comes_together_with_a_101() {
    assert_eq!(
        case(LISTENER, "101 and conn-ready in ONE TLS record")["result"],
        "never picked up: the message is lost"
    );
    let lost = "never answered: the request is lost";
    assert_eq!(
        case(LISTENER, "pick-up: 101 and HTTP request in ONE TLS record")["result"],
        lost
    );
    // The test of it, over every transport, is in `early_bytes`.
}

/// Here ours differs: a Go buildlet requests most of these, as far as they can be, and is crashed by the last one.
#[tokio::test(start_paused = true)]
async fn our_listener_reports_paths_that_are_none() {
    for (name, path) in [
        ("connPath empty", ""),
        ("connPath without slash", "abc"),
        ("connPath absolute URL", "http://other.example/p?q"),
        ("connPath that is not a valid URL", "/%zz"),
    ] {
        case(LISTENER, name);
        let mut script = Script::begin().await;
        script.conn_ready(path).await;
        let line = script.line().await;
        let Ok(Message::PickupFailed { conn_path, error }) = Message::decode(line.as_bytes())
        else {
            panic!("{name}: {line}");
        };
        assert_eq!(conn_path.unwrap_or_default(), path, "{name}");
        assert!(error.starts_with("path "), "{name}: {error}");
        assert!(script.survives(b"{}\n").await, "{name}");
    }
    let expected = texts(&case(LISTENER, "connPath with fragment and space")["records"]);
    let mut script = Script::begin().await;
    script.conn_ready("/a b#c").await;
    assert_eq!(read_head(&mut script.pick_up().await).await, expected[0]);
}

#[tokio::test(start_paused = true)]
async fn a_pick_up_that_cannot_connect_is_reported_with_its_path() {
    let expected = texts(&case(LISTENER, "pick-up TLS hand-shake fails")["control_from_buildlet"]);
    let expected = Message::decode(expected[0].as_bytes()).unwrap();
    let Message::PickupFailed {
        conn_path: Some(path),
        ..
    } = expected
    else {
        panic!("{expected:?}")
    };
    let (opener, mut streams) = opener();
    let listening = opener.register(ListenerConfig::default());
    let mut control = BufReader::new(streams.recv().await.unwrap());
    // From now on connections are refused.
    drop(streams);
    read_head(&mut control).await;
    control.write_all(b"HTTP/0.0 101 .\r\n\r\n").await.unwrap();
    let _listener = listening.await.unwrap().unwrap();
    control
        .write_all(
            &Message::ConnReady {
                conn_path: path.clone(),
            }
            .encode(),
        )
        .await
        .unwrap();
    let mut line = String::new();
    control.read_line(&mut line).await.unwrap();
    let expected = Message::PickupFailed {
        conn_path: Some(path),
        error: "cannot connect to the coordinator: connection refused".into(),
    };
    assert_eq!(Message::decode(line.as_bytes()), Ok(expected));
}

#[tokio::test(start_paused = true)]
async fn registrations_fail_with_upstreams_words() {
    let chain = |error: &RegisterError| {
        let source = std::error::Error::source(error);
        source.map_or(error.to_string(), |source| format!("{error}: {source}"))
    };
    let twice =
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: /new/place\r\nContent-Length: 0\r\n\r\n";
    for (name, replies, is_final) in [
        (
            "registration answered 412",
            &["HTTP/1.1 412 Precondition Failed\r\nContent-Length: 17\r\n\r\ninvalid build key"][..],
            true,
        ),
        ("registration answered 307 twice", &[twice, twice], false),
        (
            "registration 200",
            &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"],
            false,
        ),
        ("registration closed", &[], false),
    ] {
        let case = case(LISTENER, name);
        let (opener, mut streams) = opener();
        let registering = opener.register(ListenerConfig::default());
        let mut server = BufReader::new(streams.recv().await.unwrap());
        let mut requests = Vec::new();
        for reply in replies {
            requests.push(read_head(&mut server).await);
            server.write_all(reply.as_bytes()).await.unwrap();
        }
        if replies.is_empty() {
            read_head(&mut server).await;
            drop(server);
        }
        let error = registering.await.unwrap().unwrap_err();
        let log = case["log"].as_str().unwrap();
        let expected = log.split_once("Error dialing server: ").unwrap().1;
        assert_eq!(chain(&error), expected, "{name}");
        assert_eq!(error.is_final(), is_final, "{name}");
        if let Some(second) = texts(&case["second_request"]).first() {
            let (_, headers) = second.split_once("\r\n").unwrap();
            assert!(requests[1].starts_with("GET /new/place HTTP/1.1\r\n"));
            assert_eq!(requests[1].lines().count(), headers.lines().count() + 1);
        }
    }
}

#[test]
fn every_case_of_the_listeners_file_has_a_test() {
    // All but the two about a buildlet's HTTP server, which this crate has none of.
    let of_the_server = [
        "HTTP request sent over the pick-up connection is answered by the buildlet",
        "healthz on the health address",
    ];
    let source = include_str!("listener.rs");
    for case in cases(LISTENER) {
        let name = case["name"].as_str().unwrap();
        let is_ours = source.matches(&format!("\"{name}\"")).count() > 0;
        assert!(
            is_ours,
            "{name:?} is neither tested nor left out by name: {of_the_server:?}"
        );
    }
}
