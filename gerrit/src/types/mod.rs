//! What the server answers, and what is sent to it.
//!
//! Names and meanings of fields are those of Gerrit's REST documentation (3.10). In an answer every field may be absent: a text is empty
//! then, a number 0, a list empty. What this crate has no name for is in the field `unknown`.

pub(crate) mod macros;

mod account;
mod change;
mod change_input;
mod comment;
mod project;
mod project_config;
mod review;
mod revision;
mod server;

pub use self::account::*;
pub use self::change::*;
pub use self::change_input::*;
pub use self::comment::*;
pub use self::macros::Unknown;
pub use self::project::*;
pub use self::project_config::*;
pub use self::review::*;
pub use self::revision::*;
pub use self::server::*;
