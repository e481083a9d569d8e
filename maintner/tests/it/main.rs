//! The crate's public interface, over the vectors that Go's maintner answered, properties and faults.

mod compare;
mod corpus;
mod corpus_vectors;
#[cfg(feature = "net")]
mod examples;
mod facts;
#[cfg(feature = "net")]
mod fake_server;
mod generated;
#[cfg(feature = "leader")]
mod leader;
#[cfg(all(feature = "leader", feature = "s3"))]
mod leader_bucket;
mod mutations;
#[cfg(feature = "net")]
mod net_faults;
#[cfg(feature = "net")]
mod net_properties;
#[cfg(feature = "net")]
mod net_vectors;
mod peers;
#[cfg(all(feature = "net", feature = "serve"))]
mod peers_net;
mod reclog_faults;
mod reclog_properties;
mod reclog_repair;
mod reclog_vectors;
#[cfg(all(feature = "net", feature = "serve"))]
mod serve;
#[cfg(all(feature = "net", feature = "serve"))]
mod serve_blobs;
#[cfg(all(feature = "net", feature = "serve"))]
mod served;
mod snapshot;
mod support;
#[cfg(feature = "leader")]
mod sync_gerrit;
mod sync_git;
#[cfg(feature = "test-support")]
mod sync_github;
#[cfg(feature = "test-support")]
mod sync_github_faults;
#[cfg(feature = "test-support")]
mod sync_github_properties;
#[cfg(feature = "test-support")]
mod sync_github_recorded;
#[cfg(feature = "test-support")]
mod sync_github_support;
#[cfg(feature = "test-support")]
mod sync_github_vectors;
#[cfg(feature = "net")]
mod tls;
