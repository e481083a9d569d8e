//! What goes over the wire, without any I/O: requests, replies, and the rules for paths, environments and names.
//!
//! Facts come from the upstream programs (`golang.org/x/build/cmd/buildlet`, version 29, and `golang.org/x/build/buildlet`); each
//! rule is checked against answers that they gave.

mod dir_entry;
pub mod endpoint;
mod env;
mod exec_request;
pub mod ext;
mod file_mode;
mod form;
mod lexical;
mod list_request;
mod path;
mod process_state;
mod quote;
mod signal;
mod status;
mod timestamp;
mod write_request;

pub use self::dir_entry::{DirEntry, ParseDirEntryError};
pub use self::env::{EnvList, EnvStyle, windows_path};
pub use self::exec_request::ExecRequest;
pub use self::file_mode::{FileMode, ParseFileModeError};
#[cfg(feature = "exec")]
pub(crate) use self::form::os_bytes;
#[cfg(all(feature = "exec", unix))]
pub(crate) use self::form::os_string;
pub use self::form::{Form, FormError};
pub use self::list_request::ListRequest;
#[cfg(feature = "exec")]
pub(crate) use self::path::clean_native;
pub use self::path::{PathError, PathStyle, RelativePath};
pub use self::process_state::ProcessState;
pub use self::quote::GoQuoted;
pub use self::signal::Signal;
pub use self::status::{ParseStatusError, Status};
pub use self::write_request::WriteRequest;

/// A boolean as Go reads it (`strconv.ParseBool`), where what is no boolean is false.
#[must_use]
pub fn parse_bool(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "TRUE" | "true" | "True")
}
