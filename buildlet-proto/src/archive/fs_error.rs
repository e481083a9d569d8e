use std::io;
use std::path::{Path, PathBuf};
use std::{error, fmt};

/// A file-system operation failed.
///
/// Displays as a Go program says it, `open /workdir/d: is a directory`, which is what a buildlet answers. The text says all
/// that the cause does, so [`source`](error::Error::source) goes on behind it.
#[derive(Debug)]
pub struct FsError {
    operation: &'static str,
    path: PathBuf,
    error: io::Error,
}

impl FsError {
    pub(crate) fn new(
        operation: &'static str,
        path: impl Into<PathBuf>,
        error: impl Into<io::Error>,
    ) -> Self {
        Self {
            operation,
            path: path.into(),
            error: error.into(),
        }
    }

    /// What was tried: `open`, `mkdir`, `lstat` and the like.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// What it was tried on, as an absolute path where the directory was opened by one.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The operating system's error.
    #[must_use]
    pub fn io_error(&self) -> &io::Error {
        &self.error
    }

    /// The kind of the operating system's error.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }
}

impl fmt::Display for FsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            operation,
            path,
            error,
        } = self;
        write!(f, "{operation} {}: {}", path.display(), OsText(error))
    }
}

impl error::Error for FsError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        error::Error::source(&self.error)
    }
}

/// An error of the operating system, in the words of Go: those of C in lower case, and without a number.
pub(crate) struct OsText<'a>(pub(crate) &'a io::Error);

impl fmt::Display for OsText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let Some(code) = self.0.raw_os_error() else {
            return f.write_str(&text);
        };
        let text = text
            .strip_suffix(&format!(" (os error {code})"))
            .unwrap_or(&text);
        let mut chars = text.chars();
        if let Some(first) = chars.next() {
            write!(f, "{}", first.to_lowercase())?;
        }
        f.write_str(chars.as_str())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_those_of_a_go_program() {
        let missing = io::Error::from(rustix::io::Errno::NOENT);
        let error = FsError::new("lstat", "/workdir/nope", missing);
        assert_eq!(
            error.to_string(),
            "lstat /workdir/nope: no such file or directory"
        );
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let ours = io::Error::other("Not of the system");
        assert_eq!(OsText(&ours).to_string(), "Not of the system");
    }
}
