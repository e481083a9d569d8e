//! Telling others of results: webhooks, signed, kept in the store until they arrive.
//!
//! What is to be told is stored in the transaction that stores the result, so a result that is known is told, whatever
//! happens in between. A message that does not arrive is sent again, less and less often; it may arrive twice.
//!
//! A message is a `POST` of JSON with the headers `Content-Type: application/json`, `X-Build-Event: build_done`,
//! `X-Build-Delivery` (the delivery's number: the same each time it is sent), and, if its rule has a secret, [`SIGNATURE`]:
//! `sha256=` and the HMAC-SHA-256 of the body under the secret in hexadecimal digits, as many receivers know it.
//!
//! A [`Courier`] does the sending; with the feature `webhook` there is one, `HttpCourier`. Votes on changes belong behind the same seam: something that is stored with the result,
//! and repeated until the review server took it.

#[cfg(feature = "webhook")]
mod http_courier;
mod messenger;
mod rules;

use std::time::Duration;

use async_trait::async_trait;

#[cfg(feature = "webhook")]
pub use self::http_courier::HttpCourier;
pub(crate) use self::messenger::carry_messages;
pub(crate) use self::rules::deliveries;
pub use self::rules::{SIGNATURE, signature, terminal_rules};

/// Sends messages.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Sends one as a `POST`, within its time limit; gives the status of the answer. Redirections are not followed.
    ///
    /// # Errors
    ///
    /// What went wrong, for people; without the address, in which there may be a secret.
    async fn post(&self, message: Message) -> Result<u16, String>;
}

/// A message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Where to.
    pub url: String,
    /// Names and values, each of printable ASCII.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
    /// How long sending it and reading the answer's status may take.
    pub timeout: Duration,
}
