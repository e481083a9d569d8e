use livelog::{Buffer, Config, ConfigError, Cut, Reader, Spill};

use crate::{read, read_to_end};

fn log(head: usize, tail: usize) -> Buffer {
    Buffer::with_config(Config::default().head_and_tail(head, tail)).unwrap()
}

#[test]
fn a_reader_that_attaches_late_sees_head_marker_and_tail() {
    let log = log(5, 5);
    log.append(b"first line\nlast!");
    let expected = "first\n\n... 6 bytes dropped ...\n\nlast!";
    assert_eq!(log.to_string_lossy().unwrap(), expected);
    assert_eq!(log.len(), expected.len() as u64);
    assert_eq!(
        (log.end(), log.dropped(), log.is_truncated()),
        (16, 6, true)
    );
    let mut reader = log.reader();
    assert_eq!(read(&mut reader), expected);
    assert_eq!(reader.offset(), 16);
}

#[test]
fn a_reader_that_keeps_up_sees_everything_and_no_marker() {
    let log = log(10, 10);
    let mut reader = log.reader();
    let mut seen = String::new();
    let mut written = String::new();
    for n in 0..1000 {
        let word = format!("{n} ");
        log.append(word.as_bytes());
        seen += &read(&mut reader);
        written += &word;
    }
    assert_eq!(seen, written);
    assert!(log.is_truncated());
}

#[test]
fn a_reader_that_falls_behind_is_told_once_how_much_it_missed() {
    let log = log(4, 4);
    let mut reader = log.reader();
    log.append(b"abcdef");
    assert_eq!(read(&mut reader), "abcdef");
    log.append(b"ghijklmn");
    assert_eq!(read(&mut reader), "\n\n... 4 bytes dropped ...\n\nklmn");
    log.append(b"op");
    assert_eq!(read(&mut reader), "op");
    assert_eq!(
        read(&mut log.reader()),
        "abcd\n\n... 8 bytes dropped ...\n\nmnop"
    );
}

#[test]
fn a_marker_that_was_begun_is_finished_and_resuming_in_it_shows_it_again() {
    let log = log(2, 2);
    log.append(b"abcdef");
    let mut reader = log.reader();
    let read_some = |reader: &mut Reader, n: usize| {
        let mut dst = vec![0; n];
        std::io::Read::read_exact(reader, &mut dst).unwrap();
        String::from_utf8(dst).unwrap()
    };
    assert_eq!(read_some(&mut reader, 10), "ab\n\n... 2 ");
    assert_eq!(reader.offset(), 2, "before the gap");
    log.append(b"gh");
    let mut second = log.reader_at(reader.offset());
    assert_eq!(read(&mut second), "\n\n... 4 bytes dropped ...\n\ngh");
    // The first reader was promised byte 4, which is gone by now.
    assert_eq!(
        read(&mut reader),
        "bytes dropped ...\n\n\n\n... 2 bytes dropped ...\n\ngh"
    );
}

#[test]
fn the_tail_may_begin_with_a_line() {
    let config = Config::default().head_and_tail(16, 24).cut(Cut::Line);
    let log = Buffer::with_config(config).unwrap();
    for n in 0..100 {
        log.append(format!("line {n}\n").as_bytes());
    }
    log.close();
    let text = String::from_utf8(read_to_end(log.reader())).unwrap();
    assert_eq!(
        text,
        "line 0\nline 1\nli\n\n... 758 bytes dropped ...\n\nline 98\nline 99\n"
    );
    assert_eq!(log.to_string_lossy().unwrap(), text);
    assert_eq!(log.len(), text.len() as u64);
}

#[test]
fn a_tail_does_not_spill() {
    let config = Config::default()
        .head_and_tail(1, 1)
        .spill(Spill::in_dir(std::env::temp_dir()));
    assert_eq!(
        Buffer::with_config(config).unwrap_err(),
        ConfigError::TailCannotSpill
    );
}
