use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use rest_transport::{ReadError, Transport, TransportError, read_body};
use tokio::time::timeout;

use crate::event::{DecodeEventError, Event};
use crate::time::Time;

/// How long an answer may take, as for Go's clients.
const LIMIT: Duration = Duration::from_secs(300);
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Waits for the events of a pubsubhelper, Go's or ours.
///
/// ```no_run
/// # async fn follow() -> Result<(), Box<dyn std::error::Error>> {
/// use pubsubhelper::Client;
/// use rest_transport::HyperTransport;
///
/// let mut events = Client::new("https://pubsubhelper.golang.org", HyperTransport::new()?)?;
/// loop {
///     let event = events.next().await?;
///     if let Some(topic) = event.topic() {
///         println!("something happened in {topic}");
///     }
/// }
/// # }
/// ```
pub struct Client {
    transport: Arc<dyn Transport>,
    base: String,
    after: Option<Time>,
}

/// Why there was no event. The next call asks for the same one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum ClientError {
    /// The address is none.
    #[error("{url:?} is not the address of a pubsubhelper, like https://pubsub.example.org")]
    Url { url: String },
    /// The server could not be reached, or its answer broke off.
    #[error("cannot ask {url}")]
    Transport { url: String, source: TransportError },
    /// The answer did not come in time.
    #[error("{url} did not answer in 5 minutes")]
    TimedOut { url: String },
    /// The server refused.
    #[error("{url} answered {status}")]
    Status { url: String, status: StatusCode },
    /// The answer is too long, or broke off.
    #[error("the answer of {url} cannot be read")]
    Read { url: String, source: ReadError },
    /// The answer is no event.
    #[error("the answer of {url} is no event")]
    Decode {
        url: String,
        source: DecodeEventError,
    },
}

impl Client {
    /// Asks at an address for what happens from the first call of [`next`](Self::next) on.
    ///
    /// # Errors
    ///
    /// When the address is none.
    pub fn new(url: &str, transport: impl Transport + 'static) -> Result<Self, ClientError> {
        let base = url.trim_end_matches('/');
        let wrong = || ClientError::Url {
            url: url.to_owned(),
        };
        let uri: Uri = base.parse().map_err(|_| wrong())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || base.contains(['?', '#', '@']) {
            return Err(wrong());
        }
        Ok(Self {
            transport: Arc::new(transport),
            base: base.to_owned(),
            after: None,
        })
    }

    /// Asks for what happened after a time, as far as the server has kept it.
    #[must_use]
    pub fn after(mut self, time: Time) -> Self {
        self.after = Some(time);
        self
    }

    /// The next event. It asks again as long as nothing happens.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped at any time; the next call asks for the same event.
    ///
    /// # Errors
    ///
    /// [`ClientError`]. Wait before asking again.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            let event = self.ask().await?;
            if event.time.is_some() {
                self.after = event.time;
            }
            if !event.long_poll_timeout {
                return Ok(event);
            }
        }
    }

    async fn ask(&self) -> Result<Event, ClientError> {
        let after = self.after.map_or_else(String::new, |time| time.to_string());
        // Of a time only a plus would have to be escaped, and it is in UTC.
        let url = format!("{}/waitevent?after={after}", self.base);
        let request = Request::get(&url).body(Bytes::new());
        let request = request.map_err(|_| ClientError::Url { url: url.clone() })?;
        let asking = async {
            let sent = self.transport.send(request).await;
            let response = sent.map_err(|source| ClientError::Transport {
                url: url.clone(),
                source,
            })?;
            let status = response.status();
            if status != StatusCode::OK {
                let url = url.clone();
                return Err(ClientError::Status { url, status });
            }
            let read = read_body(response, MAX_ANSWER).await;
            read.map_err(|source| ClientError::Read {
                url: url.clone(),
                source,
            })
        };
        let answer = timeout(LIMIT, asking).await;
        let answer = answer.map_err(|_| ClientError::TimedOut { url: url.clone() })??;
        Event::from_json(&answer).map_err(|source| ClientError::Decode {
            url: url.clone(),
            source,
        })
    }
}

impl Debug for Client {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.base)
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}
