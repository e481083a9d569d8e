use std::env;
use std::fs;

use anyhow::Context as _;

/// What whoever started the machine left for the buildlet: `META_` and the key with underscores, as upstream reads it, or in
/// capitals, as upstream's Kubernetes pods set it. A value `@FILE` stands for the content of FILE. Nothing is as good as empty.
pub(crate) fn get(key: &str) -> anyhow::Result<Option<String>> {
    let name = format!("META_{}", key.replace('-', "_"));
    for name in [name.to_uppercase(), name] {
        let value = match env::var(&name) {
            Ok(value) => value,
            Err(env::VarError::NotPresent) => continue,
            Err(error) => return Err(error).context(name),
        };
        let value = match value.strip_prefix('@') {
            Some(file) => {
                fs::read_to_string(file).with_context(|| format!("{name} names the file {file}"))?
            }
            None => value,
        };
        if !value.is_empty() {
            return Ok(Some(value));
        }
    }
    Ok(None)
}
