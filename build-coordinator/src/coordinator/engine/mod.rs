//! The one task that decides what runs where.

mod beyond;
mod commands;
mod ends;
#[expect(
    clippy::module_inception,
    reason = "the module's main type, in its own file"
)]
mod engine;
#[cfg(test)]
mod fixture;

pub(super) use self::engine::{Engine, Offer, Order};
