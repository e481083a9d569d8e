use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use harness::Program;
use revdial::trust::Trust;
use revdial::{
    Backoff, Connect, ConnectError, Connecting, Connection, Listener, ListenerConfig, ListenerEnd,
    RegisterError, Registration, SessionEnd, TcpConnector,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::bulk;
use super::http::serve;
use super::process::{LIMIT, Process};
use crate::over_tls::client_config;

/// A Go coordinator, and how to get to it.
struct Coordinator {
    go: Process,
    addr: String,
    connector: TcpConnector,
}

impl Coordinator {
    async fn start(program: &Program, args: &[&str]) -> Self {
        let mut go = Process::start(program, args);
        let listening = go.expect("listening").await;
        let addr = listening["addr"].as_str().unwrap().to_owned();
        // Its certificate is checked.
        let trust = Trust::from_pem(listening["certificate"].as_str().unwrap().as_bytes()).unwrap();
        let connector = TcpConnector::new(&addr)
            .unwrap()
            .tls(client_config(trust))
            .unwrap();
        Self {
            go,
            addr,
            connector,
        }
    }

    async fn register(&self, config: ListenerConfig) -> Result<Listener, RegisterError> {
        Listener::register(self.connector.clone(), registration(), config).await
    }
}

fn registration() -> Registration {
    Registration::buildlet(
        "host-linux-bullseye",
        "9322a0f46b098a3218073b0711fbdccd",
        "host-a",
        "29",
    )
    .unwrap()
}

/// Serves every connection; the result is why no more come.
async fn serve_all(mut listener: Listener) -> Option<ListenerEnd> {
    let mut conns = JoinSet::new();
    while let Some(conn) = listener.accept().await {
        conns.spawn(serve(conn));
    }
    listener.end()
}

fn spawn_serve_all(listener: Listener) -> JoinSet<Option<ListenerEnd>> {
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_all(listener));
    tasks
}

