//! What the programs in `examples/` share: flags that also work as Go's do, logs, exit codes and signals.

mod flags;
mod process;
mod run;
#[cfg(feature = "serve-tls")]
mod serve_tls;
mod signals;
#[cfg(feature = "tls")]
mod tls;

pub use crate::flags::{go_style, parse_bool};
pub use crate::process::raise_file_limit;
pub use crate::run::{LogArgs, run, run_with};
#[cfg(feature = "serve-tls")]
pub use crate::serve_tls::{acceptor, acceptor_from_pem, self_signed_acceptor};
pub use crate::signals::{finish_then_stop_on_signal, stop_on_signal};
#[cfg(feature = "tls")]
pub use crate::tls::tls_client_config;
