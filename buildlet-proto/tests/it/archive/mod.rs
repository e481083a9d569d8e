//! Archives and the work directory.

mod hostile;
mod limits;
mod peers;
mod races;
mod raw;
mod round_trip;
mod tree;
mod vectors;
mod workdir;
