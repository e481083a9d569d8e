//! Mails in.

mod body;
mod server;
mod session;

pub use self::server::{SmtpConfig, SmtpServer};
pub use self::session::{Envelope, Session, Step};
