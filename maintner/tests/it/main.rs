//! The crate's public interface, over the vectors that Go's maintner answered, properties and faults.

mod generated;
mod mutations;
mod reclog_faults;
mod reclog_properties;
mod reclog_vectors;
mod support;
