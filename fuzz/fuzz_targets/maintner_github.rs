//! Whatever GitHub answers, rounds end, what they write is read again, and the same answers once more are no news.

#![no_main]

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use libfuzzer_sys::fuzz_target;
use maintner::leader::{Leader, LeaderConfig, Source as _, Wake};
use maintner::reclog::Sync;
use maintner::sync::github::{GithubClient, GithubConfig, GithubSource, Governor};
use rest_transport::{Body, Transport, TransportError, body};

/// Bodies of the list, of parts of issues, and of single issues; the text of a `Link` header.
struct Answers {
    list: Bytes,
    part: Bytes,
    single: Bytes,
    link: Vec<u8>,
}

#[async_trait]
impl Transport for Answers {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let path = request.uri().path();
        let is_list = path.ends_with("/issues");
        let answer = match path.rsplit('/').next() {
            Some("issues") => &self.list,
            Some("comments" | "events" | "reviews" | "labels" | "milestones") => &self.part,
            _ => &self.single,
        };
        // Later than anything, so that everything is complete.
        let mut response = Response::builder().header("date", "Fri, 31 Dec 9999 23:59:59 GMT");
        if is_list && !self.link.is_empty() {
            response = response.header("link", self.link.as_slice());
        }
        response
            .body(body(answer.clone()))
            .map_err(TransportError::broken)
    }
}

fuzz_target!(|pieces: &[u8]| {
    // Bytes that no JSON has are between the answers, so that stored ones can be read.
    let mut pieces = pieces.splitn(4, |byte| *byte == 0);
    let mut next = || pieces.next().unwrap_or_default();
    let (list, part, single, link) = (next(), next(), next(), next());
    let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    let answers = Answers {
        list: copy(list),
        part: copy(part),
        single: copy(single),
        link: link.to_vec(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let config = GithubConfig::default()
            .transport(answers)
            .governor(Governor::new(1_000_000, 1_000_000))
            .attempts(1)
            .pauses(Duration::ZERO, Duration::ZERO);
        let client = GithubClient::new(config).unwrap();
        let mut source = GithubSource::new(client, "o/r".parse().unwrap()).requests_per_round(20);
        let dir = tempfile::tempdir().unwrap();
        let leader = Leader::open(dir.path(), LeaderConfig::default().sync(Sync::Never))
            .await
            .unwrap();
        let mut last = None;
        for _ in 0..3 {
            let Ok(round) = source.round(&leader, Wake::Hint).await else {
                break;
            };
            last = (!round.has_more).then_some(round);
        }
        if let Some(round) = last {
            assert_eq!(round.mutations, 0, "the same answers again are news");
        }
        leader.close().await;
        maintner::Corpus::open(dir.path()).unwrap();
    });
});
