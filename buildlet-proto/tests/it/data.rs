//! The vectors: what the upstream programs answered.

use serde::de::DeserializeOwned;

/// Reads `tests/data/NAME.json`.
#[track_caller]
pub(crate) fn vectors<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/tests/data/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let json = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_slice(&json).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[derive(serde::Deserialize)]
pub(crate) struct Rows<T> {
    pub(crate) rows: Vec<T>,
}

/// The rows of a vector file that has nothing else.
#[track_caller]
pub(crate) fn rows<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let rows = vectors::<Rows<T>>(name).rows;
    assert!(!rows.is_empty());
    rows
}
