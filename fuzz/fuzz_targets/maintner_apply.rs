//! Any log: what decodes is applied, and all queries of what came of it end.

#![no_main]

#[path = "queries/queries.rs"]
mod queries;

use libfuzzer_sys::fuzz_target;
use maintner::Corpus;
use maintner::reclog::Records;

fuzz_target!(|log: &[u8]| {
    let records = Records::new(log, 0).map_while(Result::ok);
    let mut payloads: Vec<_> = records.map(|record| record.payload).collect();
    if payloads.is_empty() {
        payloads.push(log);
    }
    let mut corpus = Corpus::new();
    for payload in payloads {
        let _ = corpus.apply([payload]);
    }
    let view = corpus.view();
    queries::ask_everything(&view);
});
