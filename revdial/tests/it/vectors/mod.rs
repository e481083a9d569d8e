//! What upstream's programs sent and answered, replayed against ours.
//!
//! The session's HTTP requests are replayed by the crate `buildlet-proto`; keys are its affair, too.

mod dialer;
mod listener;
mod replies;
mod session;

use serde_json::Value;

const ID: &str = "00112233445566778899aabbccddeeff";

fn cases(file: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn case(file: &str, name: &str) -> Value {
    let found = cases(file).into_iter().find(|case| case["name"] == name);
    found.unwrap_or_else(|| panic!("no case {name:?}"))
}

fn texts(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten();
    texts
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}
