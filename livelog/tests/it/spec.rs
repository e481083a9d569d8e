//! The cases of upstream's behaviour that are not about truncation, by number.

use std::io::{Read as _, Write as _};
use std::thread;

use livelog::{Buffer, MAX_BUFFER_SIZE, Reader, TRUNCATION_MARKER};

use crate::{read, read_to_end, until_waiting};

/// Starts a read, which hands the reader back with what it got.
fn read_elsewhere(mut reader: Reader) -> thread::JoinHandle<(String, Reader)> {
    thread::spawn(move || (read(&mut reader), reader))
}

#[test]
fn cases_1_to_9_readers_come_and_go_while_words_are_written() {
    let log = Buffer::new();
    // 1
    (&log).write_all(b"first").unwrap();
    let mut r1 = log.reader();
    assert_eq!(read(&mut r1), "first");
    // 2
    let blocked = read_elsewhere(r1);
    until_waiting(&log, 1);
    log.append(b"second");
    let (got, r1) = blocked.join().unwrap();
    assert_eq!(got, "second");
    // 3
    let mut r2 = log.reader();
    assert_eq!(read(&mut r2), "firstsecond");
    // 4
    let blocked = [read_elsewhere(r1), read_elsewhere(r2)];
    until_waiting(&log, 2);
    log.append(b"third");
    let [(got1, r1), (got2, mut r2)] = blocked.map(|read| read.join().unwrap());
    assert_eq!([got1, got2], ["third", "third"]);
    // 5
    let mut r3 = log.reader();
    assert_eq!(read(&mut r3), "firstsecondthird");
    let closer = r3.closer();
    let blocked3 = read_elsewhere(r3);
    let blocked1 = read_elsewhere(r1);
    until_waiting(&log, 2);
    closer.close();
    let (got, mut r3) = blocked3.join().unwrap();
    assert_eq!(got, "");
    assert_eq!(
        log.waiting_readers(),
        1,
        "the other reader was not disturbed"
    );
    // 6
    log.append(b"fourth");
    let (got, r1) = blocked1.join().unwrap();
    assert_eq!(got, "fourth");
    assert_eq!(read(&mut r2), "fourth");
    assert_eq!(read(&mut r3), "");
    // 7
    let blocked = [read_elsewhere(r1), read_elsewhere(r2)];
    until_waiting(&log, 2);
    log.close();
    let [(got1, r1), (got2, _)] = blocked.map(|read| read.join().unwrap());
    assert_eq!([got1, got2], ["", ""]);
    // 8
    let mut r4 = log.reader();
    assert_eq!(read(&mut r4), "firstsecondthirdfourth");
    assert_eq!(read(&mut r4), "");
    // 9
    log.close();
    r1.close();
    r1.close();
    closer.close();
    assert_eq!(read(&mut r4), "");
}

#[test]
fn case_10_what_was_written_before_the_close_is_read_after_it() {
    let log = Buffer::new();
    log.append(b"ab");
    log.close();
    assert!(log.is_closed());
    assert_eq!(read_to_end(log.reader()), b"ab");
}

#[test]
fn case_11_an_empty_destination_reads_nothing_and_ends_nothing() {
    let log = Buffer::new();
    log.append(b"abcdef");
    let mut reader = log.reader();
    assert_eq!(reader.read(&mut []).unwrap(), 0);
    let mut dst = [0; 4];
    assert_eq!(reader.read(&mut dst).unwrap(), 4);
    assert_eq!(&dst, b"abcd");
    assert_eq!(reader.offset(), 4);
}

#[test]
fn case_12_a_closed_reader_is_at_its_end_at_once() {
    let log = Buffer::new();
    log.append(b"unread");
    let mut reader = log.reader();
    reader.close();
    assert_eq!(read(&mut reader), "");
    assert_eq!(read(&mut log.reader()), "unread");
}

/// Upstream adds them. Here a log that was stored does not change any more.
#[test]
fn case_13_differs_writes_after_the_close_are_dropped() {
    let log = Buffer::new();
    log.append(b"ab");
    log.close();
    assert_eq!((&log).write(b"cd").unwrap(), 2);
    let mut reader = log.reader();
    assert_eq!(read(&mut reader), "ab");
    assert_eq!((&log).write(b"ef").unwrap(), 2);
    assert_eq!(read(&mut reader), "");
    assert_eq!(
        (log.len(), log.dropped(), log.is_truncated()),
        (2, 4, false)
    );
}

#[test]
fn case_14_fifty_readers_that_start_at_any_time_see_the_same() {
    let log = Buffer::new();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let mut readers = Vec::new();
    for n in 0..10_000 {
        if n % 200 == 0 {
            let reader = log.reader();
            readers.push(thread::spawn(move || read_to_end(reader)));
        }
        let bytes = [n as u8; 400];
        log.append(&bytes[..next(bytes.len())]);
    }
    log.close();
    let all = log.to_vec().unwrap();
    assert!(all.len() > 1_500_000);
    assert_eq!(readers.len(), 50);
    for reader in readers {
        assert!(reader.join().unwrap() == all);
    }
}

#[test]
fn case_15_a_reader_of_a_full_log_gets_all_of_it_and_waits_for_the_close() {
    let log = Buffer::new();
    log.append(&vec![b'a'; MAX_BUFFER_SIZE]);
    let reader = log.reader();
    let reading = thread::spawn(move || read_to_end(reader));
    until_waiting(&log, 1);
    log.append(b"more");
    assert_eq!(
        log.waiting_readers(),
        1,
        "nothing was added, so nobody is woken"
    );
    log.close();
    let all = reading.join().unwrap();
    assert_eq!(all.len(), MAX_BUFFER_SIZE);
    assert!(all.ends_with(TRUNCATION_MARKER.as_bytes()));
}
