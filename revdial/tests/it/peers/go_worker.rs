use std::time::Duration;

use harness::Program;
use http_body_util::BodyExt as _;
use revdial::proto::{DialerId, PickupPath};
use revdial::{DialError, Dialer, DialerConfig, FrontDoorConfig, PickupRegistry, SessionEnd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::bulk;
use super::http::{Client, Counting, sha256, text};
use super::process::{LIMIT, Process};
use crate::over_tls::Coordinator;

/// The server name that a Go worker sends has a port in it each time.
fn worker(go: &Program, coordinator: &Coordinator, args: &[&str]) -> Process {
    let addr = coordinator.addr.to_string();
    Process::start(
        go,
        &[&["-addr", &addr, "-hostname", "host-a"], args].concat(),
    )
}

async fn coordinator(dialer: DialerConfig) -> Coordinator {
    Coordinator::start(FrontDoorConfig::default().dialer(dialer)).await
}

#[tokio::test]
async fn a_hundred_dials_at_once_reach_a_go_worker() {
    let Some(go) = harness::peer_or_skip("gorevlistener") else {
        return;
    };
    let mut coordinator = coordinator(DialerConfig::default()).await;
    let mut go = worker(&go, &coordinator, &[]);
    let registered = coordinator.registered().await;
    go.expect("registered").await;
    assert_eq!(registered.claim.host_name(), "host-a");

    let mut dials = JoinSet::new();
    for _ in 0..100 {
        let dialer = registered.dialer.clone();
        dials.spawn(async move { dialer.dial().await.unwrap() });
    }
    let conns = dials.join_all().await;
    let mut calls = JoinSet::new();
    for (at, conn) in conns.into_iter().enumerate() {
        calls.spawn(async move {
            let sent = format!("connection {at}\n").repeat(1000);
            let mut client = Client::new(conn).await;
            // Twice: the connection is one for many requests.
            for _ in 0..2 {
                let back = client.post("/echo", sent.clone()).await.unwrap();
                assert!(text(back).await.unwrap() == sent, "connection {at}");
            }
        });
    }
    calls.join_all().await;

    registered.dialer.close().await;
    go.expect("closed").await;
    assert!(go.ended().await.success());
}

#[tokio::test]
async fn much_goes_to_and_comes_from_a_go_worker_on_one_connection() {
    let Some(go) = harness::peer_or_skip("gorevlistener") else {
        return;
    };
    let mut coordinator = coordinator(DialerConfig::default()).await;
    let _go = worker(&go, &coordinator, &[]);
    let dialer = coordinator.registered().await.dialer;
    let mut client = Client::new(dialer.dial().await.unwrap()).await;
    let want = sha256(Counting::new(bulk())).await.unwrap();
    let hash = client.post("/hash", Counting::new(bulk())).await.unwrap();
    assert_eq!(text(hash).await.unwrap(), want);
    let stream = client.get(&format!("/stream?n={}", bulk())).await.unwrap();
    assert_eq!(sha256(stream).await.unwrap(), want);
}

#[tokio::test]
async fn a_stock_of_connections_to_a_go_worker_is_kept() {
    let Some(go) = harness::peer_or_skip("gorevlistener") else {
        return;
    };
    let mut coordinator = coordinator(DialerConfig::default().warm(3)).await;
    let _go = worker(&go, &coordinator, &[]);
    let dialer = coordinator.registered().await.dialer;
    for _ in 0..2 {
        stocked(&dialer, 3).await;
        for _ in 0..3 {
            // From the stock: no time to ask for one.
            let conn = dialer.dial_within(Duration::ZERO).await.unwrap();
            let status = Client::new(conn).await.get("/status").await.unwrap();
            assert_eq!(text(status).await.unwrap(), r#"{"Version":29}"#);
        }
    }
}

async fn stocked(dialer: &Dialer, connections: usize) {
    let full = async {
        while dialer.stocked() < connections {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, full).await.expect("the stock is filled");
}

/// What the coordinator still can do is checked with a worker that does not end.
async fn works(go: &Program, coordinator: &mut Coordinator) {
    let _go = worker(go, coordinator, &[]);
    calls(&coordinator.registered().await.dialer).await;
}

async fn calls(dialer: &Dialer) {
    let conn = dialer.dial().await.unwrap();
    let status = Client::new(conn).await.get("/status").await.unwrap();
    assert_eq!(text(status).await.unwrap(), r#"{"Version":29}"#);
}

#[tokio::test]
async fn a_go_worker_that_dies_before_it_is_registered_leaves_nothing() {
    let Some(go) = harness::peer_or_skip("gorevlistener") else {
        return;
    };
    let mut coordinator = coordinator(DialerConfig::default()).await;
    for step in ["connected", "half-request"] {
        let dies = worker(&go, &coordinator, &["-fault", step]);
        assert_eq!(dies.ended().await.code(), Some(3), "{step}");
    }
    // It is the first to register.
    works(&go, &mut coordinator).await;
}

#[tokio::test]
async fn a_go_worker_that_dies_ends_its_session_at_once() {
    let Some(go) = harness::peer_or_skip("gorevlistener") else {
        return;
    };
    let mut coordinator = coordinator(DialerConfig::default()).await;
    for step in ["requested", "registered", "mid-line"] {
        let dies = worker(&go, &coordinator, &["-fault", step]);
        let dialer = coordinator.registered().await.dialer;
        assert_eq!(dies.ended().await.code(), Some(3), "{step}");
        let end = timeout(LIMIT, dialer.closed()).await.unwrap();
        assert!(
            matches!(end, SessionEnd::PeerClosed | SessionEnd::Io(_)),
            "{step}: {end:?}"
        );
        assert!(
            matches!(dialer.dial().await, Err(DialError::Closed(_))),
            "{step}"
        );
    }
    works(&go, &mut coordinator).await;
}

#[tokio::test]
async fn a_go_worker_that_dies_in_a_pick_up_fails_the_dial_at_once() {
    let Some(go) = harness::peer_or_skip("gorevlistener") else {
        return;
    };
    let mut coordinator = coordinator(DialerConfig::default()).await;
    for step in ["conn-ready", "dialed", "half-pickup", "picked-up"] {
        let dies = worker(&go, &coordinator, &["-fault", step]);
        let dialer = coordinator.registered().await.dialer;
        match timeout(LIMIT, dialer.dial()).await.unwrap() {
            Err(DialError::Closed(_)) => {}
            // The request was whole, so there is a connection. It is dead.
            Ok(conn) if step == "picked-up" => {
                Client::new(conn).await.get("/status").await.unwrap_err();
            }
            other => panic!("{step}: {other:?}"),
        }
        assert_eq!(dies.ended().await.code(), Some(3), "{step}");
        timeout(LIMIT, dialer.closed()).await.unwrap();
    }
    works(&go, &mut coordinator).await;
}

#[tokio::test]
async fn a_go_worker_that_dies_in_a_transfer_breaks_it_off() {
    let Some(go) = harness::peer_or_skip("gorevlistener") else {
        return;
    };
    let mut coordinator = coordinator(DialerConfig::default()).await;
    let _go = worker(&go, &coordinator, &["-fault", "transfer"]);
    let dialer = coordinator.registered().await.dialer;
    let conn = dialer.dial().await.unwrap();
    let body = Client::new(conn)
        .await
        .get("/stream?n=1000000")
        .await
        .unwrap();
    timeout(LIMIT, body.collect()).await.unwrap().unwrap_err();
    timeout(LIMIT, dialer.closed()).await.unwrap();
}

#[tokio::test]
async fn a_go_worker_killed_in_a_transfer_breaks_it_off() {
    let Some(go) = harness::peer_or_skip("gorevlistener") else {
        return;
    };
    let mut coordinator = coordinator(DialerConfig::default()).await;
    let killed = worker(&go, &coordinator, &[]);
    let dialer = coordinator.registered().await.dialer;
    let conn = dialer.dial().await.unwrap();
    let mut client = Client::new(conn).await;
    let mut body = client.get("/stream?n=10000000000").await.unwrap();
    assert!(body.frame().await.unwrap().is_ok());
    killed.kill().await;
    timeout(LIMIT, body.collect()).await.unwrap().unwrap_err();
    timeout(LIMIT, dialer.closed()).await.unwrap();
}

#[tokio::test]
async fn one_failed_pick_up_of_a_go_worker_fails_one_dial() {
    let Some(go) = harness::peer_or_skip("gorevlistener") else {
        return;
    };
    let mut coordinator = coordinator(DialerConfig::default()).await;
    for step in ["dialed", "half-pickup", "picked-up", "transfer"] {
        let _go = worker(&go, &coordinator, &["-drop", step]);
        let dialer = coordinator.registered().await.dialer;
        match dialer.dial().await {
            Err(DialError::PickupFailed { error }) => assert_ne!(error, "", "{step}"),
            Ok(conn) => {
                let mut client = Client::new(conn).await;
                let result = match client.get("/stream?n=1000000").await {
                    Ok(body) => body.collect().await.map(drop),
                    Err(error) => Err(error),
                };
                assert!(
                    result.is_err() && matches!(step, "picked-up" | "transfer"),
                    "{step}: {result:?}"
                );
            }
            Err(other) => panic!("{step}: {other}"),
        }
        // Upstream fails the second one too, with what the worker said of the first.
        for _ in 0..3 {
            calls(&dialer).await;
        }
    }
}

#[tokio::test]
async fn a_dial_that_a_go_worker_cannot_deliver_says_why() {
    let Some(go) = harness::peer_or_skip("gorevlistener") else {
        return;
    };
    // The front door does not know this dialer.
    let mut coordinator = coordinator(DialerConfig::default()).await;
    let _go = worker(&go, &coordinator, &["-path", "/by-hand"]);
    let mut control = coordinator.other().await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(control.read_u8().await.unwrap());
    }
    control
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        .await
        .unwrap();
    control.flush().await.unwrap();
    let (path, registry) = (PickupPath::default(), PickupRegistry::new());
    let id = DialerId::random().unwrap();
    let dialer = Dialer::new(control, &path, id, &registry, DialerConfig::default()).unwrap();
    for _ in 0..2 {
        let error = dialer.dial().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "revdial listener failed to pick up connection: \
             switch failed: want HTTP status 101 or 307; got 400 Bad Request:\n\tunknown dialer\n"
        );
    }
}
