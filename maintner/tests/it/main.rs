//! The crate's public interface, over the vectors that Go's maintner answered, properties and faults.

mod corpus;
mod corpus_vectors;
mod facts;
mod generated;
mod mutations;
mod peers;
mod reclog_faults;
mod reclog_properties;
mod reclog_vectors;
mod support;
