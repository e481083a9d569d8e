use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::thread;

use allocation_counter::measure;
use livelog::{Buffer, Config, ConfigError, ReadError, Spill, TRUNCATION_MARKER};

use crate::{read_to_end, until_waiting};

const CHUNK: usize = 64 << 10;

fn unlimited(spill: Spill) -> Buffer {
    Buffer::with_config(Config::default().unlimited().spill(spill)).unwrap()
}

fn text(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

#[test]
fn a_log_without_a_limit_must_spill() {
    let error = Buffer::with_config(Config::default().unlimited()).unwrap_err();
    assert_eq!(error, ConfigError::Unbounded);
}

#[test]
fn everything_is_kept_and_little_of_it_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let log = unlimited(Spill::in_dir(dir.path()).threshold(100_000));
    let all = text(10_000_000);
    let used = measure(|| {
        for write in all.chunks(1000) {
            log.append(write);
        }
    });
    assert!(used.bytes_max < 100_000 + 3 * CHUNK as u64, "{used:?}");
    assert!(!log.is_truncated());
    assert_eq!((log.len(), log.dropped()), (10_000_000, 0));
    assert!(log.to_vec().unwrap() == all);

    let resumed = log.reader_at(65_000);
    log.append(b"end");
    log.close();
    let from_start = read_to_end(log.reader());
    assert!(from_start.strip_suffix(b"end").unwrap() == all);
    assert!(read_to_end(resumed) == from_start[65_000..]);
}

#[test]
fn small_reads_and_chunks_of_the_file_are_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let log = unlimited(Spill::in_dir(dir.path()).threshold(0));
    let all = text(3 * CHUNK);
    log.append(&all);
    log.close();
    let mut reader = log.reader();
    let mut seen = vec![0; 1000];
    reader.read_exact(&mut seen).unwrap();
    assert_eq!(reader.offset(), 1000);
    while let Some(chunk) = reader.blocking_chunk().unwrap() {
        assert!(chunk.len() <= CHUNK);
        seen.extend_from_slice(&chunk);
    }
    assert!(seen == all);
}

#[test]
fn the_limit_holds_for_logs_that_spill() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::default()
        .limit(200_000 + 23)
        .spill(Spill::in_dir(dir.path()).threshold(1000));
    let log = Buffer::with_config(config).unwrap();
    log.append(&text(300_000));
    let all = log.to_vec().unwrap();
    assert!(all.strip_suffix(TRUNCATION_MARKER.as_bytes()).unwrap() == text(200_000));
    assert_eq!(log.dropped(), 100_000);
}

#[test]
fn a_log_below_the_threshold_has_no_file_and_none_is_left_behind() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("made later");
    let log = unlimited(Spill::in_dir(&dir).threshold(CHUNK));
    log.append(&[b'x'; 60_000]);
    assert!(
        log.spill_error().is_none(),
        "the directory does not exist, which is not noticed yet"
    );
    fs::create_dir(&dir).unwrap();
    log.append(&[b'x'; 60_000]);
    log.append(&[b'x'; 60_000]);
    assert!(log.spill_error().is_none());
    let reader = log.reader();
    log.close();
    drop(log);
    #[cfg(unix)]
    assert_eq!(
        fs::read_dir(&dir).unwrap().count(),
        0,
        "the file is hidden even while it is used"
    );
    assert_eq!(read_to_end(reader).len(), 180_000);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn a_file_that_was_given_holds_the_start_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spill");
    let file = File::create_new(&path).unwrap();
    drop(file);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let log = unlimited(Spill::to_file(file).threshold(0));
    let all = text(5 * CHUNK);
    log.append(&all);
    let spilled = fs::read(&path).unwrap();
    assert!(spilled.len() >= 4 * CHUNK);
    assert!(all.starts_with(&spilled));
}

#[test]
fn a_file_that_cannot_be_written_ends_the_log_but_not_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read-only");
    fs::write(&path, "").unwrap();
    let log = unlimited(Spill::to_file(File::open(&path).unwrap()).threshold(CHUNK));
    let reader = log.reader();
    let reading = thread::spawn(move || read_to_end(reader));
    until_waiting(&log, 1);
    let all = text(200_000);
    log.append(&all);
    log.append(b"later");
    let error = log.spill_error().unwrap();
    assert_eq!(error.offset(), 0);
    assert_eq!(
        error.to_string(),
        "cannot write byte 0 of the log to its spill file"
    );
    assert!(std::error::Error::source(&error).is_some());
    assert!(log.is_truncated());
    assert_eq!(log.dropped(), 5);
    until_waiting(&log, 1);
    log.close();
    let seen = reading.join().unwrap();
    assert!(seen.strip_suffix(TRUNCATION_MARKER.as_bytes()).unwrap() == all);
    assert!(log.to_vec().unwrap() == seen);
}

#[test]
fn a_directory_that_is_missing_ends_the_log_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let log = unlimited(Spill::in_dir(dir.path().join("missing")).threshold(0));
    log.append(&text(CHUNK));
    let error = log.spill_error().unwrap();
    assert_eq!(error.io_error().kind(), ErrorKind::NotFound);
    assert_eq!(log.len(), (CHUNK + TRUNCATION_MARKER.len()) as u64);
    log.close();
    assert_eq!(read_to_end(log.reader()).len() as u64, log.len());
}

#[test]
fn a_file_that_cannot_be_read_gives_typed_errors_and_may_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spill");
    File::create_new(&path).unwrap();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let log = unlimited(Spill::to_file(file).threshold(0));
    let all = text(2 * CHUNK);
    log.append(&all);
    log.close();
    let other = OpenOptions::new().write(true).open(&path).unwrap();
    let spilled = other.metadata().unwrap().len();
    other.set_len(10).unwrap(); // somebody else does not keep off

    let mut reader = log.reader();
    let error = reader.read(&mut [0; 100]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    let inner = error
        .get_ref()
        .unwrap()
        .downcast_ref::<ReadError>()
        .unwrap();
    assert_eq!(
        inner.to_string(),
        "cannot read byte 0 of the log from its spill file"
    );
    let ReadError::Spill { offset, .. } = reader.blocking_chunk().unwrap_err() else {
        panic!("there is no other");
    };
    assert_eq!((offset, reader.offset()), (0, 0));
    assert!(log.to_vec().is_err());

    fs::write(&path, &all[..spilled as usize]).unwrap();
    assert!(read_to_end(reader) == all);
    assert!(read_to_end(log.reader_at(spilled)) == all[spilled as usize..]);
}

#[test]
fn many_writers_and_readers_share_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let log = unlimited(Spill::in_dir(dir.path()).threshold(0));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let reader = log.reader();
            thread::spawn(move || read_to_end(reader))
        })
        .collect();
    let writers: Vec<_> = (0..4u8)
        .map(|n| {
            let log = log.clone();
            thread::spawn(move || (0..2000).for_each(|_| log.append(&[n; 250])))
        })
        .collect();
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
    log.close();
    let all = log.to_vec().unwrap();
    assert_eq!(all.len(), 2_000_000);
    assert!(
        all.chunks(250)
            .all(|write| write.iter().all(|byte| *byte == write[0]))
    );
    for reader in readers {
        assert!(reader.join().unwrap() == all);
    }
}
