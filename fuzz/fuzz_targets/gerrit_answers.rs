//! Any bytes as what a Gerrit answers: calls end, and what was understood is written and read again alike. The same bytes as what a bot asks
//! the fake one, which answers too.

#![no_main]

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use gerrit::test_support::{FakeGerrit, Push};
use gerrit::types::{ChangeInfo, CommentInfo, DiffInfo, ProjectInfo, ReviewResult};
use gerrit::{Client, Config, Error, FilePath, Query, RevisionId};
use http::{Method, Request, Response};
use libfuzzer_sys::fuzz_target;
use rest_transport::{Body, Transport, TransportError, body};
use serde::{Serialize, de::DeserializeOwned};

struct Answers(Bytes);

#[async_trait]
impl Transport for Answers {
    async fn send(&self, _: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let response = Response::builder().header("x-gerrit-updatedref", &*self.0);
        let response = response.body(body(self.0.clone()));
        Ok(response.unwrap_or_else(|_| Response::new(body(self.0.clone()))))
    }
}

fn again<T: Serialize + DeserializeOwned + PartialEq + Debug>(read: &T) {
    let written = serde_json::to_string(read).unwrap();
    assert_eq!(
        serde_json::from_str::<T>(&written).unwrap(),
        *read,
        "{written}"
    );
}

async fn read(client: &Client) -> Result<(), Error> {
    let call = || client.call(Method::GET, "/x");
    if let Ok((change, refs)) = call().fetch_with_refs::<ChangeInfo>().await {
        again(&change);
        assert!(
            refs.iter()
                .all(|one| one.old.as_ref().is_none_or(|hash| hash.len() >= 40))
        );
    }
    if let Ok(comment) = call().fetch::<CommentInfo>().await {
        again(&comment);
    }
    if let Ok(diff) = call().fetch::<DiffInfo>().await {
        again(&diff);
    }
    if let Ok(project) = call().fetch::<ProjectInfo>().await {
        again(&project);
    }
    if let Ok(result) = call().fetch::<ReviewResult>().await {
        again(&result);
    }
    // A list that says for ever that there is more has a limit.
    let search = client.changes(Query::raw("x")).cap(100);
    let _ = search.all().await;
    let file = FilePath::new("x").expect("a path");
    let revision = client.change(1).revision(RevisionId::current());
    let content = revision.file_content(&file).await?;
    let _ = content.try_collect::<Vec<_>>().await;
    Ok(())
}

/// A method, a line with the address, and the body.
async fn ask(fake: &FakeGerrit, bytes: &[u8]) {
    let methods = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
    let method = methods[usize::from(bytes.first().copied().unwrap_or_default()) % 4].clone();
    let mut parts = bytes
        .get(1..)
        .unwrap_or_default()
        .splitn(2, |byte| *byte == b'\n');
    let (path, body) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    // As `admin` with the password `secret`.
    let request = Request::builder()
        .method(method)
        .uri([b"http://gerrit.test/a/", path].concat())
        .header("authorization", "Basic YWRtaW46c2VjcmV0");
    let Ok(request) = request.body(Bytes::copy_from_slice(body)) else {
        return;
    };
    let answer = fake.send(request).await.expect("it always answers");
    assert!(
        answer.status() != 500,
        "{answer:?}",
        answer = answer.status()
    );
}

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let answers = Answers(Bytes::copy_from_slice(bytes));
        let config = Config::default()
            .transport(answers)
            .attempts(1)
            .max_answer(1 << 16);
        let _ = read(&Client::new("http://h", config).expect("an address")).await;
        let fake = FakeGerrit::new();
        fake.add_project("p").expect("there was none");
        fake.push(&Push::new("p", "subject"))
            .expect("there is the project");
        ask(&fake, bytes).await;
    });
});
