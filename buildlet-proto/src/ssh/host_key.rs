use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use russh::keys::PrivateKey;
use russh::keys::key::safe_rng;
use russh::keys::ssh_key::{Algorithm, HashAlg, LineEnding};

/// The key by which clients know the server: Ed25519.
#[derive(Clone)]
pub struct HostKey(PrivateKey);

impl HostKey {
    /// A new key that ends with the process, as for a machine that lives for one build.
    ///
    /// # Panics
    ///
    /// When the system has no randomness to give.
    #[must_use]
    pub fn generate() -> Self {
        let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519);
        Self(key.expect("making an Ed25519 key takes 32 random bytes and nothing else"))
    }

    /// The key in the file `path`, in OpenSSH's format; makes one there (mode 0600) if the file is missing. Of two processes
    /// that do so at the same time, both get the same key. Blocks for a few file operations.
    ///
    /// # Errors
    ///
    /// See [`HostKeyError`].
    ///
    /// # Panics
    ///
    /// When a key has to be made and the system has no randomness to give.
    pub fn load_or_create(path: &Path) -> Result<Self, HostKeyError> {
        let file = |source| HostKeyError::File {
            path: path.to_owned(),
            source,
        };
        match std::fs::read(path) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::generate();
                let text = key
                    .0
                    .to_openssh(LineEnding::LF)
                    .expect("a key without a passphrase has a text form");
                if create(path, text.as_bytes()).map_err(file)? {
                    return Ok(key);
                }
                Self::parse(path, &std::fs::read(path).map_err(file)?)
            }
            Err(error) => Err(file(error)),
        }
    }

    fn parse(path: &Path, text: &[u8]) -> Result<Self, HostKeyError> {
        let malformed = || HostKeyError::Malformed {
            path: path.to_owned(),
        };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let meta = std::fs::metadata(path).map_err(|source| HostKeyError::File {
                path: path.to_owned(),
                source,
            })?;
            if meta.permissions().mode() & 0o077 != 0 {
                return Err(HostKeyError::Exposed {
                    path: path.to_owned(),
                });
            }
        }
        let key = PrivateKey::from_openssh(text).map_err(|_| malformed())?;
        if key.is_encrypted() || key.algorithm() != Algorithm::Ed25519 {
            return Err(malformed());
        }
        Ok(Self(key))
    }

    /// The public half, as in `known_hosts` behind the host's name: `ssh-ed25519 AAAA...`.
    ///
    /// # Panics
    ///
    /// Never: an Ed25519 key has a text form.
    #[must_use]
    pub fn public_key(&self) -> String {
        self.0
            .public_key()
            .to_openssh()
            .expect("an Ed25519 key has a text form")
    }

    /// What a client shows at the first connection: `SHA256:...`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    pub(crate) fn into_private_key(self) -> PrivateKey {
        self.0
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostKey").field(&self.fingerprint()).finish()
    }
}

/// Writes a file that is whole or not there. `false` if somebody else was first.
fn create(path: &Path, content: &[u8]) -> io::Result<bool> {
    use std::io::Write as _;

    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&partial)?;
    let done = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| {
            // Unlike renaming, linking never replaces what another process has put there.
            match std::fs::hard_link(&partial, path) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error),
            }
        });
    std::fs::remove_file(&partial)?;
    done
}

/// Why a host key could not be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum HostKeyError {
    /// The file could not be read or made.
    File {
        /// Which one.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The file is no unencrypted Ed25519 key in OpenSSH's format.
    Malformed {
        /// Which one.
        path: PathBuf,
    },
    /// Others than the file's owner may read it.
    Exposed {
        /// Which one.
        path: PathBuf,
    },
}

impl fmt::Display for HostKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => {
                write!(f, "cannot read or make the host key {}", path.display())
            }
            Self::Malformed { path } => {
                write!(f, "{} is no unencrypted Ed25519 key", path.display())
            }
            Self::Exposed { path } => write!(
                f,
                "others may read the host key {}: make its mode 0600",
                path.display()
            ),
        }
    }
}

impl std::error::Error for HostKeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Malformed { .. } | Self::Exposed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host_key");
        let first = HostKey::load_or_create(&path).unwrap();
        assert_eq!(
            first.public_key(),
            HostKey::load_or_create(&path).unwrap().public_key()
        );
        assert_ne!(first.public_key(), HostKey::generate().public_key());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host_key");
        HostKey::load_or_create(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            HostKey::load_or_create(&path),
            Err(HostKeyError::Exposed { .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_key_is_never_replaced() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host_key");
        std::fs::write(&path, "precious").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(
            HostKey::load_or_create(&path),
            Err(HostKeyError::Malformed { .. })
        ));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
