use std::fs;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;

/// An account elsewhere that an authority asks for, as Go's programs write it.
#[derive(Deserialize)]
struct ExternalAccount {
    #[serde(rename = "KID")]
    id: String,
    #[serde(rename = "Key")]
    key: String,
}

/// Its id and its key, from a file.
pub(crate) fn external_account(file: &Path) -> anyhow::Result<(String, Vec<u8>)> {
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
