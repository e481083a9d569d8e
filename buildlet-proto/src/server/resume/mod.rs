//! Commands that outlive their connection: [`Extension::Resume`](crate::types::ext::Extension::Resume).

mod kept;
mod requests;
mod window;

pub(super) use self::kept::{Kept, Limits, Start};
