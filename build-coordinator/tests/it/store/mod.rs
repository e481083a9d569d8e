//! Both databases keep the same promises: each test runs on SQLite.

mod builds;
mod support;
