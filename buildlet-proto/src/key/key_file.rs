use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{env, error, fmt, fs, io};

use super::BuilderKey;
use crate::types::parse_bool;

/// Where a builder finds its key: `$GO_BUILD_KEY_PATH`, else `.gobuildkey-HOSTTYPE` in its home directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    path: PathBuf,
    delete_after_read: bool,
}

impl KeyFile {
    /// The file at `path`, which stays.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            delete_after_read: false,
        }
    }

    /// As upstream's buildlets search, by the environment of this process: see [`locate`](Self::locate).
    #[must_use]
    pub fn from_env(host_type: &str, is_root: bool) -> Self {
        Self::locate(host_type, is_root, |name| env::var_os(name))
    }

    /// As upstream's buildlets search, by the variables that `var` knows.
    ///
    /// `$GO_BUILD_KEY_PATH` names the file. Without it, it is `.gobuildkey-HOSTTYPE` in `$HOME` (on Windows
    /// `%HOMEDRIVE%%HOMEPATH%`), or in `/root` for a process of root without a home, else in `/`. If
    /// `$GO_BUILD_KEY_DELETE_AFTER_READ` is true, the file is deleted once it was read, and also if it could not be.
    #[must_use]
    pub fn locate(host_type: &str, is_root: bool, var: impl Fn(&str) -> Option<OsString>) -> Self {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let path = match var("GO_BUILD_KEY_PATH") {
            Some(path) => PathBuf::from(path),
            None => home(is_root, &var).join(format!(".gobuildkey-{host_type}")),
        };
        let delete = var("GO_BUILD_KEY_DELETE_AFTER_READ");
        Self {
            path,
            delete_after_read: delete.is_some_and(|value| parse_bool(&value.to_string_lossy())),
        }
    }

    /// Whether the file is deleted after [`read`](Self::read), also when reading failed.
    #[must_use]
    pub fn delete_after_read(mut self, yes: bool) -> Self {
        self.delete_after_read = yes;
        self
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the key, without the white space around it.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is longer than 64 KiB, holds no key, or cannot be deleted as asked.
    pub fn read(&self) -> Result<BuilderKey, ReadKeyError> {
        let content = read_limited(&self.path);
        let deleted = if self.delete_after_read {
            fs::remove_file(&self.path)
        } else {
            Ok(())
        };
        let failed = |problem| ReadKeyError {
            path: self.path.clone(),
            problem,
        };
        let content = content.map_err(|error| failed(Problem::Read(error)))?;
        deleted.map_err(|error| failed(Problem::Delete(error)))?;
        match content.trim() {
            "" => Err(failed(Problem::Empty)),
            key => Ok(BuilderKey::new(key)),
        }
    }
}

fn home(is_root: bool, var: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    if cfg!(windows) {
        let mut home = var("HOMEDRIVE").unwrap_or_default();
        home.push(var("HOMEPATH").unwrap_or_default());
        return home.into();
    }
    match var("HOME") {
        Some(home) => home.into(),
        None if is_root => "/root".into(),
        None => "/".into(),
    }
}

fn read_limited(path: &Path) -> io::Result<String> {
    let mut content = String::new();
    let mut file = fs::File::open(path)?.take(MAX_KEY_FILE + 1);
    file.read_to_string(&mut content)?;
    if file.limit() == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "file too long"));
    }
    Ok(content)
}

/// A key has 32 bytes; whatever is far beyond is some other file.
const MAX_KEY_FILE: u64 = 64 << 10;

/// Why a builder has no key.
#[derive(Debug)]
pub struct ReadKeyError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Read(io::Error),
    Delete(io::Error),
    Empty,
}

impl fmt::Display for ReadKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.problem {
            Problem::Read(_) => write!(f, "cannot read key file \"{path}\""),
            Problem::Delete(_) => write!(f, "cannot delete key file \"{path}\" after reading it"),
            Problem::Empty => write!(f, "key file \"{path}\" holds no key"),
        }
    }
}

impl error::Error for ReadKeyError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.problem {
            Problem::Read(error) | Problem::Delete(error) => Some(error),
            Problem::Empty => None,
        }
    }
}
