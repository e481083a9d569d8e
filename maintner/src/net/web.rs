use std::collections::hash_map::RandomState;
use std::error::Error;
use std::hash::BuildHasher as _;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::header::{ACCEPT_ENCODING, CONTENT_RANGE, RANGE};
use ureq::http::{Response, StatusCode};
use ureq::tls::{TlsConfig, TlsProvider};
use ureq::{Agent, Body};
use url::Url;

use crate::net::{FetchError, NetConfig};

/// Longest list of segments; that of 100,000 has about 20 MiB.
const MAX_LIST: u64 = 32 << 20;
/// How long a server may wait with its answer to a long poll, beyond what others may take. Upstream's waits 55 s.
const POLL: Duration = Duration::from_secs(60);
/// What an answer may take besides its size at [`SLOWEST`].
const BODY: Duration = Duration::from_secs(60);
/// Bytes a second.
const SLOWEST: u64 = 16 << 10;
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// An HTTP client that honours `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, believes the system's authorities or those it is given, and
/// never follows from https to http.
#[derive(Debug)]
pub(super) struct Web {
    agent: Agent,
    tries: u32,
    pause: Duration,
    idle: Duration,
}

/// Why one try failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may pass.
    Passing(Box<dyn Error + Send + Sync>),
    /// The server has a fault, which may pass.
    Status(u16),
    /// Other bytes came than were listed.
    Corrupt,
    Final(FetchError),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Final(error)
    }
}

/// A part of a segment, from `start` to its end.
pub(super) struct Part {
    pub(super) start: u64,
    pub(super) body: Body,
}

