//! What idle sessions cost, and that busy ones give back what they took.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use allocation_counter::measure;
use revdial::proto::{DialerId, PickupPath};
use revdial::{Dialer, DialerConfig, ListenerConfig, PickupRegistry};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Builder;

use crate::coordinator::{Coordinator, echo, round_trip};

/// A peer that takes everything and says nothing.
struct Quiet;

impl AsyncRead for Quiet {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Quiet {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The bytes that `make` leaves allocated, on a runtime of this thread alone.
fn held_by<T>(make: impl AsyncFnOnce() -> T) -> u64 {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let mut kept = None;
    let info = measure(|| kept = Some(runtime.block_on(make())));
    drop(kept);
    u64::try_from(info.bytes_current).unwrap()
}

#[test]
fn ten_thousand_idle_sessions_cost_less_than_3_kib_each() {
    let held = held_by(async || {
        let registry = PickupRegistry::new();
        let mut dialers = Vec::new();
        for number in 0..10_000_u128 {
            let id = DialerId::from_bytes(number.to_be_bytes());
            let path = PickupPath::default();
            dialers
                .push(Dialer::new(Quiet, &path, id, &registry, DialerConfig::default()).unwrap());
        }
        // Several keep-alives have been sent.
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(registry.len(), 10_000);
        dialers
    });
    let each = held / 10_000;
    assert!(each < 3072, "{each} bytes for each session");
}

#[test]
fn a_session_that_was_busy_is_as_small_as_before() {
    let run = |dials: u32| {
        held_by(async || {
            let mut coordinator = Coordinator::new(DialerConfig::default());
            let (listener, worker) = coordinator
                .register(ListenerConfig::default())
                .await
                .unwrap();
            let serving = echo(listener);
            for number in 0..dials {
                let mut conn = worker.dialer.dial().await.unwrap();
                round_trip(&mut conn, &number.to_be_bytes()).await;
            }
            // The last streams end.
            tokio::time::sleep(Duration::from_secs(1)).await;
            (coordinator, worker, serving)
        })
    };
    let (few, many) = (run(20), run(1000));
    // Queues and maps keep the room that they once needed, which does not grow with the number of dials.
    assert!(
        many < few + 4096,
        "{few} bytes after 20 dials, {many} after 1000"
    );
}
