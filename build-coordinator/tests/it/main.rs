//! The public API, seen from outside.

mod store;
