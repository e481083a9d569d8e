//! A listener of ours under every kind of coordinator, in virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use revdial::proto::Message;
use revdial::{
    Backoff, Listener, ListenerConfig, ListenerEnd, ListenerEvent, RegisterError, SessionEnd,
};
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::coordinator::{Opener, opener, read_head};

const SECOND: Duration = Duration::from_secs(1);
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

/// A coordinator that is the test: it gets the streams that the worker opens.
struct Coordinator {
    streams: mpsc::UnboundedReceiver<DuplexStream>,
    opener: Opener,
}

impl Coordinator {
    fn new() -> Self {
        let (opener, streams) = opener();
        Self { opener, streams }
    }

    /// The next stream, after its request.
    async fn next(&mut self) -> BufReader<DuplexStream> {
        let mut stream = BufReader::new(self.streams.recv().await.unwrap());
        read_head(&mut stream).await;
        stream
    }

    /// The next stream, answered with a switch.
    async fn accept(&mut self) -> BufReader<DuplexStream> {
        let mut stream = self.next().await;
        stream.write_all(SWITCHING).await.unwrap();
        stream
    }

    async fn begin(&mut self, config: ListenerConfig) -> (Listener, BufReader<DuplexStream>) {
        let registering = self.opener.register(config);
        let control = self.accept().await;
        (registering.await.unwrap().unwrap(), control)
    }
}

async fn conn_ready(control: &mut BufReader<DuplexStream>) {
    let conn_path = "/revdial?revdial.dialer=0".to_owned();
    control
        .write_all(&Message::ConnReady { conn_path }.encode())
        .await
        .unwrap();
}

async fn failure(control: &mut BufReader<DuplexStream>) -> String {
    let mut line = String::new();
    control.read_line(&mut line).await.unwrap();
    match Message::decode(line.as_bytes()) {
        Ok(Message::PickupFailed { error, .. }) => error,
        other => panic!("{other:?}"),
    }
}

