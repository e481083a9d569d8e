use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use instant_acme::AccountCredentials;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::acme::store::AcmeStore;

const CERTIFICATE: &str = "certificate.pem";
const ACCOUNT: &str = "account.json";

/// What is kept of an account and a certificate.
#[derive(Clone)]
pub(crate) struct Kept {
    store: AcmeStore,
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
    pub(crate) fn new(store: AcmeStore, directory: &str) -> Self {
        Self {
            store,
            directory: directory.to_owned(),
        }
    }

    /// That for exactly these names of this authority, if there is one.
    pub(crate) async fn certificate(
        &self,
        names: &[String],
    ) -> anyhow::Result<Option<Certificate>> {
        let Some(text) = self.store.read(CERTIFICATE).await? else {
            return Ok(None);
        };
        let certificate = match text.strip_prefix(&self.heading()) {
            Some(pem) => parse(pem).with_context(|| self.store.place(CERTIFICATE))?,
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
        let text = format!("{}{pem}", self.heading());
        self.store.write(CERTIFICATE, text).await?;
        Ok(certificate)
    }

    pub(crate) async fn account(&self) -> anyhow::Result<Option<AccountCredentials>> {
        let Some(text) = self.store.read(ACCOUNT).await? else {
            return Ok(None);
        };
        let stored: StoredAccount<AccountCredentials> =
            serde_json::from_str(&text).with_context(|| self.store.place(ACCOUNT))?;
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
        self.store.write(ACCOUNT, text).await
    }

    /// What stands before a certificate: one of another authority is not ours.
    fn heading(&self) -> String {
        format!("From {}\n", self.directory)
    }
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
    use std::fs;

    use buckets::Bucket;

    use super::*;

    fn made(names: &[&str]) -> (String, String) {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.signing_key.serialize_pem(), made.cert.pem())
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    async fn is_kept(kept: &Kept, of: &[&str]) -> bool {
        kept.certificate(&names(of)).await.unwrap().is_some()
    }

    #[tokio::test]
    async fn a_certificate_is_kept_for_its_names_and_its_authority() {
        let folder = tempfile::tempdir().unwrap();
        let places = [
            AcmeStore::Folder(folder.path().join("autocert")),
            AcmeStore::Bucket(Bucket::in_memory()),
        ];
        for place in places {
            let kept = Kept::new(place.clone(), "https://one.example/");
            assert!(!is_kept(&kept, &["a.example"]).await);
            let (key, chain) = made(&["b.example", "a.example"]);
            let stored = kept.store_certificate(&key, &chain).await.unwrap();
            assert!(stored.renewal < stored.expires);
            assert!(is_kept(&kept, &["A.example", "b.example"]).await);
            assert!(!is_kept(&kept, &["a.example"]).await);
            let other = Kept::new(place, "https://two.example/");
            assert!(!is_kept(&other, &["a.example", "b.example"]).await);
        }
    }

    #[tokio::test]
    async fn what_does_not_belong_together_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = AcmeStore::Folder(folder.path().to_owned());
        let kept = Kept::new(store, "https://one.example/");
        let ((key, _), (_, chain)) = (made(&["a.example"]), made(&["a.example"]));
        assert!(kept.store_certificate(&key, &chain).await.is_err());
        assert!(kept.store_certificate(&key, "").await.is_err());
        let file = folder.path().join("certificate.pem");
        assert!(!file.exists());
        fs::write(&file, "From https://one.example/\nno").unwrap();
        let Err(error) = kept.certificate(&names(&["a.example"])).await else {
            panic!("it is no certificate");
        };
        assert!(error.to_string().contains("certificate.pem"), "{error}");
    }
}
