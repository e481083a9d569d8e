use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use revdial::serve_tls::{Acceptor, server_config, tolerant};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What a server proves with who it is.
pub struct Certificate {
    acceptor: Acceptor,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum CertificateError {
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// A file is not what it should be.
    #[error("{} is no PEM file with a {what}", path.display())]
    Pem {
        path: PathBuf,
        what: &'static str,
        source: rustls::pki_types::pem::Error,
    },
    /// Certificate and key are not accepted, or are not each other's.
    #[error("certificate and key cannot be used")]
    Unusable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// None could be made for these names.
    #[error("cannot make a certificate")]
    Make(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Certificate {
    /// The chain and the key in these PEM files.
    ///
    /// # Errors
    ///
    /// When they cannot be read, or do not belong together.
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        let read = |path: &Path| {
            fs::read(path).map_err(|source| CertificateError::File {
                path: path.to_owned(),
                source,
            })
        };
        let pem = |path: &Path, what| {
            let path = path.to_owned();
            move |source| CertificateError::Pem { path, what, source }
        };
        let certificates = CertificateDer::pem_slice_iter(&read(chain)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(pem(chain, "certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(pem(key, "private key"))?;
        let config = server_config(tolerant(default_provider()), certificates, key)
            .map_err(|error| CertificateError::Unusable(error.into()))?;
        let acceptor = Acceptor::new(config.into())
            .map_err(|error| CertificateError::Unusable(error.into()))?;
        Ok(Self { acceptor })
    }

    /// The self-signed certificate `cert.pem` of this folder with its `key.pem`; both are made for `names` if they are not there. Names
    /// may be addresses, too.
    ///
    /// Machines are told to believe it by being given `cert.pem`. The key is readable by this user alone.
    ///
    /// # Errors
    ///
    /// When they cannot be made, kept or read.
    pub fn kept_in(folder: &Path, names: &[String]) -> Result<Self, CertificateError> {
        let (chain, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        if !chain.exists() {
            let made = rcgen::generate_simple_self_signed(names)
                .map_err(|error| CertificateError::Make(error.into()))?;
            let failed = |path: &Path| {
                let path = path.to_owned();
                move |source| CertificateError::File { path, source }
            };
            fs::create_dir_all(folder).map_err(failed(folder))?;
            // The key first: a certificate is the sign that both are there.
            replace(&key, &made.signing_key.serialize_pem()).map_err(failed(&key))?;
            replace(&chain, &made.cert.pem()).map_err(failed(&chain))?;
        }
        Self::from_files(&chain, &key)
    }

    pub(super) fn into_acceptor(self) -> Acceptor {
        self.acceptor
    }
}

/// Writes a file that nobody else may read: all of it, or nothing.
fn replace(path: &Path, content: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(unfinished, path)
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["localhost", "127.0.0.1"].map(str::to_owned).into()
    }

    #[test]
    fn a_certificate_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        Certificate::kept_in(folder.path(), &names()).unwrap();
        let first = fs::read(folder.path().join("cert.pem")).unwrap();
        Certificate::kept_in(folder.path(), &names()).unwrap();
        assert_eq!(fs::read(folder.path().join("cert.pem")).unwrap(), first);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_reads_the_key() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        Certificate::kept_in(folder.path(), &names()).unwrap();
        let key = fs::metadata(folder.path().join("key.pem")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_certificate_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cert.pem");
        fs::write(&file, "no").unwrap();
        let error = Certificate::from_files(&file, &file).unwrap_err();
        assert!(error.to_string().contains("cert.pem"), "{error}");
    }
}
