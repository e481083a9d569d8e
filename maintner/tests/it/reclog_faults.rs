//! Appending: rotation, a second writer, and what crashes leave behind.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use maintner::reclog::{
    AppendError, OpenError, Records, Sync, TornTail, Writer, WriterConfig, encode_into, segments,
};
use maintner::{Config, Corpus, pb};
use prost::Message as _;
use tempfile::tempdir;

use crate::support::{day, mutation, records};

const FILE: &str = "maintner-2020-01-02.mutlog";

fn open(dir: &Path) -> Writer {
    Writer::open(dir, WriterConfig::default()).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    segments(dir)
        .unwrap()
        .into_iter()
        .map(|segment| segment.name)
        .collect()
}

#[test]
fn each_day_has_a_file_and_offsets_begin_anew_in_it() {
    let dir = tempdir().unwrap();
    let mut log = open(dir.path());
    assert!(
        names(dir.path()).is_empty(),
        "nothing is created before something is appended"
    );
    let first = log.append_at(day(0), ["a", "b"]).unwrap();
    assert_eq!((first.start, first.end, first.records), (0, 18, 2));
    let second = log.append_at(day(0), ["c"]).unwrap();
    assert_eq!((second.start, second.end), (18, 28));
    let third = log.append_at(day(1), ["d"]).unwrap();
    assert_eq!((third.start, third.end), (0, 9));
    drop(log);

    // Somebody else goes on.
    let fourth = open(dir.path()).append_at(day(1), ["e"]).unwrap();
    assert_eq!((fourth.start, fourth.end), (9, 18));
    assert_eq!(names(dir.path()), [FILE, "maintner-2020-01-03.mutlog"]);
    assert_eq!(
        fs::read(first.segment).unwrap(),
        b"REC@0+1=aREC@9+1=bREC@12+1=c"
    );
    assert_eq!(fs::read(fourth.segment).unwrap(), b"REC@0+1=dREC@9+1=e");
}

#[test]
fn a_clock_that_goes_back_does_not_reorder_records() {
    let dir = tempdir().unwrap();
    let mut log = open(dir.path());
    log.append_at(day(5), ["a"]).unwrap();
    let back = log.append_at(day(0), ["b"]).unwrap();
    assert!(back.segment.ends_with("maintner-2020-01-07.mutlog"));
    drop(log);
    let back = open(dir.path()).append_at(day(1), ["c"]).unwrap();
    assert!(back.segment.ends_with("maintner-2020-01-07.mutlog"));
    assert_eq!(names(dir.path()).len(), 1);
}

