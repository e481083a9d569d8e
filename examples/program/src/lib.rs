//! What the programs in `examples/` share: flags that also work as Go's do, logs, exit codes and signals.

#[cfg(feature = "acme")]
mod acme;
#[cfg(feature = "bucket")]
mod bucket;
mod files;
mod flags;
#[cfg(feature = "listen")]
mod listen;
mod process;
mod run;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "serve-tls")]
mod serve_tls;
mod signals;
#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "acme")]
pub use crate::acme::{AcmeCertificate, AcmeConfig, AcmeStore};
#[cfg(feature = "bucket")]
pub use crate::bucket::{bucket_address, open_bucket};
pub use crate::files::{replace_file, replace_private_file};
pub use crate::flags::{go_style, parse_bool};
#[cfg(feature = "listen")]
pub use crate::listen::{ListenArgs, Listening};
pub use crate::process::raise_file_limit;
pub use crate::run::{LogArgs, run, run_with};
#[cfg(feature = "serve")]
pub use crate::serve::{bind, serve_http};
#[cfg(feature = "serve-tls")]
pub use crate::serve_tls::{
    acceptor, acceptor_from_pem, acceptor_speaking, self_signed_acceptor, self_signed_files,
};
pub use crate::signals::{finish_then_stop_on_signal, stop_on_signal};
#[cfg(feature = "tls")]
pub use crate::tls::tls_client_config;
