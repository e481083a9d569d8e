//! Frames, as Go's reader took or refused them.

use std::fs::{self, File};

use maintner::reclog::{Reader, RecordError, Records, segments};

use crate::support::{records, vector, vectors};

const FILE: &str = "maintner-2020-01-02.mutlog";

/// What is wrong behind the first record of a vector, at byte 37.
fn error_of(case: &str) -> RecordError {
    let path = vector("disk").join(case).join(FILE);
    let log = fs::read(&path).unwrap();
    let mut found: Vec<_> = Records::new(&log, 0).collect();
    assert_eq!(found.len(), 2, "{case}: a good record, then the error");
    assert!(found[0].is_ok());
    let error = found.pop().unwrap().unwrap_err();

    // The stream says the same, and again when asked again.
    let mut reader = Reader::new(File::open(&path).unwrap(), 0);
    assert_eq!(reader.next_record().unwrap().unwrap().end, 37);
    for _ in 0..2 {
        let from_stream = reader.next_record().unwrap_err();
        assert_eq!(from_stream.to_string(), error.to_string(), "{case}");
        assert_eq!(from_stream.is_incomplete(), error.is_incomplete());
    }
    error
}

#[test]
fn every_frame_that_go_refuses_is_refused_with_its_kind_and_place() {
    use RecordError::*;
    let offset = 37;
    let cases = [
        ("50-bad-truncated-header", EndInHeader { offset, have: 5 }),
        (
            "51-bad-truncated-record",
            Truncated {
                offset,
                want: 28,
                have: 25,
            },
        ),
        (
            "52-bad-header-only",
            Truncated {
                offset,
                want: 16,
                have: 0,
            },
        ),
        ("53-bad-offset", WrongOffset { offset, stated: 38 }),
        ("54-bad-prefix", MalformedHeader { offset }),
        ("55-bad-two-plus", MalformedHeader { offset }),
        ("56-bad-no-plus", MalformedHeader { offset }),
        ("57-bad-offset-digits", BadOffset { offset }),
        ("58-bad-size-digits", BadLength { offset }),
        ("59-bad-empty-offset", BadOffset { offset }),
        ("5A-bad-empty-size", BadLength { offset }),
        ("5B-bad-long-header", OverlongHeader { offset }),
        ("5C-bad-no-equals-4096", EndlessHeader { offset }),
        ("5F-bad-trailing-newline", EndInHeader { offset, have: 1 }),
    ];
    for (case, expected) in &cases {
        assert_eq!(error_of(case), *expected, "{case}");
    }
    // The rest of the bad ones have sound frames around what is no mutation.
    let bad = vectors("disk")
        .iter()
        .filter(|dir| dir.to_str().unwrap().contains("-bad-"))
        .count();
    assert_eq!(bad, cases.len() + 4);
}

#[test]
fn leading_zeros_and_upper_case_digits_are_read() {
    let log = fs::read(vector("disk/60-ok-frame-variants").join(FILE)).unwrap();
    assert!(log.starts_with(b"REC@000+1C="));
    let lens: Vec<_> = records(&log)
        .iter()
        .map(|record| record.payload.len())
        .collect();
    assert_eq!(lens, [28, 0, 28]);
}

#[test]
fn what_is_encoded_is_byte_for_byte_what_was_read() {
    for dir in vectors("disk") {
        for segment in segments(&dir).unwrap() {
            if dir.ends_with("60-ok-frame-variants") {
                continue; // not the canonical form
            }
            let log = fs::read(&segment.path).unwrap();
            let mut again = Vec::new();
            for record in Records::new(&log, 0).map_while(Result::ok) {
                maintner::reclog::encode_into(&mut again, 0, record.payload);
                assert_eq!(again.len() as u64, record.end);
            }
            assert!(log.starts_with(&again));
            assert!(!again.is_empty() || log.is_empty());
        }
    }
}

#[test]
fn segments_are_the_files_of_the_folder_in_the_order_of_their_names() {
    let names: Vec<_> = segments(&vector("disk/20-files-and-order"))
        .unwrap()
        .into_iter()
        .map(|segment| segment.name)
        .collect();
    assert_eq!(
        names,
        [
            "maintner-0000.6897fab4d3afcda332424b2a2a1a4469021074282bc7be5606aaa221.mutlog",
            "maintner-2020-01-01.mutlog",
            "maintner-2020-01-02.mutlog",
            "maintner-2020-01-03.mutlog",
        ]
    );
    assert!(segments(&vector("disk/no such folder")).is_err());
    // Upstream loads nothing, and says nothing, when the name ends in a slash.
    let with_slash = format!("{}/", vector("disk/01-github-new-issue").display());
    assert_eq!(segments(with_slash.as_ref()).unwrap().len(), 1);
}

#[test]
fn reading_can_begin_in_the_middle() {
    let path = vector("disk/01-github-new-issue").join(FILE);
    let log = fs::read(path).unwrap();
    let all = records(&log);
    let from_second: Vec<_> = Records::new(&log[71..], 71)
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(from_second, all[1..]);
    let error = Records::new(&log[71..], 0).next().unwrap().unwrap_err();
    assert_eq!(
        error,
        RecordError::WrongOffset {
            offset: 0,
            stated: 71
        }
    );
}
