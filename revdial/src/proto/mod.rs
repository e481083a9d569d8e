//! The protocol without sockets, clocks or tasks: bytes and time go in, bytes and events come out.
//!
//! The tokio half of this crate is a shell around it. Use it directly for another runtime, or to simulate both ends of
//! the protocol in virtual time.
//!
//! | to | use |
//! |---|---|
//! | take connections at a coordinator | [`Routes`], which knows [`RequestHead`] and [`Claim`] |
//! | dial a worker | [`DialerCore`] |
//! | register, and pick up | [`Handshake`], which knows [`ReplyHead`] |
//! | listen to a coordinator | [`ListenerCore`] |
//! | read and write control lines | [`LineDecoder`], [`Message`] |
//!
//! # Version 1
//!
//! Until 2019 a registration without the header `X-Revdial-Version` made a connection on which streams were multiplexed in
//! frames. Every coordinator since answers it with 400, and so does [`Routes`]. For the record, a frame was:
//!
//! | bytes | field |
//! |---|---|
//! | 0 | `N` new connection (from the coordinator only), `W` write, `C` close |
//! | 1 to 4 | number of the connection, big-endian, given by the coordinator from 1 up |
//! | 5 and 6 | length of the rest, big-endian |
//! | from 7 | what is written (`W` only) |

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
