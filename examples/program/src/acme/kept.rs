use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, str};

use anyhow::{Context as _, bail};
use instant_acme::AccountCredentials;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::files::replace_private_file;

/// Bytes of a file that are read: more than any chain has.
const MAX_FILE: u64 = 1 << 20;

/// The files of an account and a certificate.
#[derive(Clone)]
pub(crate) struct Kept {
    folder: PathBuf,
    directory: String,
}

/// A certificate with its key.
pub(crate) struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) expires: SystemTime,
    /// After two thirds of its time.
    pub(crate) renewal: SystemTime,
    names: BTreeSet<String>,
}

/// An account is one of an authority.
#[derive(Serialize, Deserialize)]
struct StoredAccount<C> {
    directory: String,
    credentials: C,
}

impl Kept {
    pub(crate) fn new(folder: &Path, directory: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            directory: directory.to_owned(),
        }
    }

    /// That for exactly these names of this authority, if there is one.
    pub(crate) fn certificate(&self, names: &[String]) -> anyhow::Result<Option<Certificate>> {
        let file = self.folder.join("certificate.pem");
        let Some(text) = read(&file).with_context(|| file.display().to_string())? else {
            return Ok(None);
        };
        let certificate = match text.strip_prefix(&self.heading()) {
            Some(pem) => parse(pem).with_context(|| file.display().to_string())?,
            None => return Ok(None),
        };
        let names: BTreeSet<_> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        let is_ours = certificate.names == names && certificate.expires > SystemTime::now();
        Ok(is_ours.then_some(certificate))
    }

    pub(crate) async fn store_certificate(
        &self,
        key: &str,
        chain: &str,
    ) -> anyhow::Result<Certificate> {
        let pem = format!("{key}{chain}");
        let certificate = parse(&pem).context("what the authority issued cannot be used")?;
        self.store("certificate.pem", format!("{}{pem}", self.heading()))
            .await?;
        Ok(certificate)
    }

    pub(crate) async fn account(&self) -> anyhow::Result<Option<AccountCredentials>> {
        let file = self.folder.join("account.json");
        let name = file.display().to_string();
        let text = spawn_blocking(move || read(&file)).await?;
        let Some(text) = text.with_context(|| name.clone())? else {
            return Ok(None);
        };
        let stored: StoredAccount<AccountCredentials> =
            serde_json::from_str(&text).context(name)?;
        Ok((stored.directory == self.directory).then_some(stored.credentials))
    }

    pub(crate) async fn store_account(
        &self,
        credentials: &AccountCredentials,
    ) -> anyhow::Result<()> {
        let directory = self.directory.clone();
        let text = serde_json::to_string(&StoredAccount {
            directory,
            credentials,
        })?;
        self.store("account.json", text).await
    }

    /// What stands before a certificate: one of another authority is not ours.
    fn heading(&self) -> String {
        format!("From {}\n", self.directory)
    }

    /// Writes a file that nobody else may read: all of it, or nothing.
    async fn store(&self, name: &str, text: String) -> anyhow::Result<()> {
        let (folder, file) = (self.folder.clone(), self.folder.join(name));
        let shown = file.display().to_string();
        let storing = spawn_blocking(move || {
            fs::create_dir_all(folder)?;
            replace_private_file(&file, &text)
        });
        storing.await?.context(shown)
    }
}

fn read(file: &Path) -> io::Result<Option<String>> {
    let mut text = String::new();
    match fs::File::open(file) {
        Ok(file) => file.take(MAX_FILE).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(text))
}

fn parse(pem: &str) -> anyhow::Result<Certificate> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).context("the private key")?;
    let key = any_supported_type(&key).context("the private key")?;
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .context("the certificate")?;
    let Some(first) = chain.first() else {
        bail!("there is no certificate");
    };
    let (_, first) = X509Certificate::from_der(first).context("the certificate")?;
    let validity = first.validity();
    let time = |seconds: i64| {
        let seconds = u64::try_from(seconds).unwrap_or_default();
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    };
    let expires = time(validity.not_after.timestamp()).context("it never expires")?;
    let begins = time(validity.not_before.timestamp()).context("it never begins")?;
    let third = expires.duration_since(begins).context("its times")? / 3;
    let alternatives = first.subject_alternative_name().context("its names")?;
    let names = alternatives
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    let shown = CertifiedKey::new(chain, key);
    match shown.keys_match() {
        Ok(()) => {}
        Err(error) => bail!("the key is not the certificate's: {error}"),
    }
    Ok(Certificate {
        key: Arc::new(shown),
        expires,
        renewal: expires - third,
        names,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str]) -> (String, String) {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.signing_key.serialize_pem(), made.cert.pem())
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[tokio::test]
    async fn a_certificate_is_kept_for_its_names_and_its_authority() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path(), "https://one.example/");
        assert!(kept.certificate(&names(&["a.example"])).unwrap().is_none());
        let (key, chain) = made(&["b.example", "a.example"]);
        let stored = kept.store_certificate(&key, &chain).await.unwrap();
        assert!(stored.renewal < stored.expires);
        let wanted = names(&["A.example", "b.example"]);
        assert!(kept.certificate(&wanted).unwrap().is_some());
        assert!(kept.certificate(&names(&["a.example"])).unwrap().is_none());
        let other = Kept::new(folder.path(), "https://two.example/");
        assert!(other.certificate(&wanted).unwrap().is_none());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let file = fs::metadata(folder.path().join("certificate.pem")).unwrap();
            assert_eq!(file.permissions().mode() & 0o777, 0o600);
        }
    }

    #[tokio::test]
    async fn what_does_not_belong_together_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path(), "https://one.example/");
        let ((key, _), (_, chain)) = (made(&["a.example"]), made(&["a.example"]));
        assert!(kept.store_certificate(&key, &chain).await.is_err());
        assert!(kept.store_certificate(&key, "").await.is_err());
        assert!(!folder.path().join("certificate.pem").exists());
        fs::write(
            folder.path().join("certificate.pem"),
            "From https://one.example/\nno",
        )
        .unwrap();
        assert!(kept.certificate(&names(&["a.example"])).is_err());
    }
}
