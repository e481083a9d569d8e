use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use gerrit::{Auth, Body, Client, Config, Transport, TransportError};
use http::{HeaderMap, Method, Request, Response};

/// Answers from a list, and remembers what was asked.
#[derive(Clone, Default)]
pub(crate) struct Script {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    answers: VecDeque<Answer>,
    asked: Vec<Asked>,
}

/// What happens to one request.
pub(crate) enum Answer {
    Is(Response<Bytes>),
    /// The head comes, a part of the body, and then the connection breaks.
    Breaks(Bytes),
    Unreachable,
    Lost,
    Never,
    NeverEnds,
}

#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Self::default();
        script.state.lock().unwrap().answers.extend(answers);
        script
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// A client at `https://h` that asks this.
    pub(crate) fn client(&self, auth: Auth) -> Client {
        self.client_with(Config::default().auth(auth))
    }

    pub(crate) fn client_with(&self, config: Config) -> Client {
        Client::new("https://h/", config.transport(self.clone())).unwrap()
    }
}

pub(crate) fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    let response = Response::builder().status(status);
    Answer::Is(response.body(body.into()).unwrap())
}

pub(crate) fn json(body: &str) -> Answer {
    answer(200, format!(")]}}'\n{body}"))
}

pub(crate) fn with(answer: Answer, name: &'static str, value: &str) -> Answer {
    let Answer::Is(mut response) = answer else {
        panic!("only a whole answer has headers");
    };
    response.headers_mut().insert(name, value.parse().unwrap());
    Answer::Is(response)
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let next = {
            let mut state = self.state.lock().unwrap();
            state.asked.push(Asked {
                method: request.method().clone(),
                uri: request.uri().to_string(),
                headers: request.headers().clone(),
                body: request.body().clone(),
            });
            state.answers.pop_front()
        };
        let one = |bytes: Bytes| stream::iter([Ok(bytes)]);
        match next.expect("the script has an answer for each request") {
            Answer::Is(response) => Ok(response.map(|body| {
                // In pieces that no limit of a reader falls upon.
                let pieces: Vec<_> = body.chunks(7).map(Bytes::copy_from_slice).map(Ok).collect();
                Box::pin(stream::iter(pieces)) as Body
            })),
            Answer::Breaks(part) => {
                let broken = stream::iter([Err(TransportError::broken("reset"))]);
                let body = futures_util::StreamExt::chain(one(part), broken);
                Ok(Response::new(Box::pin(body) as Body))
            }
            Answer::Unreachable => Err(TransportError::unsent("refused")),
            Answer::Lost => Err(TransportError::broken("reset")),
            Answer::Never => {
                tokio::time::sleep(Duration::MAX).await;
                Err(TransportError::broken("the end of time"))
            }
            Answer::NeverEnds => {
                let body = futures_util::StreamExt::chain(one(Bytes::from("x")), stream::pending());
                Ok(Response::new(Box::pin(body) as Body))
            }
        }
    }
}
