//! Integration tests over the public API.
