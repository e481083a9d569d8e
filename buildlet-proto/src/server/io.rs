use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::head::Framing;

/// How long, and for how many bytes, a connection is still read that is closed in the middle of a request.
///
/// A client that is refused early writes on. Closing at once would make its system throw away the refusal that it has not
/// read yet.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: u64 = 1 << 30;

/// What hyper reads from and writes to: the connection, with headers added to the requests (see [`Framing`]), and with limits
/// for peers that stall.
pub(super) struct ServerIo<T> {
    io: T,
    framing: Framing,
    /// What hyper shall read next.
    ready: BytesMut,
    ended: bool,
    head_limit: Deadline,
    write_limit: Deadline,
    linger: Deadline,
    lingered: u64,
    closed: bool,
}

impl<T> ServerIo<T> {
    /// `head` is the time from the first byte of a request's head to its last, `write` how long a write may wait for the peer.
    pub(super) fn new(io: T, head: Duration, write: Duration) -> Self {
        Self {
            io,
            framing: Framing::new(),
            ready: BytesMut::new(),
            ended: false,
            head_limit: Deadline::new(head),
            write_limit: Deadline::new(write),
            linger: Deadline::new(LINGER),
            lingered: 0,
            closed: false,
        }
    }

    /// Bounds the wait of a write.
    fn limit_write<R>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() || self.framing.is_taken() {
            self.write_limit.disarm();
            return written;
        }
        ready!(self.write_limit.poll(cx));
        Poll::Ready(Err(timed_out("the peer does not read")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ServerIo<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while buf.remaining() > 0 {
            if !this.ready.is_empty() {
                let len = this.ready.len().min(buf.remaining());
                buf.put_slice(&this.ready[..len]);
                this.ready.advance(len);
                if this.ready.is_empty() {
                    // An idle connection keeps no memory.
                    this.ready = BytesMut::new();
                }
                break;
            }
            if this.ended {
                break;
            }
            if !this.framing.is_at_head() {
                // Bodies are not copied.
                let start = buf.filled().len();
                ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
                let new = &buf.filled()[start..];
                this.ended = new.is_empty();
                let passed = this.framing.pass(new);
                this.framing.push(&new[passed..], &mut this.ready);
                buf.set_filled(start + passed);
                break;
            }
            let mut space = [MaybeUninit::uninit(); 4096];
            let mut read = ReadBuf::uninit(&mut space);
            let Poll::Ready(result) = Pin::new(&mut this.io).poll_read(cx, &mut read) else {
                if this.framing.is_inside_head() {
                    ready!(this.head_limit.poll(cx));
                    this.ended = true;
                    return Poll::Ready(Err(timed_out("the head of a request does not end")));
                }
                return Poll::Pending;
            };
            result?;
            if read.filled().is_empty() {
                this.ended = true;
                this.framing.end(&mut this.ready);
            }
            this.framing.push(read.filled(), &mut this.ready);
            if !this.framing.is_inside_head() {
                this.head_limit.disarm();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ServerIo<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, buf);
        this.limit_write(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.limit_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        this.limit_write(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closed {
            let closed = Pin::new(&mut this.io).poll_shutdown(cx);
            ready!(this.limit_write(cx, closed))?;
            this.closed = true;
        }
        let between_requests = this.framing.is_at_head() && !this.framing.is_inside_head();
        if between_requests || this.framing.is_taken() {
            return Poll::Ready(Ok(()));
        }
        while !this.ended && this.lingered < LINGER_BYTES {
            let mut space = [MaybeUninit::uninit(); 4096];
            let mut read = ReadBuf::uninit(&mut space);
            match Pin::new(&mut this.io).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    this.lingered += read.filled().len() as u64;
                }
                Poll::Ready(_) => this.ended = true,
                Poll::Pending => {
                    ready!(this.linger.poll(cx));
                    this.ended = true;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// A time limit for something that is polled; it runs from the first poll that has to wait.
struct Deadline {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    fn new(limit: Duration) -> Self {
        Self { limit, sleep: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(self.limit)))
            .as_mut()
            .poll(cx)
    }

    fn disarm(&mut self) {
        self.sleep = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::server::compare::assert_same;

    fn body() -> impl Strategy<Value = (String, String)> {
        let chunk = (
            "(;[a-c]=[a-c]{0,3})?",
            "[ -~]{1,40}|GET / HTTP/1\\.1\r\n\r\n",
        );
        let chunked = (
            proptest::collection::vec(chunk, 0..4),
            "(Trailer-[a-c]: x\r\n){0,2}",
        );
        prop_oneof![
            Just((String::new(), String::new())),
            "[ -~]{0,60}|GET / HTTP/1\\.1\r\n\r\n"
                .prop_map(|body| (format!("Content-Length: {}\r\n", body.len()), body)),
            chunked.prop_map(|(chunks, trailers)| {
                let mut body = String::new();
                for (extension, data) in chunks {
                    body += &format!("{:X}{extension}\r\n{data}\r\n", data.len());
                }
                let header = String::from("transfer-encoding: chunked\r\n");
                (header, body + "0\r\n" + &trailers + "\r\n")
            }),
        ]
    }

    fn request() -> impl Strategy<Value = String> {
        let head = (
            "(\r\n){0,2}(GET|POST|PUT|HEAD) /([a-z]{0,8}|exec|connect-ssh)(\\?a=b)? HTTP/1\\.1\r\n",
            "(X-[a-c]: [a-z :]{0,8}\r\n){0,3}",
        );
        (head, body()).prop_map(|((line, headers), (framing, body))| {
            format!("{line}{headers}{framing}\r\n{body}")
        })
    }

    fn cuts() -> impl Strategy<Value = Vec<usize>> {
        prop_oneof![
            Just(vec![1]),
            Just(vec![usize::MAX]),
            proptest::collection::vec(0_usize..200, 1..6)
                .prop_filter("progress", |cuts| cuts.iter().any(|cut| *cut > 0)),
        ]
    }

    proptest! {
        #[test]
        fn hyper_sees_the_same_requests_and_is_asked_for_trailers(
            requests in proptest::collection::vec(request(), 1..5),
            cuts in cuts(),
        ) {
            let (plain, adapted) = assert_same(requests.concat().as_bytes(), &cuts);
            prop_assert_eq!(plain.len(), requests.len());
            prop_assert!(plain.iter().all(|trailers| !trailers));
            // Behind a request that takes the connection over nothing is known.
            let taken = requests.iter().position(|request| {
                let request = request.trim_start();
                let empty = request.contains("Length: 0") || !request.contains("ength: ") && !request.contains("encoding");
                (request.starts_with("POST /connect-ssh ") || request.starts_with("POST /connect-ssh?")) && empty
            });
            let known = taken.map_or(requests.len(), |at| at + 1);
            prop_assert!(adapted[..known].iter().all(|trailers| *trailers));
            prop_assert!(adapted[known..].iter().all(|trailers| !trailers));
        }

        #[test]
        fn hyper_sees_the_same_of_damaged_requests(
            requests in proptest::collection::vec(request(), 1..4),
            damage in proptest::collection::vec((any::<prop::sample::Index>(), "[\r\n\\x00 :0a;,]|Content-Length: 3\r\n|Transfer-Encoding: x\r\n"), 0..4),
            remove in any::<bool>(),
            cuts in cuts(),
        ) {
            let mut bytes = requests.concat().into_bytes();
            for (index, piece) in damage {
                let at = index.index(bytes.len());
                let end = if remove { (at + 1).min(bytes.len()) } else { at };
                bytes.splice(at..end, piece.bytes());
            }
            let _ = assert_same(&bytes, &cuts);
        }
    }
}
