use std::future::Future as _;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures_core::Stream as _;
use livelog::{Buffer, Config, ReadError, Reader, Spill};
use tokio::io::AsyncReadExt;

fn poll_next(reader: &mut Reader, waker: &Waker) -> Poll<Option<Bytes>> {
    Pin::new(reader).poll_next(&mut Context::from_waker(waker))
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_stream_waits_for_chunks_and_ends_with_the_log() {
    let log = Buffer::new();
    let mut reader = log.reader();
    assert_eq!(poll_next(&mut reader, Waker::noop()), Poll::Pending);
    log.append(b"one ");
    log.append(b"two");
    assert_eq!(
        poll_next(&mut reader, Waker::noop()),
        Poll::Ready(Some("one two".into()))
    );
    assert_eq!(poll_next(&mut reader, Waker::noop()), Poll::Pending);
    log.close();
    assert_eq!(poll_next(&mut reader, Waker::noop()), Poll::Ready(None));
    assert_eq!(poll_next(&mut reader, Waker::noop()), Poll::Ready(None));
}

#[test]
fn a_reader_that_was_woken_and_has_not_run_is_not_woken_again() {
    let log = Buffer::new();
    let mut reader = log.reader();
    let idle = log.reader();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    for round in 1..=3 {
        assert_eq!(poll_next(&mut reader, &waker), Poll::Pending);
        assert_eq!(poll_next(&mut reader, &waker), Poll::Pending);
        for _ in 0..10 {
            log.append(b"x");
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), round);
        assert_eq!(
            poll_next(&mut reader, &waker),
            Poll::Ready(Some("xxxxxxxxxx".into()))
        );
    }
    assert_eq!(idle.offset(), 0);
}

#[test]
fn a_dropped_future_has_taken_nothing_and_a_dropped_reader_holds_no_waker() {
    let log = Buffer::new();
    let mut reader = log.reader();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    {
        let next = pin!(reader.next_chunk());
        assert!(next.poll(&mut Context::from_waker(&waker)).is_pending());
    }
    log.append(b"x");
    assert_eq!(
        poll_next(&mut reader, &waker),
        Poll::Ready(Some("x".into()))
    );
    assert_eq!(poll_next(&mut reader, &waker), Poll::Pending);
    assert_eq!(log.waiting_readers(), 1);
    drop(reader);
    assert_eq!((log.waiting_readers(), log.readers()), (0, 0));
    drop(waker);
    assert_eq!(Arc::strong_count(&wakes), 1);
}

#[test]
fn a_waker_may_hold_the_last_of_the_log() {
    struct HoldsReader(
        #[expect(dead_code, reason = "held to be dropped")] std::sync::Mutex<Reader>,
    );
    impl Wake for HoldsReader {
        fn wake(self: Arc<Self>) {}
    }
    // Dropping the replaced waker drops a reader, which takes the lock: it must not be held then.
    let log = Buffer::new();
    let mut reader = log.reader();
    let waker = Waker::from(Arc::new(HoldsReader(std::sync::Mutex::new(log.reader()))));
    assert_eq!(poll_next(&mut reader, &waker), Poll::Pending);
    drop(waker);
    assert_eq!(log.readers(), 2);
    assert_eq!(poll_next(&mut reader, Waker::noop()), Poll::Pending);
    assert_eq!(log.readers(), 1);
}

#[tokio::test]
async fn bytes_are_read_and_the_task_is_woken() {
    let log = Buffer::new();
    let mut reader = log.reader();
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        AsyncReadExt::read_to_end(&mut reader, &mut all)
            .await
            .map(|_| all)
    });
    for word in ["one", "two", "three"] {
        while log.waiting_readers() == 0 {
            tokio::task::yield_now().await;
        }
        log.append(word.as_bytes());
    }
    log.close();
    assert_eq!(reading.await.unwrap().unwrap(), b"onetwothree");
}

#[tokio::test]
async fn one_read_takes_all_that_fits_and_an_empty_one_nothing() {
    let log = Buffer::new();
    let mut reader = log.reader();
    let mut dst = [0; 5];
    assert_eq!(AsyncReadExt::read(&mut reader, &mut []).await.unwrap(), 0);
    log.append(b"abc");
    log.reader().blocking_chunk().unwrap(); // cuts the log in pieces
    log.append(b"defg");
    assert_eq!(AsyncReadExt::read(&mut reader, &mut dst).await.unwrap(), 5);
    assert_eq!(&dst, b"abcde");
    assert_eq!(AsyncReadExt::read(&mut reader, &mut dst).await.unwrap(), 2);
}

