//! Attempts on a buildlet in this process.

mod attempts;
mod support;

pub(crate) use support::{eventually, gone};
