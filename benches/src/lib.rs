//! Measures this project's crates beside their rivals.
//!
//! `cargo run -p benches --release -- report` compares `pargzip` with others as a person would run them: whole programs, the
//! same input, one machine, one run. It makes its data from what is on the machine, checks that every subject writes
//! what decompresses to that data, then measures them in turns, and prints Markdown tables and a chart.
//!
//! `benches livelog` compares writes to the log of that name with those of the Go package, in turns too.
//!
//! `benches revdial` compares connections that were dialed in reverse with the TLS below them and with the Go package, and measures
//! what registered workers take.
//!
//! `benches archive` compares unpacking and archiving a source tree with the Go buildlet.
//!
//! `benches load` measures a coordinator with many machines and many builds, beside Buildbot.
//!
//! `benches maintner` loads, queries, follows, appends to and serves mutation logs, beside the Go package.
//!
//! The Criterion benches beside it look at one part of the library at a time.

mod archive;
mod chart;
pub mod cli;
pub mod data;
pub mod livelog;
mod load;
mod machine;
mod maintner;
mod measure;
mod report;
pub mod revdial;
mod rival;
mod subject;
mod table;
