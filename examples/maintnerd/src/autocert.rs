//! The certificate that an authority issues.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use program::{AcmeCertificate, AcmeConfig};
use serde::Deserialize;

use crate::args::Args;

/// As Go's programs write it.
#[derive(Deserialize)]
struct ExternalAccount {
    #[serde(rename = "KID")]
    id: String,
    #[serde(rename = "Key")]
    key: String,
}

pub(crate) fn certificate(args: &Args, data_dir: &Path) -> anyhow::Result<AcmeCertificate> {
    let acme = &args.acme;
    let external_account = acme.autocert_eab.as_deref().map(external_account);
    AcmeCertificate::open(AcmeConfig {
        directory: acme.autocert_directory.clone(),
        email: Some(acme.autocert_email.clone()).filter(|email| !email.is_empty()),
        external_account: external_account.transpose()?,
        names: args.host_name.clone(),
        folder: data_dir.join("autocert"),
    })
}

fn external_account(file: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    let read = || {
        let account: ExternalAccount = serde_json::from_str(&fs::read_to_string(file)?)?;
        // Authorities write it in either way.
        let key = account.key.trim_end_matches('=');
        let key = BASE64_URL_SAFE_NO_PAD
            .decode(key)
            .or_else(|_| BASE64_STANDARD.decode(&account.key))
            .context("the key is not base64")?;
        anyhow::Ok((account.id, key))
    };
    read().with_context(|| format!("--autocert-eab: {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_read_with_a_key_in_either_alphabet() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("eab.json");
        for key in ["+/8=", "-_8", "-_8="] {
            fs::write(&file, format!(r#"{{"KID": "k1", "Key": "{key}"}}"#)).unwrap();
            let account = external_account(&file).unwrap();
            assert_eq!(account, ("k1".to_owned(), vec![0xfb, 0xff]), "{key}");
        }
        fs::write(&file, r#"{"KID": "k1", "Key": "?"}"#).unwrap();
        let error = format!("{:#}", external_account(&file).unwrap_err());
        assert!(
            error.contains("eab.json") && error.contains("base64"),
            "{error}"
        );
    }
}
