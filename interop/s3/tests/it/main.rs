//! What talks to buckets, over a server of S3's protocol that checks signatures.

mod buckets;
mod maintner;
