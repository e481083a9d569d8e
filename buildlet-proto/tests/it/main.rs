//! Integration tests over the public API.

mod data;
mod ext;
mod keys;
mod requests;
mod types;
