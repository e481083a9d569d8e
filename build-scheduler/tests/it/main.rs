//! Integration tests over the public API.

mod explain;
mod fair;
mod oracle;
mod properties;
mod strict;
mod supersede;
mod world;
