//! The program as it is built, over the logs that Go's maintner answered.

mod asking;
#[path = "../../../../maintner/tests/it/compare.rs"]
mod compare;
#[cfg(feature = "export")]
mod export;
#[path = "../../../../maintner/tests/it/facts.rs"]
mod facts;
#[cfg(unix)]
mod interrupts;
mod lists;
mod logs;
mod make;
mod peers;
mod server;
mod support;
