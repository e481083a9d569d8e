//! Any bytes as a server's list of segments: what is taken is within the limits, and on the web.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maintner::net::fuzz_list;

fuzz_target!(|body: &[u8]| {
    let Some(listed) = fuzz_list(body) else {
        return;
    };
    let log: u64 = listed.iter().map(|(size, _)| size).sum();
    assert!(log <= 1500);
    for (size, url) in &listed {
        assert!(*size <= 1000);
        let host = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"))
            .unwrap();
        assert!(!host.is_empty() && !host.starts_with('/'));
    }
});
