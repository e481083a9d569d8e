use std::ffi::{OsStr, OsString};

use super::form::{os_bytes, os_string};
use super::{FileMode, Form, ParseFileModeError};

/// Which file `/write` makes; the content is the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteRequest {
    path: OsString,
    mode: FileMode,
}

impl WriteRequest {
    /// A file at `path`, relative to the work directory, with these permissions.
    #[must_use]
    pub fn new(path: impl Into<OsString>, mode: FileMode) -> Self {
        Self {
            path: path.into(),
            mode,
        }
    }

    /// The query to send.
    #[must_use]
    pub fn to_form(&self) -> Form {
        let mut form = Form::new();
        form.add("mode", self.mode.bits().to_string());
        form.add("path", os_bytes(&self.path));
        form
    }

    /// Reads a query. A missing path is an empty one.
    ///
    /// # Errors
    ///
    /// When the mode is missing, no decimal number, or not that of a regular file.
    pub fn from_form(form: &Form) -> Result<Self, ParseFileModeError> {
        let mode = form.get("mode").unwrap_or_default();
        let mode = FileMode::from_decimal(&String::from_utf8_lossy(mode))?;
        if !mode.is_regular() {
            return Err(ParseFileModeError(()));
        }
        let path = form.get("path").map(os_string).unwrap_or_default();
        Ok(Self { path, mode })
    }

    /// The path; may be empty.
    #[must_use]
    pub fn path(&self) -> &OsStr {
        &self.path
    }

    /// The permissions.
    #[must_use]
    pub fn mode(&self) -> FileMode {
        self.mode
    }
}
