//! Archives and the work directory.

mod tree;
mod vectors;
