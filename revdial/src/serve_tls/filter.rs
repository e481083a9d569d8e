//! The stream under TLS, whose first bytes are looked into.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::hello;

/// The content types of TLS records (RFC 8446, section 5.1).
mod record {
    pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
    pub(super) const HANDSHAKE: u8 = 22;
    /// Type, version and length.
    pub(super) const HEADER: usize = 5;
}

/// How much is held back for a `ClientHello`, records and all. That of Go takes 1.5 KiB, mostly its post-quantum key share; a
/// longer one than this goes to rustls as it is.
const MAX_HELLO: usize = 16 << 10;

/// How many records a `ClientHello` may be cut into. Go sends it in one; what is cut finer goes to rustls as it is.
const MAX_RECORDS: usize = 16;

/// A stream on which [`Acceptor`](super::Acceptor) reads a handshake.
///
/// Behind the handshake it only passes bytes on.
#[derive(Debug)]
pub struct TolerantIo<IO> {
    io: IO,
    /// `None` once nothing can come any more that has to be looked into.
    hellos: Option<Hellos>,
}

impl<IO> TolerantIo<IO> {
    pub(super) fn new(io: IO) -> Self {
        Self {
            io,
            hellos: Some(Hellos::default()),
        }
    }

    /// The stream itself.
    pub fn get_ref(&self) -> &IO {
        &self.io
    }

    /// The stream itself, for its options: bytes read from it are missing from the connection.
    pub fn get_mut(&mut self) -> &mut IO {
        &mut self.io
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for TolerantIo<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while let Some(hellos) = &mut this.hellos {
            if buf.remaining() == 0 || hellos.take(buf) {
                return Poll::Ready(Ok(()));
            }
            if hellos.done {
                this.hellos = None;
                break;
            }
            let mut space = [0; 2048];
            let mut space = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut space))?;
            hellos.push(space.filled());
        }
        Pin::new(&mut this.io).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for TolerantIo<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

/// What the client has sent, until its last `ClientHello`.
///
/// There is a second one if the server asked the client to try again with another key share; then the name is hidden there too.
#[derive(Debug, Default)]
struct Hellos {
    bytes: Vec<u8>,
    /// How many of `bytes` may be read.
    ready: usize,
    /// How many of them were.
    taken: usize,
    /// Whether a `ClientHello` was changed.
    hidden: bool,
    /// Whether everything else that comes is to be passed on.
    done: bool,
}

impl Hellos {
    /// Moves what is ready to `buf`, and tells whether that was anything.
    fn take(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let ready = &self.bytes[self.taken..self.ready];
        let taken = &ready[..ready.len().min(buf.remaining())];
        buf.put_slice(taken);
        self.taken += taken.len();
        let any = !taken.is_empty();
        if self.taken == self.ready {
            self.bytes.drain(..self.taken);
            (self.ready, self.taken) = (0, 0);
        }
        any
    }

    /// Takes what the client sent next; nothing is its end.
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        while !self.done {
            match self.step() {
                Step::Pass(len) => self.ready += len,
                Step::Wait if bytes.is_empty() || self.bytes.len() - self.ready > MAX_HELLO => {
                    self.done = true;
                }
                Step::Wait => break,
                Step::Done => self.done = true,
            }
        }
        if self.done {
            self.ready = self.bytes.len();
        }
    }

    /// Looks at what begins behind the bytes that are ready: at a record's header, or a record of no bytes.
    fn step(&mut self) -> Step {
        let mut spans = Vec::new(); // where the parts of one handshake message are
        let mut message = Vec::new();
        let mut at = self.ready;
        while spans.len() < MAX_RECORDS {
            let Some(&[kind, _, _, high, low]) = self.bytes.get(at..at + record::HEADER) else {
                return Step::Wait;
            };
            let body = at + record::HEADER
                ..at + record::HEADER + usize::from(u16::from_be_bytes([high, low]));
            let Some(part) = self.bytes.get(body.clone()) else {
                // A record that is passed on whole is waited for, as its successor's begin must be known.
                return if matches!(kind, record::HANDSHAKE | record::CHANGE_CIPHER_SPEC) {
                    Step::Wait
                } else {
                    Step::Done
                };
            };
            match kind {
                record::HANDSHAKE if !part.is_empty() => {}
                // Sent for the sake of middle boxes before a second ClientHello, never within one.
                record::CHANGE_CIPHER_SPEC if message.is_empty() && self.hidden => {
                    return Step::Pass(body.end - at);
                }
                _ => return Step::Done,
            }
            message.extend_from_slice(part);
            spans.push(body.clone());
            at = body.end;
            let Some(&[kind, a, b, c]) = message.get(..hello::HEADER) else {
                continue;
            };
            if kind != hello::CLIENT_HELLO {
                return Step::Done;
            }
            let len = hello::HEADER + u32::from_be_bytes([0, a, b, c]) as usize;
            if message.len() < len {
                continue;
            }
            if message.len() > len || !hello::hide(&mut message) {
                return Step::Done; // rustls accepts nothing behind it, and has nothing against its name
            }
            let mut rest = &message[..];
            for span in spans {
                let (part, behind) = rest.split_at(span.len());
                self.bytes[span].copy_from_slice(part);
                rest = behind;
            }
            self.hidden = true;
            return Step::Pass(at - self.ready);
        }
        Step::Done
    }
}

