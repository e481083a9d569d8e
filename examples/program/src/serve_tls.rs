use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use revdial::serve_tls::{Acceptor, server_config, tolerant};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::files::{replace_file, replace_private_file};

/// Accepts TLS, from Go buildlets on any port too, with the chain and the key in these PEM files.
///
/// # Errors
///
/// When they cannot be read, or do not belong together.
pub fn acceptor(chain: &Path, key: &Path) -> anyhow::Result<Acceptor> {
    acceptor_speaking(chain, key, &[])
}

/// As [`acceptor`], for clients that ask which of these protocols is spoken: `h2`, `http/1.1`. The first that both have is taken.
///
/// # Errors
///
/// As [`acceptor`].
pub fn acceptor_speaking(chain: &Path, key: &Path, protocols: &[&str]) -> anyhow::Result<Acceptor> {
    let read = |file: &Path| {
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
    };
    from_pem(&read(chain)?, &read(key)?, protocols)
        .with_context(|| format!("{} and {}", chain.display(), key.display()))
}

/// As [`acceptor`], from the texts of such files.
///
/// # Errors
///
/// When they are no PEM, or do not belong together.
pub fn acceptor_from_pem(chain: &str, key: &str) -> anyhow::Result<Acceptor> {
    from_pem(chain, key, &[])
}

fn from_pem(chain: &str, key: &str, protocols: &[&str]) -> anyhow::Result<Acceptor> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .context("the certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).context("the private key")?;
    let mut config = server_config(tolerant(default_provider()), chain, key)?;
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    Ok(Acceptor::new(config.into())?)
}

/// Accepts TLS with the self-signed certificate `cert.pem` of this folder and its `key.pem`; makes them for `names` if they are not
/// there yet. Clients believe it when they are given `cert.pem` as an authority.
///
/// # Errors
///
/// When they cannot be made, kept or read.
pub fn self_signed_acceptor(folder: &Path, names: &[String]) -> anyhow::Result<Acceptor> {
    let (chain, key) = self_signed_files(folder, names)?;
    acceptor(&chain, &key)
}

/// The self-signed certificate `cert.pem` of this folder and its `key.pem`, made as for [`self_signed_acceptor`] if they are not there.
///
/// # Errors
///
/// When they cannot be made or kept.
pub fn self_signed_files(folder: &Path, names: &[String]) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (chain, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    if !chain.exists() {
        let made =
            rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        // The key first: a certificate is the sign that both are there.
        replace_private_file(&key, &made.signing_key.serialize_pem())
            .with_context(|| key.display().to_string())?;
        replace_file(&chain, &made.cert.pem()).with_context(|| chain.display().to_string())?;
    }
    Ok((chain, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let make = || self_signed_acceptor(folder.path(), &["localhost".to_owned()]).unwrap();
        make();
        let first = fs::read(folder.path().join("cert.pem")).unwrap();
        make();
        assert_eq!(fs::read(folder.path().join("cert.pem")).unwrap(), first);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_reads_the_key() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        self_signed_acceptor(folder.path(), &["localhost".to_owned()]).unwrap();
        let key = fs::metadata(folder.path().join("key.pem")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }
}
