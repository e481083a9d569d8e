//! The program, as followers, clients and people meet it.

mod autocert;
mod bucket;
mod events;
mod following;
mod page;
mod peers;
mod real_gerrit;
mod running;
mod support;