enum Step {
    /// So many more bytes may be read.
    Pass(usize),
    /// More is needed to tell.
    Wait,
    /// All that was held back may be read, and all that follows.
    Done,
}

#[cfg(test)]
mod tests {
    use super::super::hello::tests::{hello, name};
    use super::*;

    fn records(kind: u8, message: &[u8], size: usize) -> Vec<u8> {
        let record =
            |part: &[u8]| [&[kind, 3, 1], &(part.len() as u16).to_be_bytes()[..], part].concat();
        message.chunks(size).flat_map(record).collect()
    }

    /// What is read of what a client sends in pieces of this size, and whether the filter has ended by itself.
    fn read(sent: &[u8], piece: usize) -> (Vec<u8>, bool) {
        let mut hellos = Hellos::default();
        let mut read = Vec::new();
        let mut ended = false;
        for piece in sent.chunks(piece) {
            if ended {
                read.extend(piece);
                continue;
            }
            hellos.push(piece);
            let mut space = [0; 7];
            loop {
                let mut space = ReadBuf::new(&mut space);
                if !hellos.take(&mut space) {
                    break;
                }
                read.extend(space.filled());
            }
            ended = hellos.done;
        }
        (read, ended)
    }

    /// The message in the records that were read.
    fn message(mut records: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        while let [record::HANDSHAKE, _, _, high, low, rest @ ..] = records {
            let (part, behind) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            message.extend(part);
            records = behind;
        }
        message
    }

    #[test]
    fn a_name_with_a_port_is_hidden_however_the_hello_is_cut() {
        let hello = hello(&[
            (51, vec![4; 40]),
            (0, name("localhost:8119")),
            (45, vec![1, 1]),
        ]);
        for record_size in [8, 20, 1000] {
            let sent = records(record::HANDSHAKE, &hello, record_size);
            for piece in [1, 3, 60, 4000] {
                let (read, ended) = read(&sent, piece);
                assert!(!ended, "there may be a second one");
                assert_eq!(read.len(), sent.len());
                assert_eq!(
                    hello::reveal(&message(&read)).as_ref(),
                    Some(&hello),
                    "{record_size}, {piece}"
                );
            }
        }
    }

    #[test]
    fn a_second_hello_is_changed_too_and_what_follows_is_not() {
        let hello = hello(&[(0, name("localhost:8119"))]);
        let again = [
            records(record::CHANGE_CIPHER_SPEC, &[1], 1),
            records(record::HANDSHAKE, &hello, 60),
        ]
        .concat();
        let data = records(23, &hello, 1000);
        let sent = [
            records(record::HANDSHAKE, &hello, 1000),
            again,
            data.clone(),
            b"anything".to_vec(),
        ]
        .concat();
        for piece in [1, 10, 4000] {
            let (read, ended) = read(&sent, piece);
            assert!(ended);
            assert_eq!(read.len(), sent.len());
            let hidden: Vec<_> = read
                .windows(2)
                .filter(|bytes| *bytes == [0xff, 0x7c])
                .collect();
            assert_eq!(hidden.len(), 2);
            assert!(read.ends_with(&[&data[..], b"anything"].concat()));
        }
    }

    #[test]
    fn everything_else_passes_as_it_is() {
        let plain = hello(&[(0, name("localhost"))]);
        let odd = hello(&[(0, name("localhost:8119"))]);
        let huge = [&[hello::CLIENT_HELLO, 0xff, 0xff, 0xff][..], &[0; 40_000]].concat();
        for (sent, why) in [
            (records(record::HANDSHAKE, &plain, 1000), "a name"),
            (records(record::HANDSHAKE, &odd, 4), "too many records"),
            (
                records(record::HANDSHAKE, &[&odd[..], &odd].concat(), 1000),
                "a message behind it",
            ),
            (records(record::HANDSHAKE, &huge, 16_000), "too long"),
            (
                records(record::CHANGE_CIPHER_SPEC, &[1], 1),
                "another record first",
            ),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "not TLS"),
        ] {
            for piece in [1, 100, 50_000] {
                let sent = [&sent[..], b"and more"].concat();
                let (read, ended) = read(&sent, piece);
                assert!(ended, "{why}, {piece}");
                assert!(read == sent, "{why}, {piece}");
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_ends_within_its_hello_is_read_to_its_end() {
        use tokio::io::AsyncReadExt as _;
        let sent = records(record::HANDSHAKE, &hello(&[]), 1000);
        let cut = &sent[..sent.len() - 1];
        let mut read = Vec::new();
        TolerantIo::new(std::io::Cursor::new(cut.to_vec()))
            .read_to_end(&mut read)
            .await
            .unwrap();
        assert_eq!(read, cut);
    }
}
