use std::io;

use super::BlobName;

/// Why a blob could not be stored or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum BlobError {
    /// There is none of this name.
    #[error("there is no blob {0}")]
    NotFound(BlobName),
    /// It is larger than it may be; nothing was stored.
    #[error("more than {limit} bytes are to be stored as {name}")]
    TooLarge { name: BlobName, limit: u64 },
    /// What was to be stored could not be read to its end; nothing was stored.
    #[error("what is to be stored as {name} cannot be read")]
    Source { name: BlobName, source: io::Error },
    /// The place where blobs are kept failed.
    #[error("the storage of {name} failed")]
    Storage {
        name: BlobName,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A log is not what was stored.
    #[error("the log {name} is damaged")]
    Damaged { name: BlobName },
}

impl BlobError {
    pub(crate) fn storage(
        name: &BlobName,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Storage {
            name: name.clone(),
            source: source.into(),
        }
    }
}
