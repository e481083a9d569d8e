//! Mutations: what Go refuses, what it skips, and prost as an independent decoder.

use std::fs;

use maintner::reclog::{Records, segments};
use maintner::{DecodeError, MutationRef, pb};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use crate::support::{records, vector, vectors};

#[test]
fn every_payload_that_go_refuses_is_refused() {
    for (case, expected) in [
        ("5D-bad-protobuf", DecodeError::Truncated),
        ("5E-bad-utf8", DecodeError::Utf8),
        ("5G-bad-wire-type", DecodeError::Truncated),
        ("5H-bad-field-zero", DecodeError::FieldNumber),
    ] {
        let log = fs::read(vector("disk").join(case).join("maintner-2020-01-02.mutlog")).unwrap();
        let records = records(&log);
        assert!(MutationRef::decode(records[0].payload).is_ok());
        assert_eq!(
            MutationRef::decode(records[1].payload),
            Err(expected),
            "{case}"
        );
    }
}

#[test]
fn every_mutation_of_the_vectors_is_what_prost_takes_it_for() {
    let mut compared = 0;
    for dir in vectors("disk") {
        for segment in segments(&dir).unwrap() {
            let log = fs::read(&segment.path).unwrap();
            for record in Records::new(&log, 0).map_while(Result::ok) {
                // prost stops at a field of another wire type, where Go goes on.
                let Ok(expected) = pb::Mutation::decode(record.payload) else {
                    assert!(
                        dir.to_str().unwrap().contains("-bad-")
                            || dir.ends_with("23-wire-type-mismatch")
                    );
                    continue;
                };
                let decoded = MutationRef::decode(record.payload).unwrap();
                assert_eq!(decoded.to_owned(), expected);
                compared += 1;
            }
        }
    }
    assert!(compared > 150, "{compared}");
}

#[test]
fn what_is_unknown_is_skipped_and_counted() {
    let log = fs::read(vector("disk/21-wire/maintner-2020-01-02.mutlog")).unwrap();
    let unknown: Vec<_> = records(&log)
        .iter()
        .map(|record| MutationRef::decode(record.payload).unwrap().unknown)
        .collect();
    assert_eq!(unknown[0].fields, 4, "fields 90 to 93 of the issue");
    assert_eq!((unknown[7].kinds, unknown[7].fields), (1, 0), "kind 77");
    assert_eq!(unknown.iter().map(|unknown| unknown.kinds).sum::<u32>(), 1);

    let log = fs::read(vector(
        "disk/23-wire-type-mismatch/maintner-2020-01-02.mutlog",
    ))
    .unwrap();
    let mutation = MutationRef::decode(records(&log)[0].payload).unwrap();
    assert_eq!(mutation.unknown.fields, 2);
    let issue = mutation.github_issue.unwrap();
    assert_eq!((issue.number, issue.title), (3, ""));
}

#[test]
fn a_message_in_two_pieces_is_merged() {
    let log = fs::read(vector("disk/21-wire/maintner-2020-01-02.mutlog")).unwrap();
    let mutation = MutationRef::decode(records(&log)[1].payload).unwrap();
    let issue = mutation.github_issue.unwrap();
    assert_eq!(
        (issue.owner, issue.repo, issue.title),
        ("golang", "go", "two")
    );
    assert_eq!(
        issue
            .add_label
            .iter()
            .map(|label| label.name)
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
}

/// A field with a number that means something, mostly, and a value that fits it, mostly.
fn field(depth: u32) -> BoxedStrategy<Vec<u8>> {
    let number = prop_oneof![9 => 1..32_u64, 1 => any::<u16>().prop_map(u64::from)];
    let bytes = if depth == 0 {
        prop_oneof![
            "[a-z]{0,5}".prop_map(String::into_bytes),
            vec(any::<u8>(), 0..4)
        ]
        .boxed()
    } else {
        prop_oneof![
            1 => "[a-z]{0,5}".prop_map(String::into_bytes),
            4 => vec(field(depth - 1), 0..5).prop_map(|fields| fields.concat()),
        ]
        .boxed()
    };
    let number2 = number.clone();
    prop_oneof![
        3 => (number, bytes).prop_map(|(number, bytes)| {
            let mut field = Vec::new();
            prost::encoding::encode_varint(number << 3 | 2, &mut field);
            prost::encoding::encode_varint(bytes.len() as u64, &mut field);
            field.extend_from_slice(&bytes);
            field
        }),
        2 => (number2, any::<u64>(), 0..64).prop_map(|(number, value, shift)| {
            let mut field = Vec::new();
            prost::encoding::encode_varint(number << 3, &mut field);
            prost::encoding::encode_varint(value >> shift, &mut field);
            field
        }),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_prost_decodes_is_decoded_alike(fields in vec(field(3), 0..4)) {
        let payload = fields.concat();
        if let Ok(expected) = pb::Mutation::decode(payload.as_slice()) {
            prop_assert_eq!(MutationRef::decode(&payload).map(|mutation| mutation.to_owned()), Ok(expected));
        }
    }

    #[test]
    fn what_is_decoded_survives_a_second_trip(fields in vec(field(3), 0..4)) {
        let payload = fields.concat();
        if let Ok(mutation) = MutationRef::decode(&payload) {
            let again = mutation.to_owned().encode_to_vec();
            let mutation_again = MutationRef::decode(&again).unwrap();
            prop_assert_eq!(mutation_again.to_owned(), mutation.to_owned());
            prop_assert_eq!(mutation_again.unknown, maintner::Unknown::default());
        }
    }

    #[test]
    fn any_bytes_are_decoded_without_panic(payload in vec(any::<u8>(), 0..200)) {
        drop(MutationRef::decode(&payload));
    }
}
