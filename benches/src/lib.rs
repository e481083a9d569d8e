//! Measures `pargzip` beside its rivals, as a person would run them: whole programs, the same input, one machine, one run.
//!
//! `cargo run -p benches --release -- report` makes its data from what is on the machine, checks that every subject writes
//! what decompresses to that data, then measures them in turns, and prints Markdown tables and a chart.
//!
//! The Criterion benches beside it look at one part of the library at a time.

mod chart;
pub mod cli;
pub mod data;
mod machine;
mod measure;
mod report;
mod rival;
mod subject;
mod table;
