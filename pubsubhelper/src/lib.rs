//! Turns GitHub's webhooks and Gerrit's notification mails into a stream of events that programs wait for.
//!
//! A program that follows GitHub or Gerrit need not ask every few minutes whether something is new: it waits for the next event, and
//! then looks. Losing an event costs minutes, a false one costs a look.
//!
//! ```
//! use pubsubhelper::{Hub, HubConfig, WebhookSecret};
//!
//! let hub = Hub::in_memory(HubConfig::default());
//! let secret = WebhookSecret::new(b"s3cr3t")?;
//! let body = br#"{"action": "opened", "repository": {"full_name": "golang/go"}, "issue": {"number": 2}}"#;
//! let signature = b"sha256=2c60d1d5452ca85635656c212bbe2b8fe40d105a7d692082a62b8211544efd7c";
//! let signal = secret.read(Some(signature), body)?; // checked in constant time, then read
//! let time = hub.publish(signal);
//! assert_eq!(hub.recent(None)[0].time, Some(time));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `http` | yes | `HttpServer`: `/waitevent`, `/recent`, `/github-webhook` |
//! | `mail` | yes | `SmtpServer`, and `MailReader`, which believes a mail by its DKIM signature |
//! | `client` | no | `Client`, which waits for the events of a server |
//!
//! # Differences from the Go program
//!
//! What is on the wire is the same, to the byte where a client reads it. Events have an order that is that of their times, none is lost at the moment of
//! a time-out, and a file keeps them across restarts. A mail counts only if a signature of its headers and its body is right, made with
//! SHA-256 for a domain that is compared by its labels; a signature that covers a part of the body, and mails that came before, are refused.
//! Lines that end in other than CR LF end an SMTP session. Neither mails, bodies nor signatures are logged. Every queue and every wait has a limit.
#![forbid(unsafe_code)]

#[cfg(feature = "client")]
mod client;
mod event;
#[cfg(feature = "http")]
mod http;
mod hub;
mod journal;
mod limits;
#[cfg(feature = "mail")]
mod mail;
#[cfg(any(feature = "http", feature = "mail"))]
mod seen;
#[cfg(feature = "mail")]
mod smtp;
mod time;
mod webhook;

#[cfg(feature = "client")]
pub use crate::client::{Client, ClientError};
pub use crate::event::{DecodeEventError, Event, GerritEvent, GithubEvent, Signal};
#[cfg(feature = "http")]
pub use crate::http::{HttpConfig, HttpServer};
pub use crate::hub::{Hub, HubConfig};
pub use crate::journal::OpenHubError;
#[cfg(feature = "mail")]
pub use crate::mail::{
    DnsKeys, KeySource, MailConfig, MailError, MailReader, MailRefusal, ResolveKeyError,
};
#[cfg(feature = "mail")]
pub use crate::smtp::{Envelope, Session, SmtpConfig, SmtpServer, Step};
pub use crate::time::{ParseTimeError, Time};
pub use crate::webhook::{
    EmptySecretError, MAX_BODY, SIGNATURE_HEADER, WebhookError, WebhookSecret,
};