#[test]
fn a_second_writer_is_refused_while_the_first_is_there() {
    let dir = tempdir().unwrap();
    let first = open(dir.path());
    let error = Writer::open(dir.path(), WriterConfig::default()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    drop(first);
    open(dir.path());
}

#[cfg(unix)]
#[test]
fn files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempdir().unwrap();
    let appended = open(dir.path()).append_at(day(0), ["a"]).unwrap();
    let mode = fs::metadata(appended.segment).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

#[test]
fn a_log_cut_at_any_byte_of_its_last_records_is_repaired_and_keeps_every_whole_one() {
    let mut log = Vec::new();
    let mut ends = vec![0];
    for payload in ["kept", "x", "a payload with = and REC@0+1= in it", ""] {
        encode_into(&mut log, 0, payload.as_bytes());
        ends.push(log.len());
    }
    for cut in ends[1]..=log.len() {
        let dir = tempdir().unwrap();
        let path = dir.path().join(FILE);
        fs::write(&path, &log[..cut]).unwrap();
        let whole = *ends.iter().rfind(|&&end| end <= cut).unwrap();
        let is_torn = whole < cut;

        if is_torn {
            let refuse = WriterConfig::default().torn_tail(TornTail::Refuse);
            let error = Writer::open(dir.path(), refuse).unwrap_err();
            assert!(
                matches!(error, OpenError::Torn { .. }),
                "cut at {cut}: {error}"
            );
            assert_eq!(fs::read(&path).unwrap(), log[..cut], "nothing was touched");
        }
        let mut writer = open(dir.path());
        assert_eq!(writer.torn().is_some(), is_torn, "cut at {cut}");
        if let Some(torn) = writer.torn() {
            assert_eq!(torn.error.offset(), whole as u64);
            assert_eq!(fs::read(&torn.moved_to).unwrap(), log[whole..cut]);
        }
        assert_eq!(fs::read(&path).unwrap(), log[..whole]);
        writer.append_at(day(0), ["after"]).unwrap();
        let repaired = fs::read(&path).unwrap();
        let payloads: Vec<_> = records(&repaired)
            .iter()
            .map(|record| record.payload)
            .collect();
        assert_eq!(
            payloads.len(),
            ends.iter().filter(|&&end| end <= cut).count()
        );
        assert_eq!(payloads.last().unwrap(), b"after");
    }
}

#[test]
fn of_a_log_cut_at_any_byte_a_corpus_has_every_whole_record_and_goes_on() {
    let mutations: Vec<_> = (0..4).map(mutation).collect();
    let mut log = Vec::new();
    let mut ends = vec![0];
    for mutation in &mutations {
        encode_into(&mut log, 0, mutation);
        ends.push(log.len());
    }
    for cut in ends[1]..log.len() {
        let dir = tempdir().unwrap();
        let path = dir.path().join(FILE);
        fs::write(&path, &log[..cut]).unwrap();
        let whole = ends.iter().filter(|&&end| end <= cut).count() as u64 - 1;
        let mut corpus = Corpus::at(dir.path(), Config::default());
        match corpus.update() {
            Ok(()) => assert!(ends.contains(&cut), "cut at {cut}"),
            Err(error) => assert!(error.is_incomplete(), "cut at {cut}: {error}"),
        }
        assert_eq!(corpus.view().stats().records, whole, "cut at {cut}");
        fs::write(&path, &log).unwrap();
        corpus.update().unwrap();
        assert_eq!(corpus.view().stats().records, 4, "cut at {cut}");
    }
}

/// Records have no checksums. What the format has is seen: a header says where it stands, and a length leads to the next one.
#[test]
fn a_flipped_bit_is_found_in_a_header_and_costs_no_other_record() {
    let payloads = ["kept", "x", "a payload with = and REC@0+1= in it", "last"];
    let mut log = Vec::new();
    let mut bodies = Vec::new();
    for payload in payloads {
        encode_into(&mut log, 0, payload.as_bytes());
        bodies.push(log.len() - payload.len()..log.len());
    }
    let good = records(&log);
    for bit in 0..log.len() * 8 {
        let mut bad = log.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let hit = bodies.iter().position(|body| bit / 8 < body.end).unwrap();
        let mut read = Vec::new();
        let mut failed = None;
        for record in Records::new(&bad, 0) {
            match record {
                Ok(record) => read.push(record),
                Err(error) => failed = Some(error.offset()),
            }
        }
        assert_eq!(read[..hit], good[..hit], "bit {bit}: records before it");
        if bodies[hit].contains(&(bit / 8)) {
            assert_eq!((failed, read.len()), (None, good.len()), "bit {bit}");
            assert_eq!(read[hit + 1..], good[hit + 1..]);
        } else if let Some(offset) = failed {
            // A length that is another one is seen where it leads to.
            assert!(offset >= good[hit].offset, "bit {bit}");
        } else {
            // The same number in upper case.
            assert_eq!(read, good, "bit {bit}");
        }
    }
}

#[test]
fn the_tail_of_an_earlier_day_is_repaired_too() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join(FILE), b"REC@0+1=aREC@9+5=cut").unwrap();
    let mut log = open(dir.path());
    assert!(log.torn().is_some());
    log.append_at(day(30), ["b"]).unwrap();
    assert_eq!(fs::read(dir.path().join(FILE)).unwrap(), b"REC@0+1=a");
    assert_eq!(names(dir.path()).len(), 2);
}

#[test]
fn bytes_that_a_second_crash_tore_at_the_same_place_are_kept_as_well() {
    let dir = tempdir().unwrap();
    let path = dir.path().join(FILE);
    for (n, tail) in ["REC@9+9=first", "REC@9+9=second"].iter().enumerate() {
        fs::write(&path, format!("REC@0+1=a{tail}")).unwrap();
        let log = open(dir.path());
        let moved_to = &log.torn().unwrap().moved_to;
        assert_eq!(fs::read_to_string(moved_to).unwrap(), *tail);
        assert_eq!(moved_to.to_str().unwrap().ends_with(".torn-9.1"), n == 1);
    }
}

