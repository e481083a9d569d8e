//! What the programs in `examples/` share: flags that also work as Go's do, logs, exit codes and signals.

mod flags;
mod run;
mod signals;

pub use crate::flags::{go_style, parse_bool};
pub use crate::run::{LogArgs, run};
pub use crate::signals::stop_on_signal;
