//! From a mail to an event.

mod dkim;
mod keys;
mod reader;

pub use self::keys::{DnsKeys, KeySource, ResolveKeyError};
pub use self::reader::{MailConfig, MailError, MailReader, MailRefusal};
