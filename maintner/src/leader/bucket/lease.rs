//! Who writes to a bucket: an object that only its last writer can replace.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use buckets::{Bucket, BucketError, Version};
use bytes::Bytes;
use tokio::time::sleep;

use crate::in_full::in_full;
use crate::leader::BucketLogError;

/// The object; Go's `gcslog` passes over such names.
const NAME: &str = "leader";
/// Bytes that it has at most.
const LIMIT: u64 = 1 << 10;
/// How often it is tried while others begin too.
const ATTEMPTS: usize = 5;
/// Who has it then.
const NOBODY: &str = "nobody: the object `leader` was removed";

/// The right to write, until somebody else takes it.
#[derive(Debug)]
pub(super) struct Lease {
    bucket: Bucket,
    id: String,
    renewed: u64,
    version: Version,
}

impl Lease {
    /// Takes it from whoever has it, who sees that when he renews it.
    pub(super) async fn take(bucket: Bucket) -> Result<Self, BucketLogError> {
        let id = id();
        for _ in 0..ATTEMPTS {
            let before = bucket.look(NAME, LIMIT).await.map_err(failed)?;
            if let Some((content, _)) = &before {
                tracing::info!(before = %text(content), "takes over the bucket");
            }
            let version = before.map(|(_, version)| version);
            if let Ok(version) = swap(&bucket, &id, 0, version.as_ref()).await? {
                return Ok(Self {
                    bucket,
                    id,
                    renewed: 0,
                    version,
                });
            }
        }
        Err(taken("several others, who begin too".to_owned()))
    }

    /// Fails for good when somebody else has it.
    pub(super) async fn renew(&mut self) -> Result<(), BucketLogError> {
        let renewed = self.renewed + 1;
        match swap(&self.bucket, &self.id, renewed, Some(&self.version)).await? {
            Ok(version) => {
                self.renewed = renewed;
                self.version = version;
                Ok(())
            }
            Err(by) => Err(taken(by)),
        }
    }

    /// Waits until somebody else has it, which is looked at as often. Failures to look are left to the next time, or to
    /// [`renew`](Self::renew). Cancel safe.
    pub(super) async fn lost(&self, every: Duration) -> BucketLogError {
        loop {
            sleep(every).await;
            match self.bucket.look(NAME, LIMIT).await {
                Ok(Some((_, version))) if version == self.version => {}
                Ok(Some((content, _))) if self.is_ours(&content) => {}
                Ok(Some((content, _))) => return taken(text(&content)),
                Ok(None) => return taken(NOBODY.to_owned()),
                Err(error) => tracing::debug!("cannot see who leads: {}", in_full(&error)),
            }
        }
    }

    /// An answer to a renewal may have been lost.
    fn is_ours(&self, content: &[u8]) -> bool {
        text(content).contains(&self.id)
    }
}

/// The new version, or what somebody else stored.
async fn swap(
    bucket: &Bucket,
    id: &str,
    renewed: u64,
    before: Option<&Version>,
) -> Result<Result<Version, String>, BucketLogError> {
    let content = Bytes::from(format!("maintner leader {id} {renewed}\n"));
    match bucket.swap(NAME, content.clone(), before).await {
        Ok(version) => Ok(Ok(version)),
        // An answer may have been lost, and the request repeated.
        Err(BucketError::Changed { .. }) => {
            match bucket.look(NAME, LIMIT).await.map_err(failed)? {
                Some((now, version)) if now == content => Ok(Ok(version)),
                Some((now, _)) => Ok(Err(text(&now))),
                None => Ok(Err(NOBODY.to_owned())),
            }
        }
        Err(error) => Err(failed(error)),
    }
}

fn taken(by: String) -> BucketLogError {
    BucketLogError::Taken { by }
}

fn failed(source: BucketError) -> BucketLogError {
    BucketLogError::Bucket { source }
}

/// On one line, whatever somebody stored there.
fn text(content: &[u8]) -> String {
    String::from_utf8_lossy(content)
        .trim()
        .escape_debug()
        .to_string()
}

/// Told apart from others, not secret.
fn id() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_takes_it_last_has_it() {
        let bucket = Bucket::in_memory();
        let mut first = Lease::take(bucket.clone()).await.unwrap();
        first.renew().await.unwrap();
        first.renew().await.unwrap();
        let mut second = Lease::take(bucket.clone()).await.unwrap();
        let error = first.renew().await.unwrap_err();
        assert!(
            matches!(&error, BucketLogError::Taken { by } if by.contains(&second.id)),
            "{error}"
        );
        second.renew().await.unwrap();
        bucket.remove(NAME).await.unwrap();
        let error = second.renew().await.unwrap_err();
        assert!(error.is_final(), "{error}");
    }

    #[tokio::test]
    async fn an_answer_that_was_lost_takes_nothing_away() {
        let bucket = Bucket::in_memory();
        let mut lease = Lease::take(bucket.clone()).await.unwrap();
        // What the next renewal stores, as if it had been sent before.
        let content = format!("maintner leader {} 1\n", lease.id);
        let stored = bucket
            .swap(NAME, content.into(), Some(&lease.version))
            .await;
        lease.renew().await.unwrap();
        assert_eq!(lease.version, stored.unwrap());
        lease.renew().await.unwrap();
    }
}
