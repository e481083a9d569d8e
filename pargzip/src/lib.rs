//! Parallel gzip.