#[test]
fn zeros_at_the_end_are_a_torn_tail() {
    for zeros in [1, 4095, 4096, 10_000] {
        let dir = tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mut bytes = b"REC@0+1=a".to_vec();
        bytes.resize(9 + zeros, 0);
        fs::write(&path, bytes).unwrap();
        assert!(open(dir.path()).torn().is_some());
        assert_eq!(fs::read(&path).unwrap(), b"REC@0+1=a");
    }
}

#[test]
fn damage_before_other_records_is_no_torn_tail() {
    let mut log = Vec::new();
    for payload in ["one", "two", "three"] {
        encode_into(&mut log, 0, payload.as_bytes());
    }
    // The length of the second record now reaches behind the end of the file.
    let mut long = log.clone();
    long.splice(18..19, *b"ff");
    let mut other = log.clone();
    other[11] = b'X'; // and here is no header
    let longest = [&log[..11], b"REC@b+9999999999999999999="].concat();
    for bytes in [&log[..17], &long, &other, &longest] {
        let dir = tempdir().unwrap();
        let path = dir.path().join(FILE);
        fs::write(&path, bytes).unwrap();
        match Writer::open(dir.path(), WriterConfig::default()) {
            Ok(writer) => assert!(bytes.len() == 17 && writer.torn().is_some()),
            Err(error) => {
                assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
                assert_eq!(fs::read(&path).unwrap(), *bytes, "nothing was touched");
            }
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_torn_record() {
    // A limit on the size of files stands for the disk: the write fails halfway, as it would there.
    if std::env::var_os("MAINTNER_TEST_FULL_DISK").is_none() {
        let dir = tempdir().unwrap();
        let test = "reclog_faults::a_full_disk_leaves_no_torn_record";
        let limited =
            format!("trap '' XFSZ; ulimit -f 16 && exec \"$0\" --exact {test} --nocapture");
        let output = Command::new("bash")
            .args(["-c", &limited])
            .arg(std::env::current_exe().unwrap())
            .env("MAINTNER_TEST_FULL_DISK", dir.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let log = fs::read(dir.path().join(FILE)).unwrap();
        let payloads: Vec<_> = records(&log)
            .iter()
            .map(|record| record.payload.len())
            .collect();
        assert_eq!(payloads, [3, 4]);
        return;
    }
    let dir = std::env::var_os("MAINTNER_TEST_FULL_DISK").unwrap();
    let mut log = open(dir.as_ref());
    log.append_at(day(0), ["one"]).unwrap();
    let error = log.append_at(day(0), [vec![0; 100_000]]).unwrap_err();
    assert!(matches!(error, AppendError::Write { .. }), "{error}");
    log.append_at(day(0), ["room"]).unwrap();
}

/// Appends numbers until it is killed, and prints each when it has been acknowledged.
#[test]
fn appender_for_the_crash_test() {
    let variable = |name: &str| std::env::var(name).ok();
    let Some(dir) = variable("MAINTNER_TEST_APPEND") else {
        return; // only its parent runs it in earnest
    };
    let number = |name: &str| variable(name).unwrap().parse::<usize>().unwrap();
    let (next, on) = (number("MAINTNER_TEST_NEXT"), number("MAINTNER_TEST_DAY"));
    let config = WriterConfig::default().sync(Sync::Never);
    let mut log = Writer::open(dir, config).unwrap();
    println!("begin");
    for n in next.. {
        let payload = format!("{n} {}", "x".repeat(n % 3000));
        if log.append_at(day(on as u64), [payload]).is_err() {
            return;
        }
        if writeln!(std::io::stdout(), "{n}").is_err() {
            return;
        }
    }
}

/// What is written after one kill is read after the next ones too, but only the file of the day is read each time, and all at the end.
#[test]
fn no_acknowledged_record_is_lost_when_the_appender_is_killed() {
    const KILLS_A_DAY: usize = 10;
    let dir = tempdir().unwrap();
    let kills = std::env::var("MAINTNER_KILLS").map_or(15, |kills| kills.parse().unwrap());
    // The number of the first record of the day, and of the next record.
    let (mut first, mut next) = (0, 0);
    for kill in 0_usize..kills {
        if kill.is_multiple_of(KILLS_A_DAY) {
            first = next;
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "reclog_faults::appender_for_the_crash_test",
                "--nocapture",
            ])
            .env("MAINTNER_TEST_APPEND", dir.path())
            .env("MAINTNER_TEST_NEXT", next.to_string())
            .env("MAINTNER_TEST_DAY", (kill / KILLS_A_DAY).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Killed after another number of records each time, somewhere within the next ones.
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let numbers = lines
            .map_while(Result::ok)
            .skip_while(|line| !line.ends_with("begin"));
        let mut acknowledged = next;
        for line in numbers.skip(1).take(1 + kill * 7 % 50) {
            acknowledged = line.parse::<usize>().unwrap() + 1;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(acknowledged > next, "the appender ended by itself");

        drop(open(dir.path())); // repairs
        let today = segments(dir.path()).unwrap().pop().unwrap();
        next = assert_numbered(&today.path, first);
        assert!(
            next >= acknowledged,
            "kill {kill}: {next}, not {acknowledged}"
        );
    }
    let days = segments(dir.path()).unwrap();
    assert_eq!(days.len(), kills.div_ceil(KILLS_A_DAY));
    let all = days
        .iter()
        .fold(0, |first, day| assert_numbered(&day.path, first));
    assert_eq!(all, next);
}

/// The number behind the last record of a file whose records must be numbered one after the other.
fn assert_numbered(path: &Path, first: usize) -> usize {
    let log = fs::read(path).unwrap();
    let records = records(&log);
    for (n, record) in (first..).zip(&records) {
        assert!(record.payload.starts_with(format!("{n} ").as_bytes()));
    }
    first + records.len()
}

#[test]
fn an_appender_that_is_cut_off_by_hand_is_repaired_by_the_next() {
    let dir = tempdir().unwrap();
    let mut log = open(dir.path());
    for n in 0..50 {
        let appended = log.append_at(day(0), [format!("record {n}")]).unwrap();
        drop(log);
        // The power fails before the end of this one.
        let file = OpenOptions::new()
            .write(true)
            .open(&appended.segment)
            .unwrap();
        file.set_len(appended.end - 1).unwrap();
        log = open(dir.path());
        assert_eq!(log.torn().unwrap().error.offset(), appended.start);
        log.append_at(day(0), [format!("record {n}")]).unwrap();
    }
    let bytes = fs::read(dir.path().join(FILE)).unwrap();
    assert_eq!(records(&bytes).len(), 50);
}

/// As the documentation of the crate says. The limit on memory is that of a process of its own.
#[cfg(target_os = "linux")]
#[test]
fn a_corpus_for_which_there_is_no_memory_ends_its_process_and_harms_no_log() {
    const LOG: &str = "MAINTNER_TEST_NO_MEMORY";
    if let Some(dir) = std::env::var_os(LOG) {
        println!("begun");
        let mut corpus = Corpus::at(dir, Config::default());
        println!("{:?}", corpus.update());
        return;
    }
    let dir = tempdir().unwrap();
    let body = |number: i32| pb::Mutation {
        github_issue: Some(pb::GithubIssueMutation {
            owner: "golang".into(),
            repo: "go".into(),
            number,
            // No two alike, as equal texts are kept once.
            body: format!("{number} {}", "x".repeat(1 << 20)),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut log = open(dir.path());
    log.append_at(day(0), (1..=96).map(|number| body(number).encode_to_vec()))
        .unwrap();
    drop(log);
    let before = fs::read(dir.path().join(FILE)).unwrap();
    let test =
        "reclog_faults::a_corpus_for_which_there_is_no_memory_ends_its_process_and_harms_no_log";
    let limited = format!("ulimit -c 0 -d 65536 && exec \"$0\" --exact {test} --nocapture");
    let output = Command::new("bash")
        .args(["-c", &limited])
        .arg(std::env::current_exe().unwrap())
        .env(LOG, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("begun"), "{said}");
    // What a corpus needs may become less than that.
    if !said.contains("Ok(") {
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("memory allocation of"), "{said}");
    }
    assert!(fs::read(dir.path().join(FILE)).unwrap() == before);
    let corpus = Corpus::open(dir.path()).unwrap();
    assert_eq!(corpus.view().stats().records, 96);
}
