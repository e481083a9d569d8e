//! A buildlet that answers as it is told to.

use std::io;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use buildlet_proto::client::{BoxIo, Config, Connector, HttpClient};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinSet;

/// What becomes of a connection after a reply.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next request is awaited.
    Stay,
    /// It is closed.
    Close,
    /// Nothing more comes, and it stays open.
    Hang,
}

type Answer = Box<dyn FnMut(&str) -> (Vec<u8>, Then) + Send>;

/// Connections in memory to a made-up buildlet.
#[derive(Clone)]
pub(crate) struct Script(Arc<Mutex<State>>);

struct State {
    answer: Answer,
    requests: Vec<String>,
    connections: usize,
    /// Connections that the client has closed.
    closed: usize,
    tasks: JoinSet<()>,
    refuse: bool,
}

impl Script {
    /// Answers each request, head and body, with what `answer` gives.
    pub(crate) fn new(answer: impl FnMut(&str) -> (Vec<u8>, Then) + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(State {
            answer: Box::new(answer),
            requests: Vec::new(),
            connections: 0,
            closed: 0,
            tasks: JoinSet::new(),
            refuse: false,
        })))
    }

    /// Answers every request so.
    pub(crate) fn always(reply: impl Into<Vec<u8>>, then: Then) -> Self {
        let reply = reply.into();
        Self::new(move |_| (reply.clone(), then))
    }

    pub(crate) fn client(&self, config: Config) -> HttpClient {
        HttpClient::new(self.clone(), "HOST:PORT", config).unwrap()
    }

    /// A client without heartbeat.
    pub(crate) fn quiet_client(&self) -> HttpClient {
        self.client(Config::default().heartbeat_interval(None))
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap().requests.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.0.lock().unwrap().connections
    }

    pub(crate) fn closed(&self) -> usize {
        self.0.lock().unwrap().closed
    }

    /// From now on no connection can be made.
    pub(crate) fn refuse(&self) {
        self.0.lock().unwrap().refuse = true;
    }

    async fn serve(self, mut io: DuplexStream) {
        while let Some(request) = read_request(&mut io).await {
            let (reply, then) = {
                let mut state = self.0.lock().unwrap();
                let answer = (state.answer)(&request);
                state.requests.push(request);
                answer
            };
            if io.write_all(&reply).await.is_err() {
                break;
            }
            match then {
                Then::Stay => {}
                Then::Close => return,
                Then::Hang => {
                    let _ = io.read(&mut [0; 1]).await; // until the client closes it
                    break;
                }
            }
        }
        self.0.lock().unwrap().closed += 1;
    }
}

#[async_trait]
impl Connector for Script {
    async fn connect(&self) -> io::Result<BoxIo> {
        let mut state = self.0.lock().unwrap();
        if state.refuse {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        state.connections += 1;
        state.tasks.spawn(self.clone().serve(theirs));
        Ok(Box::new(ours))
    }
}

/// A whole request, with its body as it came; `None` at the end of the connection.
async fn read_request(io: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = find(&read, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
            let body = &read[end + 4..];
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let complete = match length {
                Some(length) => body.len() >= length.parse().unwrap(),
                None if head.contains("transfer-encoding: chunked") => body.ends_with(b"0\r\n\r\n"),
                None => true,
            };
            if complete {
                return Some(String::from_utf8_lossy(&read).into_owned());
            }
        }
        if io.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// A reply with a body of known length.
pub(crate) fn reply(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What a command answers that writes `output`.
pub(crate) fn exec_reply(output: &str, state: &str) -> Vec<u8> {
    let chunk = match output {
        "" => String::new(),
        output => format!("{:x}\r\n{output}\r\n", output.len()),
    };
    format!(
        "HTTP/1.1 200 OK\r\nTrailer: Process-State\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\nProcess-State: {state}\r\n\r\n"
    )
    .into_bytes()
}
