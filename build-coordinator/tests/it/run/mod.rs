//! Attempts on a buildlet in this process.

mod attempts;
mod support;
