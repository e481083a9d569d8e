//! A server of logs that does as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use maintner::net::{Follower, NetConfig};
use maintner::{Config, Corpus};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha224};

/// How a request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Status(u16),
    /// The connection ends.
    Reset,
    /// These bytes, as they are.
    Raw(Vec<u8>),
    /// This body in place of the right one.
    Body(Vec<u8>),
    /// As it should be, but with the last bit of the body flipped.
    Corrupt,
    /// As it should be, but the last byte of the body is missing.
    Short,
    /// The whole segment, whatever part was asked for.
    Full,
    /// Not before the connection ends.
    Stall,
    /// The head and the first byte, and then nothing.
    StallInBody,
}

#[derive(Debug, Default)]
pub(crate) struct Script {
    /// The list of segments; addresses are paths.
    pub(crate) index: Vec<Value>,
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    /// What comes before the right answers, by path.
    pub(crate) replies: BTreeMap<String, VecDeque<Reply>>,
    /// Path, query and range of each request.
    pub(crate) requests: Vec<String>,
}

/// Serves until it is dropped.
pub(crate) struct FakeServer {
    address: SocketAddr,
    pub(crate) script: Arc<Mutex<Script>>,
}

impl FakeServer {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = Arc::downgrade(&script);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Some(script) = shared.upgrade() else {
                    return;
                };
                thread::spawn(move || answer(&stream.unwrap(), &script));
            }
        });
        Self { address, script }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/logs", self.address)
    }

    /// Serves these segments from now on.
    pub(crate) fn set(&self, segments: &[&[u8]]) {
        let mut script = self.script.lock().unwrap();
        script.index.clear();
        for (number, segment) in segments.iter().enumerate() {
            let path = format!("/logs/{number}");
            script.index.push(entry(number, segment, &path));
            script.blobs.insert(path, segment.to_vec());
        }
    }

    /// The next requests of a path are answered so.
    pub(crate) fn reply(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        let mut script = self.script.lock().unwrap();
        script
            .replies
            .entry(path.to_owned())
            .or_default()
            .extend(replies);
    }

    /// The requests since this was called last.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.script.lock().unwrap().requests)
    }

    pub(crate) fn config(&self, cache: &Path) -> NetConfig {
        NetConfig::new(self.url(), cache)
            .tries(3)
            .pause(Duration::from_millis(1))
    }

    pub(crate) fn corpus(&self, cache: &Path) -> Corpus {
        let log = Follower::open(self.config(cache)).unwrap();
        Corpus::follow(log, Config::default())
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.script = Arc::default();
        // Wakes the thread, which sees that nobody is there.
        drop(TcpStream::connect(self.address));
    }
}

/// A segment in the list.
pub(crate) fn entry(number: usize, segment: &[u8], url: &str) -> Value {
    json!({"number": number, "size": segment.len(), "sha224": sum(segment), "url": url})
}

pub(crate) fn sum(bytes: &[u8]) -> String {
    let sum: [u8; 28] = Sha224::digest(bytes).into();
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn answer(stream: &TcpStream, script: &Mutex<Script>) {
    let mut lines = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let target = head.split(' ').nth(1).unwrap().to_owned();
    let path = target.split('?').next().unwrap().to_owned();
    let range = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("range: bytes=")
            .map(str::to_owned)
    });
    let (reply, body) = {
        let mut script = script.lock().unwrap();
        let range = range
            .as_ref()
            .map_or(String::new(), |range| format!(" {range}"));
        script.requests.push(format!("{target}{range}"));
        let reply = script.replies.get_mut(&path).and_then(VecDeque::pop_front);
        let body = if path == "/logs" {
            Some(serde_json::to_vec(&script.index).unwrap())
        } else {
            script.blobs.get(&path).cloned()
        };
        (reply, body)
    };
    // Whoever asked may have gone.
    let _ = write_answer(stream, reply, body, range.as_deref());
}

fn write_answer(
    mut stream: &TcpStream,
    reply: Option<Reply>,
    body: Option<Vec<u8>>,
    range: Option<&str>,
) -> std::io::Result<()> {
    let mut status = if body.is_some() { 200 } else { 404 };
    let mut body = body.unwrap_or_default();
    let mut headers = String::new();
    if let Some((first, last)) = range.and_then(|range| range.split_once('-'))
        && reply != Some(Reply::Full)
        && status == 200
    {
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        headers = format!("Content-Range: bytes {first}-{last}/{}\r\n", body.len());
        let last = last.min(body.len().saturating_sub(1));
        status = if first <= last { 206 } else { 416 };
        body = body.get(first..=last).unwrap_or_default().to_vec();
    }
    match reply {
        None | Some(Reply::Full) => {}
        Some(Reply::Status(other)) => {
            status = other;
            body.clear();
        }
        Some(Reply::Reset) => return Ok(()),
        Some(Reply::Raw(bytes)) => return stream.write_all(&bytes),
        Some(Reply::Body(other)) => body = other,
        Some(Reply::Corrupt) => *body.last_mut().unwrap() ^= 1,
        Some(Reply::Short) => drop(body.pop()),
        Some(Reply::Stall) => return until_closed(stream),
        Some(Reply::StallInBody) => {
            let len = body.len();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n")?;
            stream.write_all(&body[..1])?;
            return until_closed(stream);
        }
    }
    let len = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\n{headers}Content-Length: {len}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&body)
}

fn until_closed(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.read_to_end(&mut Vec::new()).map(drop)
}
