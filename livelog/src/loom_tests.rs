//! Every interleaving of writing, closing, reading and closing a reader, as loom finds them.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p livelog --lib --release loom`

use std::io::Read as _;

use loom::thread;

use crate::{Buffer, Config, Reader};

fn read_to_end(mut reader: Reader) -> Vec<u8> {
    let mut all = Vec::new();
    reader.read_to_end(&mut all).expect("this log is in memory");
    all
}

#[test]
fn a_reader_gets_every_write_and_the_end() {
    loom::model(|| {
        let log = Buffer::new();
        let reader = log.reader();
        let reading = thread::spawn(move || read_to_end(reader));
        log.append(b"a");
        log.append(b"b");
        log.close();
        assert_eq!(reading.join().unwrap(), b"ab");
    });
}

#[test]
fn each_of_two_waiting_readers_is_woken() {
    // All interleavings of three threads did not end within minutes. A lost wake-up needs one preemption.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let log = Buffer::new();
        let readers = [log.reader(), log.reader()];
        let reading = readers.map(|mut reader| {
            thread::spawn(move || {
                let mut dst = [0; 2];
                let n = reader.read(&mut dst).expect("this log is in memory");
                dst[..n].to_vec()
            })
        });
        log.append(b"a");
        for reading in reading {
            assert_eq!(reading.join().unwrap(), b"a");
        }
    });
}

#[test]
fn closing_a_reader_ends_its_read_and_no_other() {
    loom::model(|| {
        let log = Buffer::new();
        let mut closed = log.reader();
        let closer = closed.closer();
        let reading = thread::spawn(move || {
            let first = closed.read(&mut [0; 1]).expect("this log is in memory");
            (
                first,
                closed.read(&mut [0; 1]).expect("this log is in memory"),
            )
        });
        closer.close();
        log.append(b"a");
        assert_eq!(
            log.reader()
                .read(&mut [0; 1])
                .expect("this log is in memory"),
            1
        );
        // The close may come between the two reads; there is one byte for both.
        let (first, second) = reading.join().unwrap();
        assert!(first <= 1 && second == 0);
    });
}

#[test]
fn dropping_the_last_writer_ends_the_reader() {
    loom::model(|| {
        let log = Buffer::new();
        let other = log.clone();
        let reader = log.reader();
        let writing = thread::spawn(move || other.append(b"b"));
        log.append(b"a");
        drop(log);
        let mut all = read_to_end(reader);
        all.sort_unstable();
        assert_eq!(all, b"ab");
        writing.join().unwrap();
    });
}

#[test]
fn a_close_races_with_a_write_but_not_with_what_readers_see() {
    loom::model(|| {
        let log = Buffer::new();
        let other = log.clone();
        let closing = thread::spawn(move || other.close());
        log.append(b"a");
        let seen = read_to_end(log.reader());
        closing.join().unwrap();
        assert_eq!(log.to_vec().expect("this log is in memory"), seen);
        assert_eq!(log.len() + log.dropped(), 1);
    });
}

#[test]
fn a_slow_reader_of_a_tail_gets_one_consistent_stream() {
    loom::model(|| {
        let log = Buffer::with_config(Config::default().head_and_tail(1, 1)).unwrap();
        let reader = log.reader();
        let reading = thread::spawn(move || read_to_end(reader));
        log.append(b"ab");
        log.append(b"c");
        log.close();
        let all = reading.join().unwrap();
        assert!(
            all == b"abc" || all == b"a\n\n... 1 bytes dropped ...\n\nc",
            "{all:?}"
        );
    });
}
