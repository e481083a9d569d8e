//! A dialer of ours under every kind of listener, in virtual time.

use std::time::Duration;

use revdial::proto::{DialerCore, DialerEvent, DialerId, Message, PickupPath};
use revdial::{
    ConfigError, Connection, DialError, Dialer, DialerConfig, NewDialerError, PickupRegistry,
    SessionEnd,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::{Instant, sleep, timeout};

use crate::coordinator::round_trip;

const KEEP_ALIVE: &str = "{\"command\":\"keep-alive\"}\n";
const SECOND: Duration = Duration::from_secs(1);

/// A session whose listener is the test.
struct Session {
    registry: PickupRegistry,
    dialer: Dialer,
    control: DuplexStream,
}

fn id() -> DialerId {
    DialerId::from_bytes([7; 16])
}

fn conn_ready() -> String {
    let conn_path = PickupPath::default().for_dialer(&id()).to_string();
    String::from_utf8(Message::ConnReady { conn_path }.encode().to_vec()).unwrap()
}

impl Session {
    fn begin(config: DialerConfig) -> Self {
        Self::with_buffer(config, 1 << 16)
    }

    fn with_buffer(config: DialerConfig, bytes: usize) -> Self {
        let registry = PickupRegistry::new();
        let (control, ours) = duplex(bytes);
        let dialer = Dialer::new(ours, &PickupPath::default(), id(), &registry, config).unwrap();
        Self {
            registry,
            dialer,
            control,
        }
    }

    /// What the dialer has said by now.
    async fn said(&mut self) -> String {
        let mut said = Vec::new();
        // In virtual time this is after everything that can be done without waiting.
        while let Ok(read) =
            timeout(Duration::from_millis(1), self.control.read_buf(&mut said)).await
        {
            if read.unwrap() == 0 {
                break;
            }
        }
        String::from_utf8(said).unwrap()
    }

    async fn say(&mut self, message: Message) {
        self.control.write_all(&message.encode()).await.unwrap();
    }

    async fn pick_up_failed(&mut self) {
        let error = "no".to_owned();
        self.say(Message::PickupFailed {
            conn_path: None,
            error,
        })
        .await;
    }

    /// Brings a connection; the other end comes back.
    fn pick_up(&self) -> DuplexStream {
        let (theirs, ours) = duplex(1024);
        self.registry
            .deliver(self.dialer.id(), Connection::new(ours))
            .unwrap();
        theirs
    }

    fn dial(&self) -> tokio::task::JoinHandle<Result<Connection, DialError>> {
        let dialer = self.dialer.clone();
        tokio::spawn(async move { dialer.dial().await })
    }
}

/// Whether the two are ends of one stream.
async fn are_joined(conn: &mut Connection, theirs: &mut DuplexStream) -> bool {
    let (sent, received) = tokio::join!(conn.write_all(b"?"), timeout(SECOND, theirs.read_u8()));
    sent.is_ok() && matches!(received, Ok(Ok(b'?')))
}

#[tokio::test(start_paused = true)]
async fn keep_alives_come_first_and_every_30_seconds_and_after_every_request() {
    let mut session = Session::begin(DialerConfig::default());
    assert_eq!(session.said().await, KEEP_ALIVE);
    sleep(Duration::from_secs(29)).await;
    assert_eq!(session.said().await, "");
    sleep(2 * SECOND).await;
    assert_eq!(session.said().await, KEEP_ALIVE);
    let _dialing = session.dial();
    assert_eq!(session.said().await, conn_ready() + KEEP_ALIVE);
    // The one behind the request counts.
    sleep(Duration::from_secs(29)).await;
    assert_eq!(session.said().await, "");
    sleep(2 * SECOND).await;
    assert_eq!(session.said().await, KEEP_ALIVE);
}

#[tokio::test(start_paused = true)]
async fn dials_are_served_in_their_order_by_any_pick_up() {
    let mut session = Session::begin(DialerConfig::default());
    let (first, second) = (session.dial(), session.dial());
    assert_eq!(
        session.said().await,
        KEEP_ALIVE.to_owned() + &(conn_ready() + KEEP_ALIVE).repeat(2)
    );
    let mut theirs = [session.pick_up(), session.pick_up()];
    assert!(are_joined(&mut first.await.unwrap().unwrap(), &mut theirs[0]).await);
    assert!(are_joined(&mut second.await.unwrap().unwrap(), &mut theirs[1]).await);
}

#[tokio::test(start_paused = true)]
async fn a_dial_ends_at_its_limit() {
    let session = Session::begin(DialerConfig::default().dial_limit(5 * SECOND));
    let begin = Instant::now();
    let error = session.dialer.dial().await.unwrap_err();
    assert!(matches!(error, DialError::TimedOut { limit } if limit == 5 * SECOND));
    assert_eq!(begin.elapsed().as_secs(), 5);
    assert!(session.dialer.dial_within(SECOND).await.is_err());
    assert_eq!(begin.elapsed().as_secs(), 6);
}

#[tokio::test(start_paused = true)]
async fn more_dials_than_allowed_fail_at_once() {
    let session = Session::begin(DialerConfig::default().max_pending(2));
    let dials = [session.dial(), session.dial()];
    tokio::task::yield_now().await;
    assert!(matches!(
        session.dialer.dial().await,
        Err(DialError::TooManyPending)
    ));
    let _theirs = (session.pick_up(), session.pick_up());
    for dial in dials {
        dial.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_dial_leaves_no_trace_but_its_connection() {
    let mut session = Session::begin(DialerConfig::default().max_pending(1));
    for _ in 0..10 {
        let dialing = session.dial();
        session.said().await;
        dialing.abort();
        assert!(dialing.await.unwrap_err().is_cancelled());
    }
    let mut theirs = session.pick_up();
    assert_eq!(session.dialer.stocked(), 1);
    let mut conn = session.dialer.dial().await.unwrap();
    assert!(are_joined(&mut conn, &mut theirs).await);
}

#[tokio::test(start_paused = true)]
async fn a_connection_given_to_a_dial_at_the_moment_it_is_dropped_is_not_lost() {
    let session = Session::begin(DialerConfig::default());
    {
        let dialing = session.dialer.dial();
        tokio::pin!(dialing);
        // Polled once, then given a connection, and never polled again.
        assert!(timeout(Duration::ZERO, &mut dialing).await.is_err());
        let _theirs = session.pick_up();
        assert_eq!(session.dialer.stocked(), 0);
    }
    assert_eq!(session.dialer.stocked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dial_dropped_before_its_request_was_sent_sends_none() {
    // There is room for the first line alone.
    let mut session = Session::with_buffer(DialerConfig::default(), KEEP_ALIVE.len());
    tokio::task::yield_now().await;
    let (first, second) = (session.dial(), session.dial());
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    // The lines of both are under way or waiting; a third has not been offered to the stream.
    let third = session.dial();
    tokio::task::yield_now().await;
    third.abort();
    let _ = third.await;
    let said = session.said().await;
    assert_eq!(said.matches("conn-ready").count(), 2, "{said}");
    drop((first, second));
}

#[test]
fn a_dial_cancelled_before_its_request_was_sent_is_not_counted_on() {
    let now = std::time::Instant::now();
    let config = DialerConfig::default();
    let mut core: DialerCore<()> = DialerCore::new(&PickupPath::default(), &id(), config, now);
    let waiting = core.dial(now, now + SECOND).unwrap();
    while core.poll_transmit().is_some() {}
    let unsent = core.dial(now, now + SECOND).unwrap();
    core.cancel(unsent);
    assert!(!core.wants_transmit());
    // The one pick-up that was asked for fails, and with it the one dial.
    let failed = Message::PickupFailed {
        conn_path: None,
        error: "no".into(),
    };
    core.receive(&failed.encode(), now).unwrap();
    let Some(DialerEvent::Failed { dial, .. }) = core.poll_event() else {
        panic!("it waits on");
    };
    assert_eq!(dial, waiting);
}

#[tokio::test(start_paused = true)]
async fn a_limit_without_end_is_none() {
    let session = Session::begin(DialerConfig::default());
    let dialing = timeout(3600 * SECOND, session.dialer.dial_within(Duration::MAX));
    assert!(dialing.await.is_err(), "it still waits");
}

#[tokio::test(start_paused = true)]
async fn a_failure_meant_for_a_dial_that_gave_up_harms_no_other() {
    let mut session = Session::begin(DialerConfig::default());
    let given_up = session.dial();
    session.said().await;
    given_up.abort();
    let _ = given_up.await;
    let dialing = session.dial();
    session.said().await;
    // Two were asked for, one of them has failed, and one is waited for.
    session.pick_up_failed().await;
    tokio::task::yield_now().await;
    assert!(!dialing.is_finished());
    // Now none is left to come.
    session.pick_up_failed().await;
    assert!(
        matches!(dialing.await.unwrap(), Err(DialError::PickupFailed { error }) if error == "no")
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_may_be_that_of_the_connection_before_is_asked_about() {
    let mut session = Session::begin(DialerConfig::default());
    let first = session.dial();
    session.said().await;
    drop(session.pick_up());
    first.await.unwrap().unwrap();
    // The listener did not see the `101`, and says so after the next dial has begun.
    let second = session.dial();
    session.said().await;
    session.pick_up_failed().await;
    assert_eq!(session.said().await, conn_ready() + KEEP_ALIVE);
    assert!(!second.is_finished());
    let mut theirs = session.pick_up();
    assert!(are_joined(&mut second.await.unwrap().unwrap(), &mut theirs).await);

    // Twice is no doubt, and nor is a connection of long ago.
    let third = session.dial();
    session.said().await;
    session.pick_up_failed().await;
    session.said().await;
    session.pick_up_failed().await;
    assert!(matches!(
        third.await.unwrap(),
        Err(DialError::PickupFailed { .. })
    ));
    sleep(30 * SECOND).await;
    let fourth = session.dial();
    session.said().await;
    session.pick_up_failed().await;
    assert!(matches!(
        fourth.await.unwrap(),
        Err(DialError::PickupFailed { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn surplus_connections_are_kept_up_to_a_number_and_an_age() {
    let session = Session::begin(DialerConfig::default().max_stock(2).stock_age(60 * SECOND));
    let mut theirs = [session.pick_up(), session.pick_up(), session.pick_up()];
    assert_eq!(session.dialer.stocked(), 2);
    assert_eq!(
        theirs[2].read(&mut [0]).await.unwrap(),
        0,
        "the third is closed"
    );
    sleep(59 * SECOND).await;
    assert_eq!(session.dialer.stocked(), 2);
    sleep(2 * SECOND).await;
    assert_eq!(session.dialer.stocked(), 0);
    assert_eq!(theirs[0].read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stocked_connection_that_has_died_is_not_given_out() {
    let mut session = Session::begin(DialerConfig::default());
    let (mut alive, dead) = (session.pick_up(), session.pick_up());
    drop(dead);
    let mut conn = session.dialer.dial().await.unwrap();
    assert!(are_joined(&mut conn, &mut alive).await);
    assert_eq!(
        session.said().await,
        KEEP_ALIVE,
        "no connection was asked for"
    );
}

#[tokio::test(start_paused = true)]
async fn a_warm_stock_is_filled_at_once_and_again_after_every_dial() {
    let mut session = Session::begin(DialerConfig::default().warm(2));
    let request = conn_ready() + KEEP_ALIVE;
    assert_eq!(
        session.said().await,
        KEEP_ALIVE.to_owned() + &request.repeat(2)
    );
    let mut theirs = [session.pick_up(), session.pick_up()];
    assert_eq!(session.said().await, "");
    let begin = Instant::now();
    let mut conn = session.dialer.dial().await.unwrap();
    assert_eq!(begin.elapsed(), Duration::ZERO, "there was no round trip");
    assert!(are_joined(&mut conn, &mut theirs[1]).await);
    assert_eq!(session.said().await, request);
    let _third = session.pick_up();
    assert_eq!(session.said().await, "");
    // At its age a connection is replaced.
    sleep(61 * SECOND).await;
    assert_eq!(session.said().await.matches("conn-ready").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_warm_stock_does_not_press_a_listener_that_fails() {
    let mut session = Session::begin(DialerConfig::default().warm(1));
    let begin = Instant::now();
    let mut requests = 0;
    while begin.elapsed() < 120 * SECOND {
        let said = session.said().await;
        for _ in said.matches("conn-ready") {
            requests += 1;
            session.pick_up_failed().await;
        }
        sleep(SECOND / 10).await;
    }
    // At 0, 1, 3, 7, 15, 31, 61, 91 seconds, about.
    assert!((7..=9).contains(&requests), "{requests} in two minutes");
    // A dial does not wait for that.
    let dialing = session.dial();
    assert_eq!(session.said().await, conn_ready() + KEEP_ALIVE);
    let _theirs = session.pick_up();
    dialing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn pick_ups_that_fail_together_count_as_one_failure() {
    let mut session = Session::begin(DialerConfig::default().warm(3));
    session.said().await;
    for _ in 0..3 {
        session.pick_up_failed().await;
    }
    sleep(SECOND + SECOND / 10).await;
    assert_eq!(session.said().await.matches("conn-ready").count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_warm_stock_does_not_fail_a_dial_that_has_its_own_request() {
    let mut session = Session::begin(DialerConfig::default().warm(1));
    session.said().await;
    let dialing = session.dial();
    session.said().await;
    session.pick_up_failed().await;
    tokio::task::yield_now().await;
    assert!(!dialing.is_finished());
    let _theirs = session.pick_up();
    dialing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_does_not_read_is_given_up_after_the_write_limit() {
    let session = Session::with_buffer(DialerConfig::default(), 10);
    let begin = Instant::now();
    let dialing = session.dial();
    assert!(matches!(session.dialer.closed().await, SessionEnd::Stalled));
    assert_eq!(begin.elapsed().as_secs(), 10);
    assert!(matches!(
        dialing.await.unwrap(),
        Err(DialError::Closed(SessionEnd::Stalled))
    ));
    assert!(session.registry.is_empty());

    // Without one it waits.
    let session = Session::with_buffer(DialerConfig::default().write_limit(None), 10);
    assert!(
        timeout(3600 * SECOND, session.dialer.closed())
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_reads_slowly_is_not_given_up() {
    let mut session = Session::with_buffer(DialerConfig::default(), 10);
    let mut said = Vec::new();
    while said.len() < KEEP_ALIVE.len() {
        sleep(SECOND).await;
        session.control.read_buf(&mut said).await.unwrap();
    }
    sleep(20 * SECOND).await;
    assert!(!session.dialer.is_closed());
}

#[tokio::test(start_paused = true)]
async fn what_a_listener_says_is_heard_while_it_does_not_read() {
    let mut session = Session::with_buffer(DialerConfig::default(), 60);
    session.control.write_all(b"xyz\n").await.unwrap();
    assert!(matches!(
        session.dialer.closed().await,
        SessionEnd::Protocol(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_sends_an_endless_line_is_hung_up_on() {
    let mut session = Session::begin(DialerConfig::default());
    // It does not even get to send all of this.
    let sent = timeout(SECOND, session.control.write_all(&[b'x'; 1 << 20])).await;
    assert!(matches!(sent, Ok(Err(_))), "{sent:?}");
    assert!(matches!(
        session.dialer.closed().await,
        SessionEnd::Protocol(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_closes_what_it_stocked_and_not_what_it_gave() {
    let mut session = Session::begin(DialerConfig::default());
    let mut given = session.pick_up();
    let mut conn = session.dialer.dial().await.unwrap();
    let mut stocked = session.pick_up();
    session.dialer.close().await;
    assert_eq!(stocked.read(&mut [0]).await.unwrap(), 0);
    assert!(are_joined(&mut conn, &mut given).await);
    // The peer was told: the control connection ended.
    session.said().await;
    assert_eq!(session.control.read(&mut [0]).await.unwrap(), 0);
    let (_theirs, ours) = duplex(1);
    assert!(
        session
            .registry
            .deliver(session.dialer.id(), Connection::new(ours))
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_ends_the_session() {
    let mut session = Session::begin(DialerConfig::default());
    let clone = session.dialer.clone();
    drop(session.dialer);
    tokio::task::yield_now().await;
    assert_eq!(session.registry.len(), 1);
    drop(clone);
    tokio::task::yield_now().await;
    assert!(session.registry.is_empty());
    let mut rest = Vec::new();
    session.control.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_id_is_for_one_dialer_at_a_time() {
    let session = Session::begin(DialerConfig::default());
    let again = || {
        let (_control, ours) = duplex(1);
        Dialer::new(
            ours,
            &PickupPath::default(),
            id(),
            &session.registry,
            DialerConfig::default(),
        )
    };
    assert!(matches!(again(), Err(NewDialerError::IdInUse)));
    session.dialer.close().await;
    assert!(again().is_ok());
}

#[tokio::test(start_paused = true)]
async fn configurations_that_cannot_work_are_refused() {
    for (config, setting) in [
        (
            DialerConfig::default().keep_alive(Duration::ZERO),
            "keep_alive",
        ),
        (
            DialerConfig::default().write_limit(Some(Duration::ZERO)),
            "write_limit",
        ),
        (DialerConfig::default().max_pending(0), "max_pending"),
        (
            DialerConfig::default().stock_age(Duration::ZERO),
            "stock_age",
        ),
    ] {
        let (_control, ours) = duplex(1);
        let made = Dialer::new(
            ours,
            &PickupPath::default(),
            id(),
            &PickupRegistry::new(),
            config,
        );
        let Err(NewDialerError::Config(error)) = made else {
            panic!("{setting}")
        };
        assert_eq!(error, ConfigError::Zero { setting });
    }
    let (_control, ours) = duplex(1);
    let config = DialerConfig::default().dial_limit(Duration::MAX);
    let made = Dialer::new(
        ours,
        &PickupPath::default(),
        id(),
        &PickupRegistry::new(),
        config,
    );
    assert!(matches!(
        made,
        Err(NewDialerError::Config(ConfigError::TooLong { .. }))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_stream_carries_a_megabyte_both_ways() {
    let session = Session::begin(DialerConfig::default());
    let mut theirs = session.pick_up();
    let mut conn = session.dialer.dial().await.unwrap();
    let echo = tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(&mut theirs);
        tokio::io::copy(&mut read, &mut write).await
    });
    for _ in 0..1024 {
        round_trip(&mut conn, &[42; 1024]).await;
    }
    drop(conn);
    assert_eq!(echo.await.unwrap().unwrap(), 1 << 20);
}
