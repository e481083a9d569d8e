use std::time::{Duration, SystemTime};

use livelog::{Buffer, Config};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn times_are_those_of_the_writes() {
    let log = Buffer::with_config(Config::default().time_index(Duration::from_secs(1))).unwrap();
    assert_eq!(log.time_at(0), None);
    log.append_at(b"go\n", at(10));
    log.append_at(b"same second\n", at(10));
    log.append_at(b"", at(11));
    log.append_at(b"later\n", at(15));
    assert_eq!(
        [0, 14, 15, 99].map(|offset| log.time_at(offset)),
        [10, 10, 15, 15].map(|s| Some(at(s)))
    );
    let marks: Vec<_> = log
        .times()
        .iter()
        .map(|mark| (mark.offset, mark.time))
        .collect();
    assert_eq!(marks, [(0, at(10)), (15, at(15))]);
}

#[test]
fn the_clock_is_read_if_no_time_is_given() {
    let log = Buffer::with_config(Config::default().time_index(Duration::ZERO)).unwrap();
    let before = SystemTime::now();
    log.append(b"now");
    let time = log.time_at(0).unwrap();
    assert!(before <= time && time <= SystemTime::now());
}

#[test]
fn without_an_index_there_are_no_times() {
    let log = Buffer::new();
    log.append_at(b"x", at(1));
    assert_eq!((log.time_at(0), log.times()), (None, vec![]));
}

#[test]
fn dropped_bytes_are_not_timed() {
    let config = Config::default().limit(23 + 2).time_index(Duration::ZERO);
    let log = Buffer::with_config(config).unwrap();
    log.append_at(b"ab", at(1));
    log.append_at(b"c", at(2)); // adds the marker
    log.append_at(b"d", at(3));
    assert_eq!(log.times().len(), 2);
    assert_eq!(log.time_at(24), Some(at(2)));
}
