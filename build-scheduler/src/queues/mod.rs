//! Waiting work, in the orders in which it is looked for.
//!
//! Works that are alike in everything that can hold them up form a [`Lane`]. Only lanes are moved about: one that is
//! found to be held up is parked with what holds it up, and comes back when that changes.

mod choice;
mod index;
mod lane;
mod owners;
#[expect(
    clippy::module_inception,
    reason = "the module's main type, in its own file"
)]
mod queues;

pub(crate) use self::choice::Rules;
pub(crate) use self::lane::{Key, LaneKey, Spot};
pub(crate) use self::owners::Host;
pub(crate) use self::queues::Queues;
