//! What upstream's programs sent and answered, replayed against ours.
//!
//! The session's HTTP requests are replayed by the crate `buildlet-proto`; keys are its affair, too.

use std::sync::Arc;
use std::time::Duration;

use revdial::proto::{Claim, ConnPath, Flavor, Message, PickupPath, Refusal, Routes, Worker};
use revdial::{
    AcceptError, Accepted, Arrival, Connection, DialError, Dialer, DialerConfig, FrontDoor,
    FrontDoorConfig, Listener, ListenerConfig, PickupRegistry, RegisterError, SessionEnd,
};
use serde_json::Value;
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::coordinator::{KEY, check_key, registration};

const REPLIES: &str = include_str!("../data/coordinator_replies.json");
const DIALER: &str = include_str!("../data/dialer.json");
const LISTENER: &str = include_str!("../data/listener.json");
const SESSION: &str = include_str!("../data/session.json");
const V1: &str = include_str!("../data/v1.json");

const ID: &str = "00112233445566778899aabbccddeeff";

fn cases(file: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn case(file: &str, name: &str) -> Value {
    let found = cases(file).into_iter().find(|case| case["name"] == name);
    found.unwrap_or_else(|| panic!("no case {name:?}"))
}

fn texts(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten();
    texts
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

/// Status and body of an HTTP reply.
fn status_and_body(reply: &str) -> (&str, &str) {
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (&head[9..12], body)
}

// ---- coordinator_replies.json

/// The server of the vectors: a coordinator's paths, a gomote server's under `/rdv`, and a redirect.
fn door() -> FrontDoor {
    let routes = Routes::default()
        .registration("/rdv/reverse", Flavor::Gomote)
        .and_then(|routes| routes.redirect("/redir/reverse", "/reverse"))
        .unwrap();
    let config = FrontDoorConfig::default().routes(routes);
    let authorize = |claim: &Claim| match claim.worker() {
        Worker::Gomote { id, .. } if id != "gomote-1" => Err(Refusal::NOT_EXPECTED),
        Worker::Gomote { token, .. } if token != "good" => Err(Refusal::INVALID_TOKEN),
        Worker::Gomote { .. } => Ok(()),
        _ => check_key(claim),
    };
    FrontDoor::new(config, PickupRegistry::new(), authorize).unwrap()
}

#[tokio::test(start_paused = true)]
async fn our_coordinator_answers_every_request_as_upstreams_does() {
    let cases = cases(REPLIES);
    assert_eq!(cases.len(), 24);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let door = door();
        let (mut peer, io) = duplex(1 << 16);
        peer.write_all(case["request"].as_str().unwrap().as_bytes())
            .await
            .unwrap();
        let arrival = if case["tls"] == true {
            Arrival::tls(io)
        } else {
            Arrival::plain(io)
        };
        let accepting = tokio::spawn(async move { door.accept(arrival).await });
        let theirs = texts(&case["response_records"])
            .concat()
            .replace("<EOF>", "");
        if theirs.starts_with("HTTP/0.0 101") {
            let Ok(Accepted::Registered(worker)) = accepting.await.unwrap() else {
                panic!("{name}: not registered");
            };
            let expected = texts(&case["response_records"])[2..].concat();
            let id = worker.dialer.id().to_string();
            let dialing = tokio::spawn(async move { worker.dialer.dial().await });
            // Ours says HTTP/1.1 where theirs says HTTP/0.0; what follows is the same but for the id.
            let mut lines = BufReader::new(peer).lines();
            let mut next = async || lines.next_line().await.unwrap().unwrap();
            assert_eq!(next().await, "HTTP/1.1 101 Switching Protocols", "{name}");
            assert_eq!(next().await, "", "{name}");
            let ours = [next().await, next().await, next().await, String::new()].join("\n");
            let their_id = expected.split_once("dialer=").unwrap().1[..32].to_owned();
            assert_eq!(ours, expected.replace(&their_id, &id), "{name}");
            dialing.abort();
            continue;
        }
        if name == "redirect" {
            // Ours goes on with the same connection by itself; the body is for browsers.
            let mut head = vec![0; 72];
            peer.read_exact(&mut head).await.unwrap();
            let head = String::from_utf8(head).unwrap();
            assert!(
                head.starts_with("HTTP/1.1 307 Temporary Redirect\r\nLocation: /reverse\r\n"),
                "{head}"
            );
            drop(peer);
            assert!(matches!(
                accepting.await.unwrap(),
                Err(AcceptError::PeerClosed)
            ));
            continue;
        }
        let mut ours = String::new();
        peer.read_to_string(&mut ours).await.unwrap();
        assert_eq!(status_and_body(&ours), status_and_body(&theirs), "{name}");
        for header in [
            "Content-Type: text/plain; charset=utf-8\r\n",
            "X-Content-Type-Options: nosniff\r\n",
            "Allow: GET\r\n",
        ] {
            let is_wanted = theirs.contains(header);
            assert!(!is_wanted || ours.contains(header), "{name}: {header}");
        }
        assert!(
            matches!(accepting.await.unwrap(), Err(AcceptError::Refused(_))),
            "{name}"
        );
    }
}

// ---- listener.json

/// A coordinator that does what a test says: streams as a worker opens them, the first of them its control connection.
struct Script {
    streams: mpsc::UnboundedReceiver<DuplexStream>,
    control: BufReader<DuplexStream>,
    listener: Listener,
}

impl Script {
    async fn begin() -> Self {
        let (opening, mut streams) = mpsc::unbounded_channel();
        let connector = move || {
            let (worker, server) = duplex(1 << 16);
            opening.send(server).unwrap();
            std::future::ready(Ok(worker))
        };
        let registering = tokio::spawn(Listener::register(
            connector,
            registration(),
            ListenerConfig::default(),
        ));
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

async fn read_head(stream: &mut BufReader<DuplexStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(
            stream.read_line(&mut head).await.unwrap(),
            0,
            "ends within {head:?}"
        );
    }
    head
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
    let (mut server, worker) = duplex(1 << 16);
    let worker = Arc::new(std::sync::Mutex::new(Some(worker)));
    let connector = move || std::future::ready(Ok(worker.lock().unwrap().take().unwrap()));
    let _registering = tokio::spawn(Listener::register(
        connector,
        registration(),
        ListenerConfig::default(),
    ));
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
    script.pick_up().await;

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
    let (server, worker) = duplex(1 << 16);
    let worker = Arc::new(std::sync::Mutex::new(Some(worker)));
    let connector = move || {
        let first = worker.lock().unwrap().take();
        std::future::ready(first.ok_or_else(|| std::io::ErrorKind::ConnectionReset.into()))
    };
    let listening = tokio::spawn(Listener::register(
        connector,
        registration(),
        ListenerConfig::default(),
    ));
    let mut control = BufReader::new(server);
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
        error: "cannot connect to the coordinator: connection reset".into(),
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
        let (server, worker) = duplex(1 << 16);
        let worker = Arc::new(std::sync::Mutex::new(Some(worker)));
        let connector = move || std::future::ready(Ok(worker.lock().unwrap().take().unwrap()));
        let registering = tokio::spawn(Listener::register(
            connector,
            registration(),
            ListenerConfig::default(),
        ));
        let mut server = BufReader::new(server);
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
    let source = include_str!("vectors.rs");
    for case in cases(LISTENER) {
        let name = case["name"].as_str().unwrap();
        let is_ours = source.matches(&format!("\"{name}\"")).count() > 0;
        assert!(
            is_ours,
            "{name:?} is neither tested nor left out by name: {of_the_server:?}"
        );
    }
}

// ---- dialer.json

/// A dialer of ours, whose listener is the test.
struct Scripted {
    registry: PickupRegistry,
    dialer: Dialer,
    control: BufReader<DuplexStream>,
}

impl Scripted {
    fn begin(path: &str) -> Self {
        let registry = PickupRegistry::new();
        let (control, ours) = duplex(1 << 16);
        let id = revdial::proto::DialerId::parse(ID).unwrap();
        let path = PickupPath::new(path).unwrap();
        let dialer = Dialer::new(ours, &path, id, &registry, DialerConfig::default()).unwrap();
        Self {
            registry,
            dialer,
            control: BufReader::new(control),
        }
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.control.read_line(&mut line).await.unwrap();
        line
    }

    /// Begins a dial, and waits until the listener is asked.
    async fn dial(
        &mut self,
        limit: Duration,
    ) -> tokio::task::JoinHandle<Result<Connection, DialError>> {
        let dialer = self.dialer.clone();
        let dialing = tokio::spawn(async move { dialer.dial_within(limit).await });
        while !self.line().await.contains("conn-ready") {}
        dialing
    }

    fn deliver(&self) -> DuplexStream {
        let (theirs, ours) = duplex(1024);
        self.registry
            .deliver(self.dialer.id(), Connection::new(ours))
            .unwrap();
        theirs
    }
}

const SOON: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn a_pick_up_that_failed_is_the_error_of_the_dial_that_waits() {
    let case = case(
        DIALER,
        "pickup-failed becomes the error of the waiting dial",
    );
    let mut peer = Scripted::begin("/revdial");
    let dialing = peer.dial(SOON).await;
    let line = case["control_line_from_buildlet"].as_str().unwrap();
    peer.control
        .write_all(format!("{line}\n").as_bytes())
        .await
        .unwrap();
    let error = dialing.await.unwrap().unwrap_err().to_string();
    assert!(
        case["error_of_the_http_call"]
            .as_str()
            .unwrap()
            .ends_with(&error),
        "{error}"
    );
    assert_eq!(case["client_marked_broken"], false);
    assert!(!peer.dialer.is_closed());
}

#[tokio::test(start_paused = true)]
async fn lines_that_are_none_end_the_session_and_unknown_commands_do_not() {
    for (name, line, lives) in [
        ("line that is not JSON", "xyz\n".to_owned(), false),
        (
            "line over 4096 bytes with its newline",
            format!("{}{{}}\n", " ".repeat(4094)),
            false,
        ),
        (
            "unknown command",
            "{\"command\":\"hello\"}\n".to_owned(),
            true,
        ),
    ] {
        let case = case(DIALER, name);
        assert_eq!(case["result"] == "ignored, connection stays", lives);
        let mut peer = Scripted::begin("/revdial");
        peer.control.write_all(line.as_bytes()).await.unwrap();
        if lives {
            let dialing = peer.dial(SOON).await;
            peer.deliver();
            dialing.await.unwrap().unwrap();
        } else {
            assert!(
                matches!(peer.dialer.closed().await, SessionEnd::Protocol(_)),
                "{name}"
            );
            assert!(peer.registry.is_empty());
        }
    }
}

/// Here ours differs: with upstream's dialer, the next dial fails with the text that nobody waited for.
#[tokio::test(start_paused = true)]
async fn a_failure_that_nobody_waits_for_is_forgotten() {
    let case = case(DIALER, "pickup-failed while nobody dials");
    let mut peer = Scripted::begin("/revdial");
    let line = case["control_line_from_buildlet"].as_str().unwrap();
    peer.control
        .write_all(format!("{line}\n").as_bytes())
        .await
        .unwrap();
    let dialing = peer.dial(SOON).await;
    peer.deliver();
    dialing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_gave_up_leaves_its_connection_to_the_next() {
    let case = case(DIALER, "dial whose context ends after conn-ready");
    assert!(
        case["result"]
            .as_str()
            .unwrap()
            .contains("handed to the next dial")
    );
    let mut peer = Scripted::begin("/revdial");
    let dialing = peer.dial(Duration::from_secs(1)).await;
    assert!(matches!(
        dialing.await.unwrap(),
        Err(DialError::TimedOut { .. })
    ));
    let mut theirs = peer.deliver();
    theirs.write_all(b"!").await.unwrap();
    let mut conn = peer.dialer.dial().await.unwrap();
    assert_eq!(conn.read_u8().await.unwrap(), b'!');
}

#[tokio::test(start_paused = true)]
async fn a_dial_on_a_closed_dialer_fails_with_upstreams_words() {
    let case = case(DIALER, "dial on a closed dialer");
    let peer = Scripted::begin("/revdial");
    peer.dialer.close().await;
    let error = peer.dialer.dial().await.unwrap_err();
    assert_eq!(error.to_string(), case["error"].as_str().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_pick_up_path_may_have_a_query() {
    let case = case(DIALER, "connPath that has a query");
    let mut peer = Scripted::begin(case["dialer_path"].as_str().unwrap());
    let _dialing = tokio::spawn({
        let dialer = peer.dialer.clone();
        async move { dialer.dial().await }
    });
    for expected in texts(&case["control_lines"]) {
        assert_eq!(
            peer.line().await,
            expected.replace("48594f23e6936107534fa533c8f337b2", ID)
        );
    }
}

// ---- session.json, v1.json

#[tokio::test(start_paused = true)]
async fn the_session_of_upstreams_programs_is_understood_by_both_our_ends() {
    let session: Value = serde_json::from_str(SESSION).unwrap();
    let events = session["events"].as_array().unwrap();
    let records = |conn: &str, from: &str| -> Vec<String> {
        let of_it = events
            .iter()
            .filter(|event| event["conn"] == conn && event["from"] == from);
        of_it
            .map(|event| event["record"].as_str().unwrap().to_owned())
            .collect()
    };
    let id = "7c2fbbc78d5df8f7b5db60ac77235f32";

    // Their worker at our coordinator: it is registered, and each pick-up gets a dial's stream.
    let door = door();
    let (mut control, io) = duplex(1 << 16);
    control
        .write_all(records("control", "buildlet")[0].as_bytes())
        .await
        .unwrap();
    let Ok(Accepted::Registered(worker)) = door.accept(Arrival::tls(io)).await else {
        panic!("not registered")
    };
    assert!(
        matches!(worker.claim.worker(), Worker::Buildlet { host_type, version, .. } if host_type == "test-reverse-dial" && version == "29")
    );
    let our_id = worker.dialer.id().to_string();
    for number in 1..=7 {
        let pickup = format!("pickup-{number}");
        let dialing = tokio::spawn({
            let dialer = worker.dialer.clone();
            async move { dialer.dial().await }
        });
        tokio::task::yield_now().await;
        let [request, rest @ ..] = &records(&pickup, "buildlet")[..] else {
            panic!("no request")
        };
        let (mut theirs, io) = duplex(1 << 16);
        theirs
            .write_all(request.replace(id, &our_id).as_bytes())
            .await
            .unwrap();
        assert!(matches!(
            door.accept(Arrival::tls(io)).await,
            Ok(Accepted::PickedUp)
        ));
        theirs.write_all(rest.concat().as_bytes()).await.unwrap();
        theirs.shutdown().await.unwrap();
        let mut answers = String::new();
        dialing
            .await
            .unwrap()
            .unwrap()
            .read_to_string(&mut answers)
            .await
            .unwrap();
        assert_eq!(answers, rest.concat());
    }
    let lines = records("control", "coordinator")[2..].concat();
    let conn_ready = lines.matches("conn-ready").count();
    assert_eq!(conn_ready, 7);
    let mut ours = vec![0; lines.len()];
    control.read_exact(&mut ours[..36]).await.unwrap();
    control.read_exact(&mut ours).await.unwrap();
    assert_eq!(String::from_utf8(ours).unwrap(), lines.replace(id, &our_id));

    // Their coordinator at our worker: record by record, and every stream brings what they sent.
    let (opening, mut streams) = mpsc::unbounded_channel();
    let connector = move || {
        let (worker, server) = duplex(1 << 16);
        opening.send(server).unwrap();
        std::future::ready(Ok(worker))
    };
    let listening = tokio::spawn(Listener::register(
        connector,
        registration(),
        ListenerConfig::default(),
    ));
    let mut control = BufReader::new(streams.recv().await.unwrap());
    assert_eq!(
        read_head(&mut control).await,
        records("control", "buildlet")[0]
    );
    let mut from_coordinator = records("control", "coordinator").into_iter();
    for record in from_coordinator.by_ref().take(2) {
        control.write_all(record.as_bytes()).await.unwrap();
    }
    let mut listener = listening.await.unwrap().unwrap();
    for record in from_coordinator {
        control.write_all(record.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
    }
    for number in 1..=7 {
        let pickup = format!("pickup-{number}");
        let mut theirs = BufReader::new(streams.recv().await.unwrap());
        assert_eq!(
            read_head(&mut theirs).await,
            records(&pickup, "buildlet")[0]
        );
        let sent: Vec<_> = records(&pickup, "coordinator")
            .into_iter()
            .filter(|record| record != "<EOF>")
            .collect();
        for record in &sent {
            theirs.write_all(record.as_bytes()).await.unwrap();
        }
        theirs.shutdown().await.unwrap();
        let mut requests = String::new();
        listener
            .accept()
            .await
            .unwrap()
            .read_to_string(&mut requests)
            .await
            .unwrap();
        assert_eq!(requests, sent[2..].concat());
    }
    assert_eq!(
        ConnPath::parse(&format!("/revdial?revdial.dialer={id}"))
            .unwrap()
            .path(),
        "/revdial"
    );
}

/// Version 1 is history: what announces it is refused, and its frames are no control lines.
#[tokio::test(start_paused = true)]
async fn version_1_is_refused() {
    let case = case(REPLIES, "reverse: no X-Revdial-Version");
    let (mut peer, io) = duplex(1 << 16);
    peer.write_all(case["request"].as_str().unwrap().as_bytes())
        .await
        .unwrap();
    let Err(AcceptError::Refused(refusal)) = door().accept(Arrival::tls(io)).await else {
        panic!("let in")
    };
    assert_eq!(
        (refusal.status(), refusal.body()),
        (400, "buildlet binary is too old\n")
    );

    let frames: Value = serde_json::from_str(V1).unwrap();
    for frame in frames["frames"].as_array().unwrap() {
        let hex = frame["hex"].as_str().unwrap();
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        // As the documentation of `proto` has it: kind, number, length, payload.
        assert!(b"NWC".contains(&bytes[0]));
        assert_ne!(u32::from_be_bytes(bytes[1..5].try_into().unwrap()), 0);
        assert_eq!(
            usize::from(u16::from_be_bytes(bytes[5..7].try_into().unwrap())),
            bytes.len() - 7
        );
        assert!(Message::decode(&bytes).is_err());
    }
}
