//! Any bytes: slice and stream read the same records, and what was read is written back as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maintner::reclog::{ReadError, Reader, Records, encode_into};

fuzz_target!(|log: &[u8]| {
    let mut records = Vec::new();
    let mut failure = None;
    for record in Records::new(log, 0) {
        match record {
            Ok(record) => records.push(record),
            Err(error) => failure = Some(error),
        }
    }
    let mut reader = Reader::new(log, 0).block_size(0);
    for expected in &records {
        assert_eq!(reader.next_record().unwrap().unwrap(), *expected);
    }
    match reader.next_record() {
        Ok(record) => assert!(record.is_none() && failure.is_none()),
        Err(ReadError::Record(error)) => assert_eq!(Some(error), failure),
        Err(ReadError::TooLong { .. }) => assert!(failure.unwrap().is_incomplete()),
        Err(error) => panic!("{error}"),
    }

    let mut again = Vec::new();
    for record in &records {
        encode_into(&mut again, 0, record.payload);
    }
    let payloads = Records::new(&again, 0).map(|record| record.unwrap().payload.to_vec());
    assert!(payloads.eq(records.iter().map(|record| record.payload.to_vec())));
});
