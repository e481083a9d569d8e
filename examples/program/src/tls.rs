use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use revdial::trust::Trust;
use rustls::ClientConfig;

/// What the flags `--ca FILE` and `--insecure` come to: servers are believed if the file's authorities certified them, or whoever
/// they are; with neither, if the system believes them.
///
/// # Errors
///
/// When the file cannot be read or holds no authority, or the system's are not to be had.
pub fn tls_client_config(ca: Option<&Path>, insecure: bool) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trust = match ca {
        Some(file) => {
            let pem = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            Trust::from_pem(&pem).with_context(|| file.display().to_string())?
        }
        None if insecure => Trust::Anyone,
        None => Trust::Verifier(Arc::new(
            rustls_platform_verifier::Verifier::new(provider.clone())
                .context("cannot load the system's certificate authorities; name one with --ca")?,
        )),
    };
    Ok(Arc::new(trust.client_config(provider)?))
}
