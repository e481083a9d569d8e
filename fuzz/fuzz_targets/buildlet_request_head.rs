//! Any bytes on a connection to a buildlet: below hyper stands an adapter that adds headers to requests, and hyper must see the
//! same requests with it as without, however the bytes are cut.

#![no_main]

use buildlet_proto::server::compare::assert_same;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: ([u8; 3], &[u8])| {
    let (cuts, bytes) = input;
    let cuts = cuts.map(|cut| usize::from(cut) + 1);
    let _ = assert_same(bytes, &cuts);
});
