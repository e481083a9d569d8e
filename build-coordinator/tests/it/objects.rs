//! Logs and artifacts in buckets, as a server of S3's protocol has them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use build_coordinator::blobs::{BlobError, BlobName, Blobs as _, Logs, ObjectBlobs};
use s3_peer::S3Server;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

/// Keeps a log and an artifact in the bucket, reads parts of them, and removes them.
async fn keep_and_remove(server: &S3Server, blobs: ObjectBlobs) {
    blobs.check().await.unwrap();
    assert!(server.objects().is_empty(), "{:?}", server.objects());
    let logs = Logs::new(Arc::new(blobs));
    let name: BlobName = "logs/7/1.gz".parse().unwrap();
    let text: Vec<u8> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
    let stored = logs.store(&name, &text[..]).await.unwrap();
    assert_eq!(stored, text.len() as u64);
    assert!(server.objects().contains(&"builds/logs/7/1.gz".to_owned()));
    for range in [0..10, 1_000_000..1_000_100, 2_399_990..9_000_000] {
        let mut part = Vec::new();
        let mut reader = logs.read(&name, range.clone()).await.unwrap();
        reader.read_to_end(&mut part).await.unwrap();
        let [start, end] =
            [range.start, range.end.min(stored)].map(|at| usize::try_from(at).unwrap());
        assert_eq!(part, text[start..end], "{range:?}");
    }
    let behind = logs.blobs().get(&name, 1 << 40..u64::MAX).await.unwrap();
    assert!(behind.range().is_empty() && behind.total() > 0);

    let other: BlobName = "artifacts/7/1/0".parse().unwrap();
    let put = logs.blobs().put(&other, &mut &b"content"[..], 7).await;
    assert_eq!(put.unwrap(), 7);
    let error = logs.blobs().put(&other, &mut &b"content"[..], 6).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, BlobError::TooLarge { limit: 6, .. }),
        "{error}"
    );
    let mut cut = (&b"con"[..]).chain(Broken);
    let error = logs.blobs().put(&other, &mut cut, 7).await.unwrap_err();
    assert!(matches!(error, BlobError::Source { .. }), "{error}");
    let mut reader = logs.blobs().get(&other, 0..u64::MAX).await.unwrap();
    let mut read = String::new();
    reader.read_to_string(&mut read).await.unwrap();
    assert_eq!((read.as_str(), reader.total()), ("content", 7));

    for name in [&name, &other] {
        logs.blobs().remove(name).await.unwrap();
        logs.blobs().remove(name).await.unwrap();
        let error = logs.blobs().get(name, 0..u64::MAX).await.unwrap_err();
        assert!(matches!(error, BlobError::NotFound(_)), "{error:?}");
    }
    assert!(server.objects().is_empty(), "{:?}", server.objects());
}

#[cfg(feature = "s3")]
#[tokio::test]
async fn logs_and_artifacts_are_kept_in_a_bucket_of_s3() {
    let server = S3Server::start(Some("secret")).await;
    let settings = server.s3_settings("secret");
    let blobs = ObjectBlobs::open("s3://kept/builds", settings, server.tls());
    keep_and_remove(&server, blobs.unwrap()).await;
}

#[cfg(feature = "gcs")]
#[tokio::test]
async fn logs_and_artifacts_are_kept_in_a_bucket_of_googles() {
    let server = S3Server::start(None).await;
    let blobs = ObjectBlobs::open("gs://kept/builds", server.gcs_settings(), server.tls());
    keep_and_remove(&server, blobs.unwrap()).await;
}

#[cfg(feature = "s3")]
#[tokio::test]
async fn a_bucket_that_refuses_is_said_with_its_reason() {
    let server = S3Server::start(Some("secret")).await;
    let settings = server.s3_settings("wrong");
    let blobs = ObjectBlobs::open("s3://kept", settings, server.tls()).unwrap();
    blobs.check().await.unwrap_err();
    let name: BlobName = "logs/7/1.gz".parse().unwrap();
    let error = blobs.put(&name, &mut &b"x"[..], 1).await.unwrap_err();
    let BlobError::Storage { source, .. } = error else {
        panic!("{error:?}");
    };
    assert!(source.to_string().contains("Signature"), "{source}");
}

/// Cannot be read.
struct Broken;

impl AsyncRead for Broken {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}
