//! Any text as a file of cookies and as a `.netrc`: nothing of it becomes another header.

#![no_main]

use gerrit::fuzz_credentials;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let uri = "https://r.example.org/a/".parse().unwrap();
    let (cookies, _) = fuzz_credentials(text, &uri);
    assert!(!cookies.contains(['\r', '\n', '\0']), "{cookies:?}");
    assert!(cookies.is_ascii(), "{cookies:?}");
});
