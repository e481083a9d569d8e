//! The crate `buckets`: both kinds of address, and buckets that refuse, are silent, or are told half of something.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use buckets::{Bucket, BucketError, OpenBucketError};
use s3_peer::{S3Server, owned, trusting_nobody};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

fn open_s3(server: &S3Server, secret: &str) -> Bucket {
    let settings = server.s3_settings(secret);
    Bucket::open("s3://kept/builds", settings, server.tls()).unwrap()
}

/// Puts a short and a long object, reads parts of them, lists and removes them.
async fn keep_and_remove(server: &S3Server, bucket: Bucket) {
    bucket.check().await.unwrap();
    assert!(server.objects().is_empty(), "{:?}", server.objects());
    let short: Vec<u8> = (0..60_000_u32).flat_map(u32::to_le_bytes).collect();
    // Longer than one request.
    let long: Vec<u8> = (0..4_300_000_u32).flat_map(u32::to_le_bytes).collect();
    for (name, content) in [("logs/7/1.gz", &short), ("artifacts/7/1/0", &long)] {
        let length = content.len() as u64;
        let put = bucket.put(name, &mut &content[..], length).await;
        assert_eq!(put.unwrap(), length);
        for range in [
            0..u64::MAX,
            0..10,
            99_990..200_000,
            length - 10..length + 10,
        ] {
            let mut object = bucket.get(name, range.clone()).await.unwrap();
            assert_eq!(object.total(), length);
            let mut part = Vec::new();
            object.read_to_end(&mut part).await.unwrap();
            let [start, end] =
                [range.start, range.end.min(length)].map(|at| usize::try_from(at).unwrap());
            assert!(part == content[start..end], "{name} {range:?}");
        }
        let behind = bucket.get(name, 1 << 40..u64::MAX).await.unwrap();
        assert!(behind.range().is_empty() && behind.total() == length);
    }
    let mut listed = bucket.list(10).await.unwrap();
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    let sizes: Vec<_> = (listed.iter())
        .map(|object| (object.name.as_str(), object.size))
        .collect();
    let [short, long] = [short.len() as u64, long.len() as u64];
    assert_eq!(sizes, [("artifacts/7/1/0", long), ("logs/7/1.gz", short)]);
    let error = bucket.list(1).await.unwrap_err();
    assert!(matches!(error, BucketError::TooMany { .. }), "{error:?}");
    for object in listed {
        bucket.remove(&object.name).await.unwrap();
        bucket.remove(&object.name).await.unwrap();
        let error = bucket.get(&object.name, 0..u64::MAX).await.unwrap_err();
        assert!(matches!(error, BucketError::NotFound { .. }), "{error:?}");
    }
    assert!(server.objects().is_empty(), "{:?}", server.objects());
}

#[tokio::test]
async fn objects_are_kept_in_a_bucket_of_s3() {
    let server = S3Server::start(Some("secret")).await;
    keep_and_remove(&server, open_s3(&server, "secret")).await;
}

#[tokio::test]
async fn objects_are_kept_in_a_bucket_of_googles() {
    let server = S3Server::start(None).await;
    let bucket = Bucket::open("gs://kept/builds", server.gcs_settings(), server.tls());
    keep_and_remove(&server, bucket.unwrap()).await;
}

#[tokio::test]
async fn a_bucket_that_refuses_is_known_at_the_start() {
    let server = S3Server::start(Some("secret")).await;
    let unsigned = |endpoint| {
        let settings = owned(&[("AWS_ENDPOINT", endpoint), ("AWS_SKIP_SIGNATURE", "true")]);
        Bucket::open("s3://kept", settings, trusting_nobody()).unwrap()
    };
    for (what, bucket) in [
        ("the secret is wrong", open_s3(&server, "wrong")),
        ("its certificate is nobody's", unsigned(server.address())),
        (
            "plain HTTP was not asked for",
            unsigned("http://127.0.0.1:9"),
        ),
    ] {
        let error = bucket.check().await.expect_err(what);
        assert!(matches!(error, OpenBucketError::Refused(_)), "{error}");
    }
    assert!(server.objects().is_empty(), "{:?}", server.objects());
}

/// Fails after a part has been sent.
struct Failing {
    left: usize,
}

impl AsyncRead for Failing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let piece = buf.remaining().min(self.left);
        buf.initialize_unfilled_to(piece).fill(b'x');
        buf.advance(piece);
        self.left -= piece;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn what_cannot_be_read_to_its_end_leaves_nothing_in_the_bucket() {
    let server = S3Server::start(Some("secret")).await;
    let bucket = open_s3(&server, "secret");
    for left in [100, 9 << 20] {
        let mut source = Failing { left };
        let error = bucket.put("artifacts/7/1/0", &mut source, u64::MAX).await;
        let error = error.unwrap_err();
        assert!(matches!(error, BucketError::Unreadable { .. }), "{error:?}");
        assert!(server.objects().is_empty(), "{:?}", server.objects());
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_silent_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let _silent = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            open.push(listener.accept().await.unwrap());
        }
    }));
    let settings = owned(&[
        ("AWS_ENDPOINT", &address),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_SKIP_SIGNATURE", "true"),
    ]);
    let bucket = Bucket::open("s3://kept", settings, trusting_nobody()).unwrap();
    let error = bucket.check().await.unwrap_err();
    assert!(matches!(error, OpenBucketError::Refused(_)), "{error}");
    let an_hour = Duration::from_secs(3600);
    let mut source = &b"text"[..];
    let put = bucket.put("logs/7/1.gz", &mut source, 100);
    let error = tokio::time::timeout(an_hour, put).await.expect("an end");
    let error = error.unwrap_err();
    assert!(matches!(error, BucketError::Failed { .. }), "{error:?}");
    let listed = tokio::time::timeout(an_hour, bucket.list(10)).await;
    let error = listed.expect("an end").unwrap_err();
    assert!(matches!(error, BucketError::Failed { .. }), "{error:?}");
}

#[test]
fn addresses_that_are_no_buckets_are_refused() {
    for address in [
        "",
        "bucket",
        "s3://",
        "s3:///x",
        "gs:///x",
        "file:///tmp",
        "ext::x://y",
    ] {
        let error = Bucket::open(address, [], trusting_nobody()).unwrap_err();
        assert!(matches!(error, OpenBucketError::Address(..)), "{error}");
    }
}
