//! The protocol without sockets, clocks or tasks: bytes and time go in, bytes and events come out.
//!
//! The tokio half of this crate is a shell around it. Use it directly for another runtime, or to simulate both ends of
//! the protocol in virtual time.

mod body;
mod claim;
mod control;
mod dialer;
mod handshake;
mod head;
mod id;
mod listener;
mod path;
mod refusal;
mod routes;

pub use self::claim::{Claim, Flavor, Worker};
pub use self::control::{ControlError, LineDecoder, MAX_LINE_BYTES, Message};
pub use self::dialer::{DialFailure, DialId, DialerCore, DialerEvent, TooManyDials};
pub use self::handshake::{Handshake, Header, InvalidHeader, SwitchError};
#[cfg(feature = "tokio")]
pub(crate) use self::head::behind_head;
pub use self::head::{HeadError, MAX_HEAD_BYTES, ReplyHead, RequestHead};
pub use self::id::{DialerId, InvalidDialerId};
pub use self::listener::{ListenerCore, PeerSilent, PickupFailure};
pub use self::path::{ConnPath, PathError, PickupPath};
pub use self::refusal::Refusal;
pub use self::routes::{Routed, Routes, SamePath};
