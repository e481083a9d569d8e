use std::io;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a bucket cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenBucketError {
    /// The address has another form than `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`, or the kind was not compiled in.
    #[error("{0:?} is not the address of a bucket that this program can use: write {1}")]
    Address(String, &'static str),
    /// What stands behind the bucket's name is no prefix of objects.
    #[error("{0:?} cannot stand before the names of objects")]
    Prefix(String, #[source] Source),
    /// The settings do not go together.
    #[error("the settings of the bucket are not good")]
    Settings(#[source] Source),
    /// The bucket does not answer, is not there, or must not be written to.
    #[error("nothing can be written to the bucket")]
    Refused(#[source] Source),
}

/// Why an object could not be stored, read or listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum BucketError {
    /// There is none of this name.
    #[error("there is no object {name}")]
    NotFound { name: String },
    /// It cannot be the name of an object.
    #[error("{name:?} cannot be the name of an object")]
    Name { name: String, source: Source },
    /// It is larger than it may be; nothing was stored.
    #[error("more than {limit} bytes are to be stored as {name}")]
    TooLarge { name: String, limit: u64 },
    /// What was to be stored could not be read to its end; nothing was stored.
    #[error("what is to be stored as {name} cannot be read")]
    Unreadable { name: String, source: io::Error },
    /// There are more objects than were to be listed.
    #[error("the bucket has more than {limit} objects")]
    TooMany { limit: usize },
    /// Somebody else stored it meanwhile.
    #[error("somebody else stored {name} meanwhile")]
    Changed { name: String },
    /// The bucket failed.
    #[error("the bucket failed at {name}")]
    Failed { name: String, source: Source },
}

/// An error and its causes, each once: the store's errors say those of their causes too, more than once.
pub(crate) fn told(error: &dyn std::error::Error) -> Source {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let root = io::Error::other("connection refused");
        let error = object_store::Error::Generic {
            store: "S3",
            source: Box::new(BucketError::Unreadable {
                name: "logs/1/1.gz".to_owned(),
                source: root,
            }),
        };
        let told = told(&error);
        assert!(told.source().is_none());
        let text = told.to_string();
        for part in ["S3", "cannot be read", "connection refused"] {
            assert_eq!(text.matches(part).count(), 1, "{text}");
        }
    }
}