#[tokio::test]
async fn a_waiting_task_is_closed_from_elsewhere() {
    let log = Buffer::new();
    let mut reader = log.reader();
    let closer = reader.closer();
    let reading = tokio::spawn(async move { reader.next_chunk().await });
    while log.waiting_readers() == 0 {
        tokio::task::yield_now().await;
    }
    closer.close();
    assert_eq!(reading.await.unwrap().unwrap(), None);
}

#[tokio::test]
async fn a_reader_that_always_finds_bytes_lets_other_tasks_run() {
    let log = Buffer::new();
    let mut reader = log.reader();
    let other = tokio::spawn(async {});
    for n in 0.. {
        assert!(n < 10_000, "the other task starves");
        if other.is_finished() {
            break;
        }
        log.append(b"x");
        reader.next_chunk().await.unwrap();
    }
}

fn spilled(len: usize) -> (Buffer, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::default()
        .unlimited()
        .spill(Spill::in_dir(dir.path()).threshold(0));
    let log = Buffer::with_config(config).unwrap();
    let text: Vec<u8> = (0..len).map(|n| (n / 1000) as u8).collect();
    log.append(&text);
    log.close();
    (log, dir)
}

/// Runs `f` on a runtime whose only blocking thread is held until `f` drops the sender it is given.
fn with_held_blocking_thread(f: impl AsyncFnOnce(mpsc::Sender<()>)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (hold, held) = mpsc::channel::<()>();
    runtime.spawn_blocking(move || held.recv());
    runtime.block_on(f(hold));
}

#[test]
fn spilled_bytes_are_read_elsewhere_than_on_the_runtime() {
    let (log, _dir) = spilled(200_000);
    let all = log.to_vec().unwrap();
    let mut reader = log.reader();
    with_held_blocking_thread(async |hold| {
        assert!(poll_next(&mut reader, Waker::noop()).is_pending());
        drop(hold);
        let mut seen = reader.next_chunk().await.unwrap().unwrap().to_vec();
        AsyncReadExt::read_to_end(&mut reader, &mut seen)
            .await
            .unwrap();
        assert!(seen == all);
    });
}

#[test]
fn a_blocking_read_outruns_an_abandoned_load() {
    let (log, _dir) = spilled(200_000);
    let all = log.to_vec().unwrap();
    let mut reader = log.reader();
    with_held_blocking_thread(async |hold| {
        assert!(poll_next(&mut reader, Waker::noop()).is_pending());
        let mut first = [0; 100];
        assert_eq!(std::io::Read::read(&mut reader, &mut first).unwrap(), 100);
        drop(hold);
        let mut seen = first.to_vec();
        while let Some(chunk) = reader.next_chunk().await.unwrap() {
            seen.extend_from_slice(&chunk);
        }
        assert!(seen == all);
    });
}

#[test]
fn outside_of_a_runtime_spilled_bytes_are_read_at_once() {
    let (log, _dir) = spilled(70_000);
    let mut reader = log.reader();
    let Poll::Ready(Some(chunk)) = poll_next(&mut reader, Waker::noop()) else {
        panic!("there is no runtime to wait for");
    };
    assert_eq!(chunk, log.to_bytes().unwrap().slice(..chunk.len()));
}

#[tokio::test]
async fn a_stream_that_cannot_read_ends_and_the_next_chunk_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("write-only");
    let file = std::fs::File::create(&path).unwrap();
    let config = Config::default()
        .unlimited()
        .spill(Spill::to_file(file).threshold(0));
    let log = Buffer::with_config(config).unwrap();
    log.append(&[b'x'; 1 << 20]);
    let mut reader = log.reader();
    let next = std::future::poll_fn(|cx| Pin::new(&mut reader).poll_next(cx)).await;
    assert_eq!(next, None);
    let ReadError::Spill { offset, .. } = reader.next_chunk().await.unwrap_err() else {
        panic!("there is no other");
    };
    assert_eq!(offset, 0);
}