/// A delay of a second, or half of one, before every registration.
fn delays() -> Backoff {
    Backoff::with_seed(1).first(SECOND).longest(SECOND)
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_falls_silent_is_given_up_and_one_that_keeps_talking_is_not() {
    let mut coordinator = Coordinator::new();
    let (mut listener, mut control) = coordinator.begin(ListenerConfig::default()).await;
    for _ in 0..10 {
        sleep(99 * SECOND).await;
        control
            .write_all(b"{\"command\":\"keep-alive\"}\n")
            .await
            .unwrap();
    }
    let begin = Instant::now();
    assert!(listener.accept().await.is_none());
    assert_eq!(begin.elapsed().as_secs(), 100);
    let end = listener.end().unwrap();
    assert!(matches!(end, ListenerEnd::Session(SessionEnd::Silent(_))));
    assert_eq!(end.to_string(), "the coordinator has been silent for 100s");

    let (mut listener, _control) = coordinator
        .begin(ListenerConfig::default().max_silence(None))
        .await;
    assert!(timeout(3600 * SECOND, listener.accept()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_registration_without_an_answer_ends_at_its_limit() {
    let mut coordinator = Coordinator::new();
    let begin = Instant::now();
    let registering = coordinator
        .opener
        .register(ListenerConfig::default().register_limit(5 * SECOND));
    let _silent = coordinator.next().await;
    let error = registering.await.unwrap().unwrap_err();
    assert!(matches!(error, RegisterError::TimedOut { .. }));
    assert_eq!(begin.elapsed().as_secs(), 5);
    assert!(!error.is_final());
}

#[tokio::test(start_paused = true)]
async fn a_pick_up_without_an_answer_fails_at_its_limit_however_slowly_it_comes() {
    let mut coordinator = Coordinator::new();
    let (_listener, mut control) = coordinator.begin(ListenerConfig::default()).await;
    let begin = Instant::now();
    conn_ready(&mut control).await;
    let mut pickup = coordinator.next().await;
    let _dripping = tokio::spawn(async move {
        for byte in SWITCHING {
            pickup.write_u8(*byte).await?;
            sleep(SECOND).await;
        }
        std::io::Result::Ok(())
    });
    assert_eq!(failure(&mut control).await, "pick-up took over 20s");
    assert_eq!(begin.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_hostile_coordinator_gets_so_many_pick_ups_at_once_and_no_more() {
    let mut coordinator = Coordinator::new();
    let config = ListenerConfig::default().max_pickups(3).max_queued(5);
    let (_listener, mut control) = coordinator.begin(config).await;
    for _ in 0..100 {
        conn_ready(&mut control).await;
    }
    for _ in 0..5 {
        assert_eq!(failure(&mut control).await, "too many pick-ups at once");
    }
    let mut pickups = Vec::new();
    while let Ok(pickup) = timeout(SECOND, coordinator.next()).await {
        pickups.push(pickup);
    }
    assert_eq!(pickups.len(), 3);
    // One that ends makes room for one that waits.
    pickups.pop();
    coordinator.next().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_does_not_accept_is_not_flooded() {
    let mut coordinator = Coordinator::new();
    let config = ListenerConfig::default().max_pickups(4).accept_queue(2);
    let (mut listener, mut control) = coordinator.begin(config).await;
    for _ in 0..20 {
        conn_ready(&mut control).await;
    }
    let mut opened = Vec::new();
    while let Ok(pickup) = timeout(SECOND, coordinator.accept()).await {
        opened.push(pickup);
    }
    assert_eq!(
        opened.len(),
        6,
        "two in the queue, four that wait for a place"
    );
    listener.accept().await.unwrap();
    assert!(timeout(SECOND, coordinator.accept()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_does_not_read_failures_is_given_up() {
    let mut coordinator = Coordinator::new();
    let (mut listener, mut control) = coordinator.begin(ListenerConfig::default()).await;
    let bad = Message::ConnReady {
        conn_path: "x".repeat(900),
    }
    .encode();
    let begin = Instant::now();
    let talking = tokio::spawn(async move {
        while begin.elapsed() < 60 * SECOND {
            if control.write_all(&bad.repeat(50)).await.is_err() {
                return control;
            }
            sleep(SECOND / 10).await;
        }
        control
    });
    assert!(listener.accept().await.is_none());
    assert!(matches!(
        listener.end(),
        Some(ListenerEnd::Session(SessionEnd::Stalled))
    ));
    assert!(begin.elapsed() < 30 * SECOND, "{:?}", begin.elapsed());
    talking.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_tells_the_coordinator_and_leaves_accepted_connections() {
    let mut coordinator = Coordinator::new();
    let (mut listener, mut control) = coordinator.begin(ListenerConfig::default()).await;
    conn_ready(&mut control).await;
    let mut theirs = coordinator.accept().await;
    let mut conn = listener.accept().await.unwrap();
    conn_ready(&mut control).await;
    let mut unanswered = coordinator.next().await;
    listener.close().await;
    assert_eq!(control.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(
        unanswered.read(&mut [0]).await.unwrap(),
        0,
        "a pick-up under way is given up"
    );
    theirs.write_all(b"?").await.unwrap();
    assert_eq!(conn.read_u8().await.unwrap(), b'?');
}

#[tokio::test(start_paused = true)]
async fn dropping_a_listener_closes_its_session() {
    let mut coordinator = Coordinator::new();
    let (listener, mut control) = coordinator
        .begin(ListenerConfig::default().reconnect(Some(delays())))
        .await;
    drop(listener);
    assert_eq!(control.read(&mut [0]).await.unwrap(), 0);
    assert!(
        timeout(60 * SECOND, coordinator.streams.recv())
            .await
            .is_err(),
        "it does not come again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_back_soon_after_its_coordinator_restarted() {
    let mut coordinator = Coordinator::new();
    let events = Arc::new(Mutex::new(Vec::new()));
    let noted = events.clone();
    let config = ListenerConfig::default()
        .reconnect(Some(delays()))
        .observer(move |event| {
            noted.lock().unwrap().push(match event {
                ListenerEvent::Registered => "registered".to_owned(),
                ListenerEvent::Lost(end) => end.to_string(),
                ListenerEvent::Retrying { delay } => {
                    assert!(*delay <= SECOND);
                    "retrying".to_owned()
                }
                ListenerEvent::RegisterFailed(error) => error.to_string(),
                other => format!("{other:?}"),
            });
        });
    let (mut listener, mut control) = coordinator.begin(config).await;
    conn_ready(&mut control).await;
    let mut before = coordinator.accept().await;
    let mut old = listener.accept().await.unwrap();

    drop(control);
    let begin = Instant::now();
    let unready = coordinator.next().await;
    drop(unready);
    let mut control = coordinator.accept().await;
    assert!(begin.elapsed() <= 2 * SECOND);
    conn_ready(&mut control).await;
    let mut after = coordinator.accept().await;
    let mut new = listener.accept().await.unwrap();
    for (theirs, ours) in [(&mut before, &mut old), (&mut after, &mut new)] {
        theirs.write_all(b"?").await.unwrap();
        assert_eq!(
            ours.read_u8().await.unwrap(),
            b'?',
            "streams outlive their session"
        );
    }
    let expected = [
        "registered",
        "session closed by the peer",
        "retrying",
        "coordinator registration failed",
        "retrying",
        "registered",
    ];
    assert_eq!(*events.lock().unwrap(), expected);
    assert!(listener.end().is_none());
}

#[tokio::test(start_paused = true)]
async fn delays_grow_while_the_coordinator_is_away_and_until_a_session_holds() {
    let mut coordinator = Coordinator::new();
    let delays = Backoff::with_seed(3).first(SECOND).longest(8 * SECOND);
    let (_listener, control) = coordinator
        .begin(ListenerConfig::default().reconnect(Some(delays)))
        .await;
    drop(control);
    let mut gaps = Vec::new();
    for _ in 0..6 {
        let begin = Instant::now();
        // Takes the registration, and hangs up at once.
        drop(coordinator.accept().await);
        gaps.push(begin.elapsed());
    }
    for (gap, most) in gaps.iter().zip([1, 2, 4, 8, 8, 8]) {
        let most = most * SECOND;
        assert!(*gap <= most + SECOND / 10 && *gap >= most / 2, "{gaps:?}");
    }
    let control = coordinator.accept().await;
    sleep(10 * SECOND).await;
    drop(control);
    let begin = Instant::now();
    coordinator.next().await;
    assert!(
        begin.elapsed() <= SECOND + SECOND / 10,
        "the session held, so delays begin anew"
    );
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_not_wanted_any_more_ends() {
    let mut coordinator = Coordinator::new();
    let (mut listener, control) = coordinator
        .begin(ListenerConfig::default().reconnect(Some(delays())))
        .await;
    drop(control);
    let mut busy = coordinator.next().await;
    busy.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    let mut refusing = coordinator.next().await;
    refusing
        .write_all(b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    assert!(listener.accept().await.is_none());
    let Some(ListenerEnd::Register(error)) = listener.end() else {
        panic!("no reason")
    };
    assert!(error.is_final());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_lost_takes_its_unfinished_pick_ups_with_it() {
    let mut coordinator = Coordinator::new();
    let (_listener, mut control) = coordinator
        .begin(ListenerConfig::default().reconnect(Some(delays())))
        .await;
    conn_ready(&mut control).await;
    let mut pickup = coordinator.next().await;
    drop(control);
    assert_eq!(pickup.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn configurations_that_cannot_work_are_refused() {
    let coordinator = Coordinator::new();
    for config in [
        ListenerConfig::default().max_pickups(0),
        ListenerConfig::default().accept_queue(0),
        ListenerConfig::default().pickup_limit(Duration::ZERO),
        ListenerConfig::default().max_silence(Some(Duration::MAX)),
    ] {
        let error = coordinator
            .opener
            .register(config)
            .await
            .unwrap()
            .unwrap_err();
        assert!(matches!(error, RegisterError::Config(_)) && error.is_final());
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_is_a_stream_of_connections() {
    use std::future::poll_fn;
    use std::pin::Pin;

    use futures_core::Stream as _;

    let mut coordinator = Coordinator::new();
    let (mut listener, mut control) = coordinator.begin(ListenerConfig::default()).await;
    conn_ready(&mut control).await;
    let _theirs = coordinator.accept().await;
    assert!(
        poll_fn(|cx| Pin::new(&mut listener).poll_next(cx))
            .await
            .is_some()
    );
    drop(control);
    assert!(
        poll_fn(|cx| Pin::new(&mut listener).poll_next(cx))
            .await
            .is_none()
    );
}