impl Web {
    pub(super) fn new(config: &NetConfig, server: &Url) -> Self {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(config.roots.clone())
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .https_only(server.scheme() == "https")
            .max_redirects(5)
            .user_agent(concat!("maintner/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(config.idle))
            .timeout_connect(Some(config.idle))
            .timeout_send_request(Some(config.idle))
            .build();
        Self {
            agent: agent.into(),
            tries: config.tries,
            pause: config.pause,
            idle: config.idle,
        }
    }

    /// Tries until it succeeds, fails for good, or has been tried often enough.
    pub(super) fn retry<T>(
        &self,
        url: &Url,
        mut attempt: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, FetchError> {
        let mut tried = 1;
        loop {
            let failure = match attempt() {
                Ok(done) => return Ok(done),
                Err(Failure::Final(error)) => return Err(error),
                Err(failure) => failure,
            };
            if tried >= self.tries {
                let url = url.to_string();
                return Err(match failure {
                    Failure::Passing(source) => FetchError::Unreachable { url, source },
                    Failure::Status(status) => FetchError::Status { url, status },
                    Failure::Corrupt => FetchError::Corrupt { url },
                    Failure::Final(error) => error,
                });
            }
            std::thread::sleep(jittered(self.pause.saturating_mul(tried * tried)));
            tried += 1;
        }
    }

    /// The list of segments. With `unless`, the server may wait with it as long as the log has so many bytes: then `None` is the answer
    /// of one that waited long enough, or when `deadline` came.
    pub(super) fn list(
        &self,
        server: &Url,
        unless: Option<(u64, Instant)>,
    ) -> Result<Option<Vec<u8>>, FetchError> {
        let mut url = server.clone();
        let mut answer_within = self.idle;
        if let Some((size, _)) = unless {
            url.query_pairs_mut()
                .append_pair("waitsizenot", &size.to_string());
            answer_within += POLL;
        }
        self.retry(server, || {
            let mut limit = answer_within;
            let mut is_cut = false;
            if let Some((_, deadline)) = unless {
                let left = deadline.saturating_duration_since(Instant::now());
                is_cut = left < limit;
                limit = limit.min(left.max(Duration::from_millis(1)));
            }
            let request = self
                .agent
                .get(url.as_str())
                .config()
                .timeout_recv_response(Some(limit))
                .timeout_recv_body(Some(BODY))
                .build();
            let mut answer = match request.call() {
                Ok(answer) => answer,
                Err(ureq::Error::Timeout(_)) if is_cut => return Ok(None),
                Err(error) => return Err(failure(&url, error)),
            };
            match answer.status() {
                StatusCode::OK => {}
                StatusCode::NOT_MODIFIED if unless.is_some() => return Ok(None),
                status => return Err(bad_status(&url, status)),
            }
            let mut body = Vec::new();
            let mut reader = answer.body_mut().as_reader().take(MAX_LIST + 1);
            reader.read_to_end(&mut body).map_err(cut_off)?;
            if body.len() as u64 > MAX_LIST {
                return Err(Failure::Final(FetchError::TooLarge {
                    what: server.to_string(),
                    max: MAX_LIST,
                }));
            }
            Ok(Some(body))
        })
    }

    /// Asks once for a segment's bytes from `from` to `size`. The answer may be the whole segment, and have more than those bytes, or less.
    pub(super) fn segment(&self, url: &Url, from: u64, size: u64) -> Result<Part, Failure> {
        let within = BODY + Duration::from_secs((size - from) / SLOWEST);
        let mut request = self.agent.get(url.as_str());
        if from > 0 {
            // What a part of something compressed is, nobody agrees on.
            request = request
                .header(RANGE, format!("bytes={from}-{}", size - 1))
                .header(ACCEPT_ENCODING, "identity");
        }
        let answer = request
            .config()
            .timeout_recv_response(Some(self.idle))
            .timeout_per_read(Some(self.idle))
            .timeout_recv_body(Some(within))
            .build()
            .call()
            .map_err(|error| failure(url, error))?;
        match answer.status() {
            StatusCode::OK => Ok(Part {
                start: 0,
                body: answer.into_body(),
            }),
            StatusCode::PARTIAL_CONTENT if from > 0 && begins_at(&answer, from) => Ok(Part {
                start: from,
                body: answer.into_body(),
            }),
            StatusCode::PARTIAL_CONTENT => Err(Failure::Passing(
                "the answer is another part of the segment".into(),
            )),
            status => Err(bad_status(url, status)),
        }
    }
}

/// A read of a body failed.
pub(super) fn cut_off(error: io::Error) -> Failure {
    Failure::Passing(Box::new(error))
}

/// Whether the part of something that an answer is begins at this byte.
fn begins_at(answer: &Response<Body>, from: u64) -> bool {
    answer
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|range| range.to_str().ok())
        .and_then(|range| range.strip_prefix("bytes "))
        .and_then(|range| range.split_once('-'))
        .is_some_and(|(first, _)| first.trim().parse() == Ok(from))
}

fn bad_status(url: &Url, status: StatusCode) -> Failure {
    match status.as_u16() {
        429 | 500.. => Failure::Status(status.as_u16()),
        status => Failure::Final(FetchError::Status {
            url: url.to_string(),
            status,
        }),
    }
}

fn failure(url: &Url, error: ureq::Error) -> Failure {
    use ureq::Error::{
        BodyStalled, ConnectProxyFailed, ConnectionFailed, Decompress, HostNotFound, Io, Protocol,
        Timeout,
    };
    match error {
        Io(_)
        | Timeout(_)
        | HostNotFound
        | ConnectionFailed
        | Protocol(_)
        | Decompress(..)
        | ConnectProxyFailed(_)
        | BodyStalled => Failure::Passing(Box::new(error)),
        error => Failure::Final(FetchError::Unreachable {
            url: url.to_string(),
            source: Box::new(error),
        }),
    }
}

/// Between a half and one and a half of it, by chance.
fn jittered(pause: Duration) -> Duration {
    // Seeded by the system, for each value anew.
    let chance = RandomState::new().hash_one(()) as u32;
    let pause = pause.min(LONGEST_PAUSE);
    pause / 2 + pause.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_by_chance_and_end() {
        let pauses: Vec<_> = (0..100).map(|_| jittered(Duration::from_secs(4))).collect();
        assert!(pauses.iter().all(|p| (2..=6).contains(&p.as_secs())));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        assert!(jittered(Duration::from_secs(10_000)) <= LONGEST_PAUSE * 3 / 2);
    }
}
