//! The coordinator's pages, its API and the port that serves them.
//!
//! ```text
//! port -- first byte --> TLS, or plain HTTP on loopback --> revdial's front door --> /reverse, /revdial: machines
//!                                                                `--> guard --> pages, live logs, /api/v1  <--> Backend
//! ```
//!
//! - A [`Site`] answers requests about a [`Backend`], which a [`Coordinator`](crate::coordinator::Coordinator) is; a [`Server`]
//!   brings it connections. What pages show comes through the [`Backend`] alone.
//! - **Who may do what.** A browser or program on the same machine may do everything, unless [`SiteConfig::trust_loopback`] says
//!   otherwise or the request came through a proxy. From elsewhere, reading is open or closed ([`SiteConfig::reading`]), and changing
//!   anything takes a token: as `Authorization: Bearer` for programs, through `/login` and a cookie for browsers.
//! - **What strangers write** (subjects, authors, names of machines, output of builds) is escaped wherever it is shown. No page has
//!   scripts or styles of its own in it, loads anything from elsewhere, or can be framed, and a strict content security policy says so.
//! - A request must name a host that is ours: one of [`SiteConfig::host_names`], `localhost` or an address. So a page elsewhere cannot
//!   make a browser talk to a coordinator on its own machine under a name that its author controls.
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | a request's head | 64 headers, 32 KiB, 20 s |
//! | its body | 64 KiB |
//! | an answer, up to its first byte | 30 s |
//! | a write that the other side does not take | 60 s |
//! | requests at once | 512; more are answered 503 |
//! | live logs at once | 256; more are answered 503 |
//! | connections | those of the front door, machines' included; more wait |
//! | sessions of browsers | 1,024, for 12 hours |
//! | a log on a page | 768 KiB; of a longer one the beginning and the end |

mod access;
mod ansi;
mod assets;
mod backend;
mod caller;
mod certificate;
mod classic;
mod contents;
mod failure;
#[expect(
    unreachable_pub,
    reason = "what the attribute makes of each filter says so"
)]
mod filters;
mod follow;
mod frame;
mod guard;
mod health;
mod live;
mod log_lines;
mod log_view;
mod machines;
mod metrics;
mod pages;
mod raw_log;
mod records;
mod refusals;
mod rest;
mod serve;
mod sessions;
mod site;
mod temporary_logs;
mod text;
mod timeline;

pub use self::access::Reading;
pub use self::backend::{
    Actor, Backend, BackendError, BuilderRow, Builders, ByteStream, Cell, CommandError, File, Grid,
    GridQuery, GridRow, HostRow, Identity, Log, Repository, Sample, TimeMark,
};
pub use self::certificate::{Certificate, CertificateError};
pub use self::serve::{Server, ServerError};
pub use self::site::{Site, SiteConfig};
