//! Whether hyper sees the same requests with the adapter below it as without: for the property tests, and for fuzzing.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::io::ServerIo;

/// A peer that sends these pieces, one a read, and keeps what it gets.
struct Script {
    pieces: Vec<Vec<u8>>,
    got: Rc<RefCell<Vec<u8>>>,
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.pieces.last().is_some_and(Vec::is_empty) {
            self.pieces.pop();
        }
        if let Some(piece) = self.pieces.last_mut() {
            let len = piece.len().min(buf.remaining());
            buf.put_slice(&piece[..len]);
            piece.drain(..len);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.got.borrow_mut().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A request as hyper saw it: whether it asked for trailers, and all the rest.
type Seen = (bool, String);

/// What hyper sees of a connection, and answers on it.
fn serve(bytes: &[u8], cuts: &[usize], adapted: bool) -> (Vec<Seen>, Vec<u8>) {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    for &cut in cuts.iter().cycle().take(bytes.len()) {
        let (piece, tail) = rest.split_at(cut.min(rest.len()));
        pieces.push(piece.to_vec());
        rest = tail;
    }
    pieces.push(rest.to_vec());
    pieces.reverse();
    let got = Rc::new(RefCell::new(Vec::new()));
    let script = Script {
        pieces,
        got: got.clone(),
    };
    let seen = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let seen = seen.clone();
        async move {
            let (mut head, body) = request.into_parts();
            let asked = head.headers.remove("te");
            let trailers = asked.is_some_and(|value| value == "trailers");
            // The adapter may have added to these.
            head.headers.remove("upgrade");
            head.headers.remove("connection");
            head.extensions.clear();
            let mut text = format!("{head:?} ");
            match body.collect().await {
                Ok(body) => {
                    text += &format!("{:?} ", body.trailers());
                    text += &format!("{:?}", body.to_bytes());
                }
                Err(_) => text += "cut",
            }
            seen.borrow_mut().push((trailers, text));
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let mut builder = http1::Builder::new();
    // What the peer sends ends before it is answered.
    builder.auto_date_header(false).half_close(true);
    // How the connection ends shows in what was answered.
    let _ = runtime.block_on(async {
        if adapted {
            let limit = Duration::from_secs(1);
            let io = TokioIo::new(ServerIo::new(script, limit, limit));
            builder.serve_connection(io, service).await
        } else {
            builder
                .serve_connection(TokioIo::new(script), service)
                .await
        }
    });
    let got = got.borrow().clone();
    (seen.take(), got)
}

/// Panics unless hyper sees the same requests of `bytes`, cut like this, with and without the adapter; returns whether each asks for
/// trailers, with the adapter and without.
///
/// # Panics
///
/// If it does not.
#[must_use]
pub fn assert_same(bytes: &[u8], cuts: &[usize]) -> (Vec<bool>, Vec<bool>) {
    let (plain, plain_answers) = serve(bytes, cuts, false);
    let (adapted, answers) = serve(bytes, cuts, true);
    let split = |seen: Vec<Seen>| -> (Vec<bool>, Vec<String>) { seen.into_iter().unzip() };
    let ((plain, mut plain_texts), (adapted, texts)) = (split(plain), split(adapted));
    // A head that is malformed and has no end is refused or not depending on how it is cut, with or without the adapter.
    let answered = |answers: &[u8]| {
        let text = String::from_utf8_lossy(answers).into_owned();
        let refused = ["HTTP/1.0 4", "HTTP/1.1 4"].map(|line| text.find(line));
        let refused = refused.into_iter().flatten().min();
        text[..refused.unwrap_or(text.len())].to_owned()
    };
    if answers.windows(12).any(|window| window == b"HTTP/1.1 431") {
        // With what was added, a head had too many headers. The others are the same.
        plain_texts.truncate(texts.len());
    } else {
        assert_eq!(answered(&plain_answers), answered(&answers));
    }
    assert_eq!(plain_texts, texts);
    (plain, adapted)
}
