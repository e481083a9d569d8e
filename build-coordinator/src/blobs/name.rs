use std::fmt;
use std::str::FromStr;

use crate::model::AttemptId;

/// Name of a blob: parts of `a` to `z`, digits, `-`, `_` and `.` (not at their beginning), with `/` between them; at most
/// 255 bytes. So it is a relative path on every system, and two names never mean one file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobName(Box<str>);

/// The text is no [`BlobName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a blob")]
pub struct ParseBlobNameError;

impl BlobName {
    /// Where the log of an attempt is kept: `logs/17/17042.1.gz`. Those of a thousand builds share a folder, as making one costs
    /// more than a log.
    #[must_use]
    pub fn log(attempt: AttemptId) -> Self {
        Self(format!("logs/{}/{attempt}.gz", attempt.build.0 / 1000).into())
    }

    /// Where the artifact number `index` of an attempt is kept: `artifacts/17/1/0`. Its own name is a stranger's, and
    /// stands in the store.
    #[must_use]
    pub fn artifact(attempt: AttemptId, index: u32) -> Self {
        Self(format!("artifacts/{}/{}/{index}", attempt.build, attempt.number).into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BlobName {
    type Err = ParseBlobNameError;

    fn from_str(text: &str) -> Result<Self, ParseBlobNameError> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        let part = |part: &str| {
            !part.is_empty()
                && !part.starts_with(['.', '-'])
                && !part.ends_with('.')
                && part.bytes().all(allowed)
        };
        if text.len() <= 255 && text.split('/').all(part) {
            Ok(Self(text.into()))
        } else {
            Err(ParseBlobNameError)
        }
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BuildId;

    #[test]
    fn a_name_stays_below_its_folder() {
        for wrong in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a\\b", "A", "a:b", "a\0", ".tmp",
            "-a", "a.", "ä",
        ] {
            assert!(wrong.parse::<BlobName>().is_err(), "{wrong:?}");
        }
        assert!("a".repeat(256).parse::<BlobName>().is_err());
        let attempt = BuildId(u64::MAX).attempt(u32::MAX);
        for name in [
            BlobName::log(attempt),
            BlobName::artifact(attempt, u32::MAX),
        ] {
            assert_eq!(name.as_str().parse(), Ok(name));
        }
    }
}
