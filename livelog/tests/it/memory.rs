//! What a log and its readers cost.

use allocation_counter::measure;
use livelog::{Buffer, Config, Reader};

#[test]
fn an_idle_reader_takes_less_than_200_bytes() {
    const READERS: usize = 1000;
    let log = Buffer::new();
    log.append(b"something to read");
    let mut readers = Vec::with_capacity(READERS);
    let held = measure(|| readers.extend((0..READERS).map(|_| log.reader())));
    let allocated = held.bytes_current as usize / READERS;
    let each = size_of::<Reader>() + allocated;
    assert!(each < 200, "{} + {allocated} bytes", size_of::<Reader>());
    assert!(held.count_total < 50, "no allocation per reader");

    let freed = measure(|| readers.clear());
    assert_eq!(
        freed.bytes_current, -held.bytes_current,
        "nothing is left of them"
    );
}

#[test]
fn a_small_log_is_small_and_a_closed_one_is_no_larger_than_its_text() {
    let mut log = None;
    let open = measure(|| {
        let new = Buffer::new();
        new.append(b"one line\n");
        log = Some(new);
    });
    assert!(open.bytes_current < 5000, "{open:?}");
    let closed = measure(|| log.as_ref().unwrap().close());
    assert!(
        open.bytes_current + closed.bytes_current < 800,
        "{open:?} {closed:?}"
    );
}

#[test]
fn a_log_takes_little_more_than_its_text_however_closely_it_was_followed() {
    let log = Buffer::new();
    let mut reader = log.reader();
    let mut most = 0;
    let used = measure(|| {
        for n in 0..100_000u32 {
            log.append(&n.to_le_bytes()[..1 + n as usize % 3]);
            assert!(reader.blocking_chunk().unwrap().is_some());
        }
    });
    most = most.max(used.bytes_max);
    assert_eq!(log.len(), 199_999);
    // A chunk in the making, its pieces, and the copy they are merged into.
    assert!(most < 200_000 + 3 * 65_536, "{most}");
    assert!(
        (used.bytes_current as u64) < 200_000 + 2 * 65_536,
        "{used:?}"
    );
}

#[test]
fn an_append_allocates_once_per_chunk() {
    let log = Buffer::new();
    let used = measure(|| {
        for _ in 0..20_000 {
            log.append(&[b'x'; 100]);
        }
    });
    // 4 + 8 + 16 + 32 KiB, then 64 KiB each, each with its shared part; and the growing list of them.
    assert!(used.count_total < 80, "{used:?}");
}

#[test]
fn a_tail_is_bounded() {
    let log = Buffer::with_config(Config::default().head_and_tail(10_000, 100_000)).unwrap();
    let used = measure(|| {
        for _ in 0..100_000 {
            log.append(&[b'x'; 100]);
        }
    });
    assert!(used.bytes_max < 110_000 + 2 * 65_536 + 5000, "{used:?}");
    assert_eq!(log.dropped(), 10_000_000 - 110_000);
}
