//! A server of files. What it does next is told to it request by request.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What takes longer hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Answers to GET requests, from a list; HEAD requests, which are probes, always get 404.
pub(crate) struct Server {
    address: SocketAddr,
    secure: bool,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    script: VecDeque<Reply>,
    requests: Vec<Request>,
    probes: usize,
}

/// A GET request: its target and its header lines in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) target: String,
    pub(crate) headers: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// These bytes, and then the connection is closed.
    Raw(Vec<u8>),
    /// These bytes, and then nothing more, with the connection open.
    Hang(Vec<u8>),
}

/// A complete answer.
pub(crate) fn ok(headers: &str, body: &[u8]) -> Reply {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{headers}Connection: close\r\n\r\n",
        body.len()
    );
    Reply::Raw([head.as_bytes(), body].concat())
}

/// An answer without a body.
pub(crate) fn status(line: &str) -> Reply {
    Reply::Raw(
        format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes(),
    )
}

impl Server {
    /// Serves `script` in order; when it is at its end, the last answer again.
    pub(crate) fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        Self::start_with(None, script)
    }

    /// The same over TLS.
    pub(crate) fn start_tls(
        authority: &Authority,
        script: impl IntoIterator<Item = Reply>,
    ) -> Self {
        Self::start_with(Some(&authority.server_config()), script)
    }

    fn start_with(
        tls: Option<&Arc<ServerConfig>>,
        script: impl IntoIterator<Item = Reply>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        state.lock().script = script.into_iter().collect();
        let (serving, server_tls) = (Arc::clone(&state), tls.cloned());
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (state, stream, tls) =
                    (Arc::clone(&serving), stream.unwrap(), server_tls.clone());
                thread::spawn(move || match tls {
                    Some(tls) => state.serve(StreamOwned::new(
                        ServerConnection::new(tls).unwrap(),
                        stream,
                    )),
                    None => state.serve(stream),
                });
            }
        });
        Self {
            address,
            secure: tls.is_some(),
            state,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!(
            "{}://{}{path}",
            if self.secure { "https" } else { "http" },
            self.address
        )
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().requests.clone()
    }

    pub(crate) fn probes(&self) -> usize {
        self.state.lock().probes
    }

    /// Waits until there were `count` GET requests.
    pub(crate) fn wait_for(&self, count: usize) {
        let lacks = |inner: &mut Inner| inner.requests.len() < count;
        let (inner, waited) = self
            .state
            .changed
            .wait_timeout_while(self.state.lock(), LIMIT, lacks)
            .unwrap();
        assert!(!waited.timed_out(), "{:?}", inner.requests);
    }

    /// What comes next, instead of what was to come.
    pub(crate) fn then(&self, script: impl IntoIterator<Item = Reply>) {
        self.state.lock().script = script.into_iter().collect();
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn serve(&self, mut stream: impl Read + Write) {
        let mut lines = BufReader::new(&mut stream).lines().map_while(Result::ok);
        let Some(first) = lines.next() else { return };
        let headers: Vec<String> = lines
            .take_while(|line| !line.is_empty())
            .map(|line| line.to_lowercase())
            .collect();
        let mut words = first.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap().to_owned());
        if method == "HEAD" {
            self.lock().probes += 1;
            let _ = stream.write_all(
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
            return;
        }
        let reply = {
            let mut inner = self.lock();
            inner.requests.push(Request { target, headers });
            self.changed.notify_all();
            match inner.script.len() {
                0 => Reply::Raw(Vec::new()),
                1 => inner.script[0].clone(),
                _ => inner.script.pop_front().unwrap(),
            }
        };
        // The peer may hang up in the middle.
        match reply {
            Reply::Raw(bytes) => {
                let _ = stream.write_all(&bytes);
            }
            Reply::Hang(bytes) => {
                let _ = stream.write_all(&bytes);
                let _ = stream.read(&mut [0]);
            }
        }
    }
}

/// Certifies this machine's own address.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    fn server_config(&self) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Arc::new(
            config
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap(),
        )
    }
}
