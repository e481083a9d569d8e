use std::io::{BufRead as _, Read as _, Write as _};
use std::thread;

use livelog::{Buffer, Reader, ReaderCloser};

use crate::{read, read_to_end, until_waiting};

#[test]
fn handles_go_anywhere() {
    fn anywhere<T: Send + Sync + 'static>() {}
    anywhere::<Buffer>();
    anywhere::<Reader>();
    anywhere::<ReaderCloser>();
}

#[test]
fn the_last_writer_closes_the_log() {
    let log = Buffer::default();
    let clone = log.clone();
    let reader = log.reader();
    let reading = thread::spawn(move || read_to_end(reader));
    until_waiting(&log, 1);
    log.append(b"a");
    drop(log);
    clone.append(b"b");
    drop(clone);
    assert_eq!(reading.join().unwrap(), b"ab");
}

#[test]
fn writers_do_not_mix_their_writes() {
    let log = Buffer::new();
    let writers: Vec<_> = (b'a'..=b'd')
        .map(|byte| {
            let mut log = log.clone();
            thread::spawn(move || {
                for _ in 0..1000 {
                    log.write_all(&[byte; 97]).unwrap();
                }
                log.flush().unwrap();
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let all = log.to_vec().unwrap();
    assert_eq!(all.len(), 4 * 97_000);
    for write in all.chunks(97) {
        assert!(write.iter().all(|byte| *byte == write[0]));
    }
}

#[test]
fn a_reader_resumes_at_any_offset() {
    let log = Buffer::new();
    let text: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    for write in text.chunks(777) {
        log.append(write);
    }
    let late = log.reader_at(log.end());
    let ahead = log.reader_at(log.end() + 2);
    log.append(b"12345");
    log.close();
    for offset in [0, 1, 4095, 4096, 100_000, 299_999] {
        let rest = read_to_end(log.reader_at(offset));
        assert!(rest[..rest.len() - 5] == text[offset as usize..]);
    }
    assert_eq!(read_to_end(late), b"12345");
    assert_eq!(read_to_end(ahead), b"345");
    assert_eq!(read_to_end(log.reader_at(u64::MAX)), b"");
}

#[test]
fn chunks_and_whole_logs_share_memory_with_the_log() {
    let log = Buffer::new();
    log.append(b"shared");
    let [mut one, mut other] = [log.reader(), log.reader()];
    let chunk = one.blocking_chunk().unwrap().unwrap();
    assert_eq!(chunk, "shared");
    assert_eq!(
        chunk.as_ptr(),
        other.blocking_chunk().unwrap().unwrap().as_ptr()
    );
    assert_eq!(chunk.as_ptr(), log.to_bytes().unwrap().as_ptr());
    log.close();
    assert_eq!(one.blocking_chunk().unwrap(), None);
}

#[test]
fn lines_are_read_without_a_copy() {
    let log = Buffer::new();
    log.append(b"one\ntwo\nthr");
    log.append(b"ee\n");
    log.close();
    let mut reader = log.reader();
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!((line.as_str(), reader.offset()), ("one\n", 4));
    let mut two = [0; 2];
    reader.read_exact(&mut two).unwrap();
    assert_eq!((&two, reader.offset()), (b"tw", 6));
    assert_eq!(reader.blocking_chunk().unwrap().unwrap(), "o\nthree\n");
    assert_eq!(reader.fill_buf().unwrap(), b"");
    reader.consume(0);
}

#[test]
fn a_closed_reader_forgets_what_it_showed() {
    let log = Buffer::new();
    log.append(b"one\ntwo\n");
    let mut reader = log.reader();
    assert_eq!(reader.fill_buf().unwrap(), b"one\ntwo\n");
    reader.consume(4);
    reader.closer().close();
    assert_eq!(read(&mut reader), "");
    assert_eq!(reader.fill_buf().unwrap(), b"");
}

#[test]
fn readers_are_counted() {
    let log = Buffer::new();
    let readers: Vec<_> = (0..10).map(|_| log.reader()).collect();
    assert_eq!((log.readers(), log.waiting_readers()), (10, 0));
    let closer = readers[0].closer();
    drop(readers);
    assert_eq!(log.readers(), 0);
    let mut next = log.reader();
    closer.close(); // of a reader that is gone
    log.append(b"x");
    assert_eq!(read(&mut next), "x");
}
