//! A worker and a coordinator of this crate, over streams in memory and in virtual time.

use std::time::Duration;

use revdial::{DialError, DialerConfig, ListenerConfig, SessionEnd};
use tokio::task::JoinSet;

use crate::coordinator::{Coordinator, echo, round_trip};

#[tokio::test(start_paused = true)]
async fn a_dial_gives_a_stream_to_the_worker() {
    let mut coordinator = Coordinator::new(DialerConfig::default());
    let (listener, worker) = coordinator
        .register(ListenerConfig::default())
        .await
        .unwrap();
    assert_eq!(worker.claim.host_name(), "host-a");
    let _serving = echo(listener);
    let mut conn = worker.dialer.dial().await.unwrap();
    round_trip(&mut conn, b"hello").await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_dials_at_once_each_get_a_stream_of_their_own() {
    let mut coordinator = Coordinator::new(DialerConfig::default());
    let (listener, worker) = coordinator
        .register(ListenerConfig::default())
        .await
        .unwrap();
    let _serving = echo(listener);
    let mut dials = JoinSet::new();
    for n in 0..100_u32 {
        let dialer = worker.dialer.clone();
        dials.spawn(async move {
            let mut conn = dialer.dial().await.unwrap();
            round_trip(&mut conn, &n.to_be_bytes()).await;
            conn
        });
    }
    let conns = dials.join_all().await;
    assert_eq!(conns.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn dials_fail_at_once_when_the_worker_goes() {
    let mut coordinator = Coordinator::new(DialerConfig::default());
    let (listener, worker) = coordinator
        .register(ListenerConfig::default())
        .await
        .unwrap();
    listener.close().await;
    assert!(matches!(
        worker.dialer.closed().await,
        SessionEnd::PeerClosed
    ));
    assert!(matches!(
        worker.dialer.dial().await,
        Err(DialError::Closed(SessionEnd::PeerClosed))
    ));
    assert!(coordinator.door.registry().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_lives_on_keep_alives() {
    let mut coordinator = Coordinator::new(DialerConfig::default());
    let (listener, worker) = coordinator
        .register(ListenerConfig::default())
        .await
        .unwrap();
    let _serving = echo(listener);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!worker.dialer.is_closed());
    round_trip(&mut worker.dialer.dial().await.unwrap(), b"still there").await;
}
