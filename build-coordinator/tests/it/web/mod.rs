//! Pages, API and port over an in-memory coordinator, through real connections; in a real browser where there is one.

mod api;
mod browser;
mod client;
mod live;
mod memory;
mod pages;
mod port;
mod real;
mod security;
