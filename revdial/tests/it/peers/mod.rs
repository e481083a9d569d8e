//! Upstream's revdial/v2 at the other end, over TLS: a Go worker with our coordinator, and our worker with a Go coordinator.

mod go_coordinator;
mod go_worker;
mod http;
mod process;

use std::env;

/// Bytes to send through one connection: 64 MiB, or as many MiB as `REVDIAL_BULK_MIB` says.
fn bulk() -> u64 {
    let mib = env::var("REVDIAL_BULK_MIB")
        .map_or(64, |mib| mib.parse().expect("REVDIAL_BULK_MIB is a number"));
    mib << 20
}
