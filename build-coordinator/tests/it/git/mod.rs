//! The real `git`, against repositories that mean well and others.

mod archives;
mod hostile;
mod polling;
mod support;
