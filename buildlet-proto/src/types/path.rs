use std::fmt;
use std::path::{Path, PathBuf};

use super::GoQuoted;
use super::form::{os_bytes, os_string};
use super::lexical;

/// Whose rules a path follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathStyle {
    /// `/` separates, every other byte is ordinary.
    Unix,
    /// `/` and `\` separate, and a path may begin with a volume.
    Windows,
}

impl PathStyle {
    /// The style of the machine this runs on.
    pub const NATIVE: Self = if cfg!(windows) {
        Self::Windows
    } else {
        Self::Unix
    };
}

/// A path parameter that stays below the directory it is joined to.
///
/// This is the lexical rule of the buildlet protocol (version 26 and later) for `path`, `dir`, tar entry names and relative
/// commands. It looks at no file system, so it knows nothing of symbolic links: whoever opens the path must see to those.
///
/// ```
/// use buildlet_proto::types::{PathStyle, RelativePath};
/// let path = RelativePath::parse("a/../b/", PathStyle::Unix)?;
/// assert_eq!(path.as_path(), std::path::Path::new("b"));
/// let refused = RelativePath::parse("../b", PathStyle::Unix).unwrap_err();
/// assert_eq!(refused.to_string(), r#"path "../b" refers to a parent directory"#);
/// # Ok::<(), buildlet_proto::types::PathError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelativePath {
    /// With the separators of its style, else as it came.
    native: PathBuf,
    clean: PathBuf,
}

impl RelativePath {
    /// Checks `path`.
    ///
    /// # Errors
    ///
    /// When it is empty, not relative, or leads out of the directory it is relative to.
    pub fn parse(path: impl AsRef<[u8]>, style: PathStyle) -> Result<Self, PathError> {
        let path = path.as_ref();
        let refused = |problem| {
            Err(PathError {
                path: path.to_vec(),
                problem,
            })
        };
        if path.is_empty() {
            return refused(Problem::Empty);
        }
        let windows = style == PathStyle::Windows;
        let native = if windows && path.contains(&b'\\') {
            let clean = lexical::clean_windows(path);
            let volume = lexical::volume_len(&clean);
            if lexical::is_absolute_windows(&clean) {
                return refused(Problem::NotRelative);
            }
            if clean == b".." || clean.starts_with(br"..\") {
                return refused(Problem::Parent);
            }
            if clean.starts_with(br"\") || volume > 0 {
                return refused(Problem::RelativeToVolume);
            }
            path.to_vec()
        } else {
            let clean = lexical::clean_unix(path);
            if clean.starts_with(b"/") {
                return refused(Problem::NotRelative);
            }
            if clean == b".." || clean.starts_with(b"../") {
                return refused(Problem::Parent);
            }
            let mut native = path.to_vec();
            if windows {
                lexical::to_backslashes(&mut native);
                if lexical::volume_len(&native) > 0 {
                    return refused(Problem::Volume);
                }
            }
            native
        };
        let clean = match style {
            PathStyle::Unix => lexical::clean_unix(&native),
            PathStyle::Windows => lexical::clean_windows(&native),
        };
        Ok(Self {
            native: os_string(&native).into(),
            clean: os_string(&clean).into(),
        })
    }

    /// The path to join to the base directory: without `.`, `..`, doubled separators and a separator at the end; `.` for the
    /// base directory itself.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.clean
    }

    /// The path as it came, but with the separators of its style.
    #[must_use]
    pub fn as_given(&self) -> &Path {
        &self.native
    }

    /// Whether it is the base directory itself.
    #[must_use]
    pub fn is_base(&self) -> bool {
        os_bytes(self.clean.as_os_str()) == b"."
    }
}

/// The shortest path of this system that is lexically equal.
#[cfg(feature = "exec")]
pub(crate) fn clean_native(path: &Path) -> PathBuf {
    let clean = match PathStyle::NATIVE {
        PathStyle::Unix => lexical::clean_unix,
        PathStyle::Windows => lexical::clean_windows,
    };
    os_string(&clean(os_bytes(path.as_os_str()))).into()
}

impl AsRef<Path> for RelativePath {
    fn as_ref(&self) -> &Path {
        self.as_path()
    }
}

/// A path parameter was refused. Displays the text that upstream answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    path: Vec<u8>,
    problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    Empty,
    NotRelative,
    Parent,
    Volume,
    RelativeToVolume,
}

impl PathError {
    /// Whether there was no path at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problem == Problem::Empty
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.problem {
            Problem::Empty => return f.write_str("path not provided"),
            Problem::NotRelative => "is not relative",
            Problem::Parent => "refers to a parent directory",
            Problem::Volume => "begins with a native volume name",
            Problem::RelativeToVolume => "is relative to volume",
        };
        write!(f, "path {} {problem}", GoQuoted(&self.path))
    }
}

impl std::error::Error for PathError {}
