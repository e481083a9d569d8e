use std::ffi::{OsStr, OsString};

use super::Form;
use super::form::{os_bytes, os_string};

/// What `/ls` is to list.
///
/// ```
/// use buildlet_proto::types::ListRequest;
/// let request = ListRequest::new("go").recursive(true).skip("pkg");
/// assert_eq!(request.to_form().encode(), "digest=false&dir=go&recursive=true&skip=pkg");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListRequest {
    dir: OsString,
    recursive: bool,
    digest: bool,
    skip: Vec<OsString>,
}

impl ListRequest {
    /// The entries of `dir`, relative to the work directory; empty for the work directory itself.
    #[must_use]
    pub fn new(dir: impl Into<OsString>) -> Self {
        Self {
            dir: dir.into(),
            ..Self::default()
        }
    }

    /// Whether the directories in it are listed too; no by default.
    #[must_use]
    pub fn recursive(mut self, yes: bool) -> Self {
        self.recursive = yes;
        self
    }

    /// Whether files come with the SHA-1 of their content; no by default.
    #[must_use]
    pub fn digest(mut self, yes: bool) -> Self {
        self.digest = yes;
        self
    }

    /// Leaves out a directory and what is in it: relative to the listed one, with `/` for separator and none at the ends.
    #[must_use]
    pub fn skip(mut self, dir: impl Into<OsString>) -> Self {
        self.skip.push(dir.into());
        self
    }

    /// The query to send.
    #[must_use]
    pub fn to_form(&self) -> Form {
        let mut form = Form::new();
        form.add("digest", self.digest.to_string());
        form.add("dir", os_bytes(&self.dir));
        form.add("recursive", self.recursive.to_string());
        for dir in &self.skip {
            form.add("skip", os_bytes(dir));
        }
        form
    }

    /// Reads a query. What is missing has its default.
    #[must_use]
    pub fn from_form(form: &Form) -> Self {
        Self {
            dir: form.get("dir").map(os_string).unwrap_or_default(),
            recursive: form.get_bool("recursive"),
            digest: form.get_bool("digest"),
            skip: form.get_all("skip").map(os_string).collect(),
        }
    }

    /// The directory; may be empty.
    #[must_use]
    pub fn directory(&self) -> &OsStr {
        &self.dir
    }

    /// Whether directories in it are listed too.
    #[must_use]
    pub fn is_recursive(&self) -> bool {
        self.recursive
    }

    /// Whether files come with a digest.
    #[must_use]
    pub fn wants_digest(&self) -> bool {
        self.digest
    }

    /// The directories to leave out.
    #[must_use]
    pub fn skipped(&self) -> &[OsString] {
        &self.skip
    }
}