async fn ended(mut serving: JoinSet<Option<ListenerEnd>>) -> Option<ListenerEnd> {
    timeout(LIMIT, serving.join_next())
        .await
        .expect("the listener ends")
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn a_go_coordinator_dials_a_hundred_times_at_once() {
    let Some(go) = harness::peer_or_skip("gorevdialer") else {
        return;
    };
    let mut coordinator = Coordinator::start(&go, &[]).await;
    let listener = coordinator
        .register(ListenerConfig::default())
        .await
        .unwrap();
    assert_eq!(coordinator.go.expect("registered").await["host"], "host-a");
    let serving = spawn_serve_all(listener);
    for _ in 0..2 {
        assert_eq!(coordinator.go.run("dials 100").await, Ok(()));
    }
    coordinator.go.tell("close").await;
    assert!(matches!(
        ended(serving).await,
        Some(ListenerEnd::Session(SessionEnd::PeerClosed))
    ));
}

#[tokio::test]
async fn a_go_coordinator_sends_and_fetches_much_on_one_connection() {
    let Some(go) = harness::peer_or_skip("gorevdialer") else {
        return;
    };
    let mut coordinator = Coordinator::start(&go, &[]).await;
    let listener = coordinator
        .register(ListenerConfig::default())
        .await
        .unwrap();
    coordinator.go.expect("registered").await;
    let _serving = spawn_serve_all(listener);
    for command in ["upload", "download"] {
        assert_eq!(
            coordinator.go.run(&format!("{command} {}", bulk())).await,
            Ok(())
        );
    }
}

#[tokio::test]
async fn a_go_coordinator_that_dies_before_its_answer_fails_the_registration() {
    let Some(go) = harness::peer_or_skip("gorevdialer") else {
        return;
    };
    for step in ["reverse", "half-reverse-101"] {
        let coordinator = Coordinator::start(&go, &["-fault", step]).await;
        let error = timeout(LIMIT, coordinator.register(ListenerConfig::default()))
            .await
            .unwrap()
            .unwrap_err();
        assert!(
            matches!(error, RegisterError::Switch(_)) && !error.is_final(),
            "{step}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_go_coordinator_that_dies_ends_the_listener_at_once() {
    let Some(go) = harness::peer_or_skip("gorevdialer") else {
        return;
    };
    for step in [
        "reverse-101",
        "mid-line",
        "pickup",
        "half-pickup-101",
        "pickup-101",
        "transfer",
    ] {
        let mut coordinator = Coordinator::start(&go, &["-fault", step]).await;
        let listener = coordinator
            .register(ListenerConfig::default())
            .await
            .unwrap();
        let serving = spawn_serve_all(listener);
        if !matches!(step, "reverse-101" | "mid-line") {
            coordinator.go.expect("registered").await;
            coordinator.go.tell("upload 1000000").await;
        }
        let end = ended(serving).await;
        assert!(
            matches!(
                end,
                Some(ListenerEnd::Session(
                    SessionEnd::PeerClosed | SessionEnd::Io(_)
                ))
            ),
            "{step}: {end:?}"
        );
        assert_eq!(coordinator.go.ended().await.code(), Some(3), "{step}");
    }
}

#[tokio::test]
async fn a_pick_up_that_a_go_coordinator_cuts_costs_one_dial() {
    let Some(go) = harness::peer_or_skip("gorevdialer") else {
        return;
    };
    for step in ["pickup", "half-pickup-101", "pickup-101", "transfer"] {
        let mut coordinator = Coordinator::start(&go, &["-drop", step]).await;
        let listener = coordinator
            .register(ListenerConfig::default())
            .await
            .unwrap();
        coordinator.go.expect("registered").await;
        let _serving = spawn_serve_all(listener);
        let told = "revdial listener failed to pick up connection: switch failed: ";
        let error = coordinator.go.run("upload 1000000").await.unwrap_err();
        assert_eq!(error.starts_with(told), step == "pickup", "{step}: {error}");
        if step == "half-pickup-101" {
            // Go takes such a connection for a good one, and fails the next dial with what it is told of it.
            let error = coordinator.go.run("upload 1000000").await.unwrap_err();
            assert!(error.starts_with(told), "{error}");
        }
        assert_eq!(coordinator.go.run("upload 1000000").await, Ok(()), "{step}");
    }
}

#[tokio::test]
async fn a_go_coordinator_hears_of_a_path_that_leads_nowhere() {
    let Some(go) = harness::peer_or_skip("gorevdialer") else {
        return;
    };
    // The first of two ids in a path counts.
    let mut coordinator =
        Coordinator::start(&go, &["-connpath", "/revdial?revdial.dialer=0123"]).await;
    let listener = coordinator
        .register(ListenerConfig::default())
        .await
        .unwrap();
    coordinator.go.expect("registered").await;
    let _serving = spawn_serve_all(listener);
    for _ in 0..2 {
        assert_eq!(
            coordinator.go.run("dials 1").await.unwrap_err(),
            "revdial listener failed to pick up connection: \
             switch failed: want HTTP status 101 or 307; got 400 Bad Request:\n\tunknown dialer\n"
        );
    }
}

#[tokio::test]
async fn a_go_coordinator_hears_of_pick_ups_that_break_off_here() {
    let Some(go) = harness::peer_or_skip("gorevdialer") else {
        return;
    };
    let mut coordinator = Coordinator::start(&go, &[]).await;
    let connect = Breaking {
        connector: coordinator.connector.clone(),
        connections: AtomicU32::new(0),
    };
    let listener = Listener::register(connect, registration(), ListenerConfig::default())
        .await
        .unwrap();
    coordinator.go.expect("registered").await;
    let _serving = spawn_serve_all(listener);
    for why in [
        ": cannot connect to the coordinator: broken on purpose",
        ": cannot send the request: broken on purpose",
    ] {
        let error = coordinator.go.run("dials 1").await.unwrap_err();
        assert_eq!(
            error,
            format!("revdial listener failed to pick up connection{why}")
        );
    }
    // The third one is there for the coordinator, and then it hears that it is not: it fails one dial with the one and one with
    // the other, in any order.
    for _ in 0..2 {
        coordinator.go.run("dials 1").await.unwrap_err();
    }
    assert_eq!(coordinator.go.run("dials 10").await, Ok(()));
}

#[tokio::test]
async fn a_reset_of_the_control_connection_ends_the_listener() {
    let Some(go) = harness::peer_or_skip("gorevdialer") else {
        return;
    };
    let mut coordinator = Coordinator::start(&go, &[]).await;
    let listener = coordinator
        .register(ListenerConfig::default())
        .await
        .unwrap();
    coordinator.go.expect("registered").await;
    let serving = spawn_serve_all(listener);
    coordinator.go.tell("reset").await;
    assert!(matches!(
        ended(serving).await,
        Some(ListenerEnd::Session(
            SessionEnd::Io(_) | SessionEnd::PeerClosed
        ))
    ));
}

#[tokio::test]
async fn a_go_coordinator_sees_a_listener_go() {
    let Some(go) = harness::peer_or_skip("gorevdialer") else {
        return;
    };
    let mut coordinator = Coordinator::start(&go, &[]).await;
    for in_good_order in [true, false] {
        let listener = coordinator
            .register(ListenerConfig::default())
            .await
            .unwrap();
        coordinator.go.expect("registered").await;
        if in_good_order {
            listener.close().await;
        } else {
            drop(listener);
        }
        coordinator.go.expect("gone").await;
        assert_eq!(
            coordinator.go.run("dials 1").await,
            Err("revdial.Dialer closed".to_owned())
        );
    }
}

#[tokio::test]
async fn a_listener_is_back_when_its_go_coordinator_is() {
    let Some(go) = harness::peer_or_skip("gorevdialer") else {
        return;
    };
    let mut coordinator = Coordinator::start(&go, &[]).await;
    // The next one has another certificate.
    let config = client_config(Trust::Anyone);
    let connector = TcpConnector::new(&coordinator.addr)
        .unwrap()
        .tls(config)
        .unwrap();
    let delays = Backoff::with_seed(1)
        .first(Duration::from_millis(20))
        .longest(Duration::from_millis(100));
    let config = ListenerConfig::default().reconnect(Some(delays));
    let listener = Listener::register(connector, registration(), config)
        .await
        .unwrap();
    let _serving = spawn_serve_all(listener);
    coordinator.go.expect("registered").await;
    assert_eq!(coordinator.go.run("dials 2").await, Ok(()));
    coordinator.go.kill().await;

    let mut again = Coordinator::start(&go, &["-addr", &coordinator.addr]).await;
    again.go.expect("registered").await;
    assert_eq!(again.go.run("dials 2").await, Ok(()));
}

/// Breaks the first pick-ups: one cannot connect, one cannot write its request, one cannot read the answer.
struct Breaking {
    connector: TcpConnector,
    connections: AtomicU32,
}

impl Connect for Breaking {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            let number = self.connections.fetch_add(1, Ordering::Relaxed);
            if number == 1 {
                return Err(ConnectError::Dial(broken()));
            }
            let inner = self.connector.connect().await?;
            Ok(Connection::new(BreakingIo {
                inner,
                write: number == 2,
                read: number == 3,
            }))
        })
    }
}

fn broken() -> io::Error {
    io::Error::other("broken on purpose")
}

/// A stream that cannot be written to, or read from.
struct BreakingIo {
    inner: Connection,
    write: bool,
    read: bool,
}

impl AsyncRead for BreakingIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read {
            return Poll::Ready(Err(broken()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for BreakingIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.write {
            return Poll::Ready(Err(broken()));
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
