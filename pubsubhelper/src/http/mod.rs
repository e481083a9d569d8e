//! Webhooks in, events out.

mod answer;
mod config;
mod cross_origin;
mod server;

pub use self::config::HttpConfig;
pub use self::server::HttpServer;
