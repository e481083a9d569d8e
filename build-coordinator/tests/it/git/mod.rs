//! The real `git`, against repositories that mean well and others.

mod archives;
mod files;
mod hostile;
mod polling;
mod support;
