//! What the front door takes over, hands on, refuses and gives up.

use std::time::Duration;

use revdial::proto::{Claim, DialerId, Flavor, MAX_HEAD_BYTES, Refusal, Routes};
use revdial::{
    AcceptError, Accepted, Arrival, Authorize, Authorizing, ConfigError, FrontDoor,
    FrontDoorConfig, FrontDoorError, PickupRegistry,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::coordinator::{KEY, check_key};

const SECOND: Duration = Duration::from_secs(1);

fn door(config: FrontDoorConfig) -> FrontDoor {
    FrontDoor::new(config, PickupRegistry::new(), check_key).unwrap()
}

/// A registration, with these values instead of the usual ones.
fn reverse(host_name: &str, host_type: &str, key: &str) -> String {
    format!(
        "GET /reverse HTTP/1.1\r\nHost: \r\nX-Go-Builder-Hostname: {host_name}\r\nX-Go-Builder-Key: {key}\r\n\
         X-Go-Builder-Version: 29\r\nX-Go-Host-Type: {host_type}\r\nX-Revdial-Version: 2\r\n\r\n"
    )
}

/// What the door makes of a connection that sends this and waits; and the peer's end of it.
async fn accept(
    door: &FrontDoor,
    request: &str,
) -> (Result<Accepted<DuplexStream>, AcceptError>, DuplexStream) {
    let (mut peer, io) = duplex(1 << 17);
    peer.write_all(request.as_bytes()).await.unwrap();
    (door.accept(Arrival::tls(io)).await, peer)
}

async fn refusal(door: &FrontDoor, request: &str) -> (u16, String) {
    match accept(door, request).await.0 {
        Err(AcceptError::Refused(refusal)) => (refusal.status(), refusal.body().to_owned()),
        other => panic!("{request:?}: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_not_revdials_is_handed_on_from_its_first_byte() {
    let door = door(FrontDoorConfig::default());
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(MAX_HEAD_BYTES));
    for start in [
        "GET / HTTP/1.1\r\n",
        "GET /reverse/more HTTP/1.1\r\n",
        "GET /revdialer?revdial.dialer=0 HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /api HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "SSH-2.0-Go\r\n",
        "\r\n",
        "GET /reverse HTTP/2.0\r\n\r\n",
        &long,
    ] {
        let (accepted, mut peer) = accept(&door, start).await;
        let Ok(Accepted::Other(mut stream)) = accepted else {
            panic!("{start}: {accepted:?}")
        };
        peer.write_all(b" and the rest").await.unwrap();
        peer.shutdown().await.unwrap();
        let mut seen = String::new();
        stream.read_to_string(&mut seen).await.unwrap();
        assert_eq!(seen, format!("{start} and the rest"));
        stream.write_all(b"an answer").await.unwrap();
        let mut answer = [0; 9];
        peer.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"an answer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_may_come_byte_by_byte() {
    let door = door(FrontDoorConfig::default());
    for (request, is_worker) in [
        (reverse("host-a", "test", KEY), true),
        ("GET /x HTTP/1.1\r\n".to_owned(), false),
    ] {
        let (mut peer, io) = duplex(1);
        let accepting = tokio::spawn({
            let door = door.clone();
            async move { door.accept(Arrival::tls(io)).await }
        });
        let reading = tokio::spawn(async move {
            for byte in request.as_bytes() {
                peer.write_u8(*byte).await.unwrap();
            }
            let _ = peer.read_u8().await;
            let mut rest = Vec::new();
            let _ = peer.read_to_end(&mut rest).await;
        });
        let accepted = accepting.await.unwrap().unwrap();
        assert_eq!(matches!(accepted, Accepted::Registered(_)), is_worker);
        drop(accepted);
        reading.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn names_that_do_not_fit_in_urls_and_on_pages_are_refused() {
    let door = door(FrontDoorConfig::default());
    for name in [
        "a b",
        "a%20b",
        "<script>",
        "a/b",
        "host:80",
        "é",
        "user@host",
        &"x".repeat(254),
    ] {
        let expected = (400, "invalid X-Go-Builder-Hostname header\n".to_owned());
        assert_eq!(
            refusal(&door, &reverse(name, "test", KEY)).await,
            expected,
            "{name}"
        );
    }
    for host_type in ["a b", "<script>", "a&b", "é", &"x".repeat(129)] {
        let expected = (400, "invalid X-Go-Host-Type header\n".to_owned());
        assert_eq!(
            refusal(&door, &reverse("host-a", host_type, KEY)).await,
            expected,
            "{host_type}"
        );
    }
    let (accepted, _peer) = accept(
        &door,
        &reverse("Mac-7.local_2", "host-darwin-amd64-12", KEY),
    )
    .await;
    let Ok(Accepted::Registered(worker)) = accepted else {
        panic!("{accepted:?}")
    };
    assert_eq!(worker.claim.host_name(), "Mac-7.local_2");
    let shown = format!("{worker:?}");
    assert!(
        !shown.contains(KEY) && !shown.contains(&worker.dialer.id().to_string()),
        "{shown}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_missing_is_a_wrong_key() {
    let door = door(FrontDoorConfig::default());
    let without =
        reverse("host-a", "test", KEY).replace(&format!("X-Go-Builder-Key: {KEY}\r\n"), "");
    for request in [
        without,
        reverse("host-a", "test", ""),
        reverse("host-a", "test", &KEY.to_uppercase()),
    ] {
        assert_eq!(
            refusal(&door, &request).await,
            (412, "invalid build key\n".to_owned())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_not_taken_for_the_stream() {
    let door = door(FrontDoorConfig::default());
    for header in [
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: x\r\n",
    ] {
        let request =
            reverse("host-a", "test", KEY).replace("Host: \r\n", &format!("Host: \r\n{header}"));
        assert_eq!(
            refusal(&door, &request).await,
            (400, "unexpected request body\n".to_owned())
        );
    }
    let request =
        reverse("host-a", "test", KEY).replace("Host: \r\n", "Host: \r\nContent-Length: 0\r\n");
    assert!(matches!(
        accept(&door, &request).await.0,
        Ok(Accepted::Registered(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn slow_endless_and_broken_heads_are_given_up() {
    let door = door(FrontDoorConfig::default());
    let begin = Instant::now();
    let (accepted, _peer) = accept(&door, "GET /reverse HTTP/1.1\r\nX: ").await;
    assert!(matches!(accepted, Err(AcceptError::TimedOut)));
    assert_eq!(begin.elapsed(), 10 * SECOND);

    // A byte now and then does not help.
    let (mut peer, io) = duplex(64);
    let _dripping = tokio::spawn(async move {
        while peer.write_all(b"x").await.is_ok() {
            sleep(SECOND).await;
        }
    });
    let begin = Instant::now();
    assert!(matches!(
        door.accept(Arrival::tls(io)).await,
        Err(AcceptError::TimedOut)
    ));
    assert_eq!(begin.elapsed(), 10 * SECOND);

    for head in [
        format!("GET /reverse HTTP/1.1\r\nX: {}", "x".repeat(MAX_HEAD_BYTES)),
        format!("GET /reverse HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(65)),
        "GET /reverse HTTP/1.1\r\nno colon\r\n\r\n".to_owned(),
        "GET /reverse HTTP/1.1\r\n folded\r\n\r\n".to_owned(),
    ] {
        let (accepted, mut peer) = accept(&door, &head).await;
        assert!(
            matches!(accepted, Err(AcceptError::Head(_))),
            "{head:?}: {accepted:?}"
        );
        let mut reply = String::new();
        peer.read_to_string(&mut reply).await.unwrap();
        assert!(
            reply.starts_with("HTTP/1.1 400 ") && reply.ends_with("malformed request\n"),
            "{reply}"
        );
    }
    let (mut peer, io) = duplex(64);
    peer.write_all(b"GET /rev").await.unwrap();
    drop(peer);
    assert!(matches!(
        door.accept(Arrival::tls(io)).await,
        Err(AcceptError::PeerClosed)
    ));
}

#[tokio::test(start_paused = true)]
async fn so_many_first_requests_are_read_at_once_and_no_more() {
    let door = door(FrontDoorConfig::default().max_heads(2));
    let mut peers = Vec::new();
    let mut slow = Vec::new();
    for _ in 0..2 {
        let (peer, io) = duplex(64);
        peers.push(peer);
        let door = door.clone();
        slow.push(tokio::spawn(
            async move { door.accept(Arrival::tls(io)).await },
        ));
    }
    tokio::task::yield_now().await;
    assert!(matches!(
        accept(&door, "GET / HTTP/1.1\r\n").await.0,
        Err(AcceptError::Busy)
    ));
    for ended in slow {
        assert!(matches!(ended.await.unwrap(), Err(AcceptError::TimedOut)));
    }
    assert!(matches!(
        accept(&door, "GET / HTTP/1.1\r\n").await.0,
        Ok(Accepted::Other(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn so_many_workers_are_registered_and_no_more() {
    let door = door(FrontDoorConfig::default().max_sessions(1));
    let (first, _peer) = accept(&door, &reverse("host-a", "test", KEY)).await;
    let expected = (503, "too many registrations\n".to_owned());
    assert_eq!(
        refusal(&door, &reverse("host-b", "test", KEY)).await,
        expected
    );
    drop(first);
    tokio::task::yield_now().await;
    assert!(
        accept(&door, &reverse("host-b", "test", KEY))
            .await
            .0
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_does_not_take_its_answer_is_given_up() {
    let door = door(FrontDoorConfig::default());
    let (mut peer, io) = duplex(16);
    let accepting = tokio::spawn(async move { door.accept(Arrival::tls(io)).await });
    peer.write_all(reverse("host-a", "test", KEY).as_bytes())
        .await
        .unwrap();
    let begin = Instant::now();
    assert!(matches!(
        accepting.await.unwrap(),
        Err(AcceptError::TimedOut)
    ));
    assert_eq!(begin.elapsed(), 10 * SECOND);
}

/// Asks somebody else, which takes the time given.
struct Slow(Duration);

impl Authorize for Slow {
    fn authorize<'a>(&'a self, claim: &'a Claim) -> Authorizing<'a> {
        Box::pin(async {
            sleep(self.0).await;
            check_key(claim)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn an_authoriser_may_take_its_time_but_not_for_ever() {
    let with = |time| {
        FrontDoor::new(
            FrontDoorConfig::default(),
            PickupRegistry::new(),
            Slow(time),
        )
        .unwrap()
    };
    let (accepted, _peer) = accept(&with(5 * SECOND), &reverse("host-a", "test", KEY)).await;
    assert!(matches!(accepted, Ok(Accepted::Registered(_))));
    assert_eq!(
        refusal(&with(5 * SECOND), &reverse("host-a", "test", "0"))
            .await
            .0,
        412
    );
    let (accepted, _peer) = accept(&with(11 * SECOND), &reverse("host-a", "test", KEY)).await;
    assert!(matches!(accepted, Err(AcceptError::TimedOut)));
}

#[tokio::test(start_paused = true)]
async fn workers_come_without_tls_only_where_that_is_allowed() {
    let plain = async |door: FrontDoor| {
        let (mut peer, io) = duplex(1 << 16);
        peer.write_all(reverse("host-a", "test", KEY).as_bytes())
            .await
            .unwrap();
        door.accept(Arrival::plain(io)).await
    };
    let refused = plain(door(FrontDoorConfig::default())).await;
    assert!(matches!(refused, Err(AcceptError::Refused(refusal)) if refusal.status() == 500));
    let allowing = FrontDoorConfig::default().routes(Routes::default().allow_plain(true));
    assert!(matches!(
        plain(door(allowing)).await,
        Ok(Accepted::Registered(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_pick_up_with_a_wrong_id_is_refused_in_words_that_a_go_buildlet_passes_on() {
    let door = door(FrontDoorConfig::default());
    let right = DialerId::from_bytes([1; 16]);
    for target in [
        format!("/revdial?revdial.dialer={right}"),
        "/revdial?revdial.dialer=short".to_owned(),
        "/revdial?other=1".to_owned(),
        "/revdial".to_owned(),
    ] {
        let (accepted, mut peer) =
            accept(&door, &format!("GET {target} HTTP/1.1\r\nHost: \r\n\r\n")).await;
        assert!(
            matches!(accepted, Err(AcceptError::Refused(refusal)) if refusal == Refusal::UNKNOWN_DIALER)
        );
        let mut reply = String::new();
        peer.read_to_string(&mut reply).await.unwrap();
        assert!(
            reply.starts_with("HTTP/1.1 400 Bad Request\r\n")
                && reply.ends_with("\r\n\r\nunknown dialer\n"),
            "{reply}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_followed_on_the_same_connection() {
    let routes = Routes::default()
        .redirect("/reverse-here", "/reverse")
        .unwrap();
    let door = door(FrontDoorConfig::default().routes(routes));
    let registration = crate::coordinator::registration()
        .path("/reverse-here")
        .unwrap();
    let (opener, mut opened) = crate::coordinator::opener();
    let registering = opener.register_as(registration, revdial::ListenerConfig::default());
    let accepted = door
        .accept(Arrival::tls(opened.recv().await.unwrap()))
        .await;
    let Ok(Accepted::Registered(worker)) = accepted else {
        panic!("{accepted:?}")
    };
    let mut listener = registering.await.unwrap().unwrap();
    assert!(!worker.dialer.is_closed());
    worker.dialer.close().await;
    assert!(listener.accept().await.is_none());
    assert!(opened.try_recv().is_err(), "one connection was enough");
}

#[test]
fn a_path_has_one_meaning() {
    let new = |routes| {
        FrontDoor::new(
            FrontDoorConfig::default().routes(routes),
            PickupRegistry::new(),
            check_key,
        )
    };
    for routes in [
        Routes::default()
            .registration("/revdial", Flavor::Gomote)
            .unwrap(),
        Routes::default()
            .redirect("/reverse?x", "/elsewhere")
            .unwrap(),
    ] {
        assert!(matches!(new(routes), Err(FrontDoorError::Routes(_))));
    }
    // Giving a path another flavor is no second meaning.
    assert!(
        new(Routes::default()
            .registration("/reverse", Flavor::Gomote)
            .unwrap())
        .is_ok()
    );
    let config = FrontDoorConfig::default().max_heads(0);
    let made = FrontDoor::new(config, PickupRegistry::new(), check_key);
    assert_eq!(
        made.unwrap_err(),
        FrontDoorError::Config(ConfigError::Zero {
            setting: "max_heads"
        })
    );
}

#[tokio::test]
async fn serving_goes_on_past_connections_that_fail() {
    let door = door(FrontDoorConfig::default().max_connections(3));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (handled, mut outcomes) = tokio::sync::mpsc::unbounded_channel();
    let handle = move |accepted: Result<Accepted<TcpStream>, AcceptError>| {
        let handled = handled.clone();
        async move {
            handled.send(accepted).unwrap();
        }
    };
    let serving = tokio::spawn(async move {
        door.serve(listener, async |tcp| Ok(Arrival::tls(tcp)), handle)
            .await
    });
    for round in 0..10 {
        drop(TcpStream::connect(address).await.unwrap());
        assert!(outcomes.recv().await.unwrap().is_err());
        let mut peer = TcpStream::connect(address).await.unwrap();
        peer.write_all(reverse("host-a", "test", KEY).as_bytes())
            .await
            .unwrap();
        let outcome = outcomes.recv().await.unwrap();
        let Ok(Accepted::Registered(worker)) = outcome else {
            panic!("{round}: {outcome:?}")
        };
        assert_eq!(worker.peer, Some(peer.local_addr().unwrap()));
    }
    serving.abort();
}
