use std::time::Duration;

use crate::leader::SourceError;
use crate::sync::SyncError;

/// What the other side wants when it only says that there were too many requests.
const RATE_LIMITED: Duration = Duration::from_secs(60);

/// What is to be done about an error, which git tells by its words.
pub(super) fn failure(error: SyncError) -> SourceError {
    let said = match &error {
        SyncError::Failed { said, .. } => said.to_ascii_lowercase(),
        _ => String::new(),
    };
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["error: 429"]) {
        return SourceError::rate_limited(error, RATE_LIMITED);
    }
    let needs_somebody = [
        "authentication failed",
        "could not read username",
        "permission denied",
        "error: 401",
        "error: 403",
        "error: 404",
        "not found",
        "does not appear to be a git repository",
        "shows no refs",
    ];
    if says(&needs_somebody) {
        return SourceError::permanent(error);
    }
    SourceError::transient(error)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn what_git_says_decides_what_is_to_be_done() {
        use crate::leader::SourceErrorKind::{Permanent, RateLimited, Transient};
        for (said, kind) in [
            (
                "fatal: unable to access 'https://h/': The requested URL returned error: 429",
                RateLimited,
            ),
            ("fatal: Authentication failed for 'https://h/'", Permanent),
            (
                "remote: Not Found\nfatal: repository 'https://h/x/' not found",
                Permanent,
            ),
            (
                "fatal: unable to access 'https://h/': Could not resolve host: h",
                Transient,
            ),
            ("error: RPC failed; HTTP 500 curl 22", Transient),
        ] {
            let (dir, said) = (PathBuf::new(), said.to_owned());
            assert_eq!(failure(SyncError::Failed { dir, said }).kind(), kind);
        }
    }
}
