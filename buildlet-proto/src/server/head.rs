use bytes::{Buf as _, BytesMut};

/// The longest request head that is looked at: request line and headers, in bytes. Go's server takes 1 MiB; no peer sends
/// more than a kilobyte, and a head is kept in memory until its end has come.
pub(super) const MAX_HEAD_BYTES: usize = 64 << 10;

/// hyper's own limit for the number of headers.
const MAX_HEADERS: usize = 100;

/// Where the bytes of an HTTP/1 connection stand: follows the framing of requests and adds headers to their heads.
///
/// hyper sends trailers only where the request says `TE: trailers`, and lets go of a connection only where it says
/// `Upgrade`. Go's clients say neither, and need both. So every head gets the first, and that of `POST /connect-ssh` the second,
/// before hyper sees it; bodies pass byte for byte.
///
/// No second opinion: what this does not understand for certain (two lengths, a chunk size with a blank, a head that is too long) makes the
/// rest of the connection [opaque](At::Opaque). Nothing is added any more, and hyper alone judges what the bytes mean. The other way round, hyper
/// never takes what counts as body here for a head, or it would find a head that begins elsewhere: a property test compares both.
///
/// No socket, no clock: bytes in, bytes out.
#[derive(Debug)]
pub(super) struct Framing {
    at: At,
    /// The part of a head that has come, without leading blank lines.
    head: BytesMut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At a head, or inside one.
    Head,
    /// Inside a body of which so many bytes are to come. Never 0.
    Body(u64),
    /// Inside a chunked body.
    Chunked(Chunk),
    /// Not followed any more.
    Opaque,
    /// Behind the head of a request that takes the connection over.
    Taken,
}

/// Inside a chunked body: what comes next. The grammar is RFC 9112, section 7.1, of which only as much is understood as
/// hyper accepts too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// The first digit of a size.
    Start,
    /// More digits, or what ends them.
    Size(u64),
    /// An extension, up to the end of its line.
    Extension(u64),
    /// The line feed behind a size.
    SizeEnd(u64),
    /// So many bytes of data. Never 0.
    Data(u64),
    DataCr,
    DataLf,
    /// A trailer, or the blank line at the end.
    LastOrTrailer,
    Trailer,
    TrailerLf,
    LastLf,
}

impl Framing {
    pub(super) fn new() -> Self {
        Self {
            at: At::Head,
            head: BytesMut::new(),
        }
    }

    /// Takes the next `bytes` of the connection and appends to `out` what hyper shall see of them.
    ///
    /// An unfinished head is held back; all else comes out at once.
    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut BytesMut) {
        while !bytes.is_empty() {
            let passed = self.pass(bytes);
            out.extend_from_slice(&bytes[..passed]);
            bytes.advance(passed);
            if self.at == At::Head {
                let taken = self.gather(bytes, out);
                bytes.advance(taken);
            }
        }
    }

    /// How many of the next `bytes` are seen by hyper as they are. They count as taken; for those behind them call
    /// [`push`](Self::push).
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            match &mut self.at {
                At::Head => break,
                At::Body(left) => match skip(&mut rest, *left) {
                    0 => self.at = At::Head,
                    more => *left = more,
                },
                At::Chunked(chunk) => match chunk.next(&mut rest) {
                    Next::Chunk(next) => *chunk = next,
                    Next::End => self.at = At::Head,
                    Next::Odd => self.at = At::Opaque,
                },
                At::Opaque | At::Taken => rest = &[],
            }
        }
        bytes.len() - rest.len()
    }

    /// Whether the next byte belongs to a head.
    pub(super) fn is_at_head(&self) -> bool {
        self.at == At::Head
    }

    /// Whether a head has begun and not ended.
    pub(super) fn is_inside_head(&self) -> bool {
        !self.head.is_empty()
    }

    /// Whether the connection belongs to whoever asked for it, and is no HTTP any more.
    pub(super) fn is_taken(&self) -> bool {
        self.at == At::Taken
    }

    /// The bytes end here: gives out what is held back, for hyper to judge.
    pub(super) fn end(&mut self, out: &mut BytesMut) {
        out.unsplit(self.head.split());
        self.at = At::Opaque;
    }

    /// Takes bytes of a head and returns how many; the whole head goes to `out`.
    fn gather(&mut self, bytes: &[u8], out: &mut BytesMut) -> usize {
        if self.head.is_empty() {
            // hyper skips blank lines before a request, so they need not be kept until its end.
            let blank = |byte: &&u8| matches!(byte, b'\r' | b'\n');
            let blanks = bytes.iter().take_while(blank).count();
            if blanks > 0 {
                out.extend_from_slice(&bytes[..blanks]);
                return blanks;
            }
        }
        let room = MAX_HEAD_BYTES - self.head.len();
        let bytes = &bytes[..bytes.len().min(room)];
        let known = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = blank_line_end(&self.head, known) else {
            if bytes.len() == room {
                self.end(out);
            }
            return bytes.len();
        };
        self.head.truncate(end);
        match Head::parse(&self.head) {
            Some(head) => {
                self.at = head.then;
                let (lines, blank) = head.split(&self.head);
                out.extend_from_slice(lines);
                out.extend_from_slice(head.extra);
                out.extend_from_slice(blank);
                self.head = BytesMut::new();
            }
            None => self.end(out),
        }
        end - known
    }
}

/// Where the first blank line of `head` ends, which ends the head. There is none that ends before `from`.
fn blank_line_end(head: &[u8], from: usize) -> Option<usize> {
    (from..head.len())
        .find(|&at| {
            head[at] == b'\n' && (head[..at].ends_with(b"\n") || head[..at].ends_with(b"\n\r"))
        })
        .map(|at| at + 1)
}

/// Takes up to `left` bytes off `rest` and returns how many remain to be taken.
fn skip(rest: &mut &[u8], left: u64) -> u64 {
    let taken = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    *rest = &rest[taken..];
    left - taken as u64
}

/// What a head says about what follows it.
struct Head {
    then: At,
    extra: &'static [u8],
}

impl Head {
    /// Reads a head that ends in a blank line; `None` if not all of it is beyond doubt.
    fn parse(head: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(head) {
            Ok(httparse::Status::Complete(len)) if len == head.len() => {}
            _ => return None,
        }
        let method = request.method?;
        if method == "CONNECT" {
            return None;
        }
        let body = Self::body(request.version?, request.headers)?;
        let path = request.path?.split('?').next();
        if (method, path, body) == ("POST", Some("/connect-ssh"), At::Head) {
            return Some(Self {
                then: At::Taken,
                extra: b"te: trailers\r\nconnection: upgrade\r\nupgrade: ssh\r\n",
            });
        }
        Some(Self {
            then: body,
            extra: b"te: trailers\r\n",
        })
    }

    /// The body that the headers announce.
    fn body(version: u8, headers: &[httparse::Header<'_>]) -> Option<At> {
        let mut lengths = named(headers, "content-length");
        let mut codings = named(headers, "transfer-encoding");
        match (lengths.next(), codings.next()) {
            (None, None) => Some(At::Head),
            (Some(length), None) if lengths.next().is_none() => match decimal(length)? {
                0 => Some(At::Head),
                length => Some(At::Body(length)),
            },
            (None, Some(coding))
                if codings.next().is_none()
                    && version == 1
                    && coding.eq_ignore_ascii_case(b"chunked") =>
            {
                Some(At::Chunked(Chunk::Start))
            }
            _ => None,
        }
    }

    /// The lines of the head, and the blank line at its end.
    fn split<'a>(&self, head: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let blank = if head.ends_with(b"\r\n") { 2 } else { 1 };
        head.split_at(head.len() - blank)
    }
}

fn named<'a>(headers: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value)
}

/// Reads digits, and nothing but digits.
fn decimal(digits: &[u8]) -> Option<u64> {
    // hyper refuses the two largest numbers, which mean something else to it.
    let sane = 1..=18;
    (sane.contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit))
        .then(|| str::from_utf8(digits).ok()?.parse().ok())?
}

enum Next {
    Chunk(Chunk),
    /// The body has ended.
    End,
    /// Nothing that is understood.
    Odd,
}

impl Chunk {
    /// Takes one byte, or many of data, off `rest`, which is not empty.
    fn next(self, rest: &mut &[u8]) -> Next {
        if let Self::Data(left) = self {
            return Next::Chunk(match skip(rest, left) {
                0 => Self::DataCr,
                left => Self::Data(left),
            });
        }
        let Some((&byte, tail)) = rest.split_first() else {
            return Next::Chunk(self);
        };
        *rest = tail;
        Next::Chunk(match (self, byte) {
            (Self::Start, digit) => match hex(digit) {
                Some(digit) => Self::Size(digit),
                None => return Next::Odd,
            },
            (Self::Size(size), b'\r') | (Self::Extension(size), b'\r') => Self::SizeEnd(size),
            (Self::Size(size), b';') => Self::Extension(size),
            (Self::Size(size), digit) => {
                // Larger sizes than 2^60 are no sizes.
                match (hex(digit), size >> 56) {
                    (Some(digit), 0) => Self::Size(size << 4 | digit),
                    _ => return Next::Odd,
                }
            }
            (Self::Extension(_), b'\n') => return Next::Odd,
            (Self::Extension(size), _) => Self::Extension(size),
            (Self::SizeEnd(0), b'\n') | (Self::TrailerLf, b'\n') => Self::LastOrTrailer,
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Start,
            (Self::LastOrTrailer, b'\r') => Self::LastLf,
            (Self::LastOrTrailer, _) => Self::Trailer,
            (Self::Trailer, b'\r') => Self::TrailerLf,
            (Self::Trailer, _) => Self::Trailer,
            (Self::LastLf, b'\n') => return Next::End,
            _ => return Next::Odd,
        })
    }
}

fn hex(digit: u8) -> Option<u64> {
    char::from(digit).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What hyper sees of `bytes`, however they come.
    fn push(bytes: &[u8]) -> (String, Framing) {
        let mut whole = (BytesMut::new(), Framing::new());
        whole.1.push(bytes, &mut whole.0);
        let mut single = (BytesMut::new(), Framing::new());
        for byte in bytes.chunks(1) {
            let passed = single.1.pass(byte);
            single.0.extend_from_slice(&byte[..passed]);
            single.1.push(&byte[passed..], &mut single.0);
        }
        assert_eq!(whole.0, single.0);
        assert_eq!(whole.1.at, single.1.at);
        (String::from_utf8(whole.0.to_vec()).unwrap(), whole.1)
    }

    #[test]
    fn every_head_of_a_connection_asks_for_trailers() {
        let (seen, framing) = push(
            b"\r\n\nPOST /exec?x HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /POST /writetgz HTTP/1.1\nTransfer-Encoding: Chunked\n\n\
              1;a=\"b\"\r\nx\r\n0A\r\nGET / HTTP\r\n0\r\nx: y\r\n\r\nGET / HTTP/1.1\r\n\r\nGET",
        );
        assert_eq!(
            seen,
            "\r\n\nPOST /exec?x HTTP/1.1\r\nContent-Length: 5\r\nte: trailers\r\n\r\nGET /\
             POST /writetgz HTTP/1.1\nTransfer-Encoding: Chunked\nte: trailers\r\n\n\
             1;a=\"b\"\r\nx\r\n0A\r\nGET / HTTP\r\n0\r\nx: y\r\n\r\n\
             GET / HTTP/1.1\r\nte: trailers\r\n\r\n"
        );
        assert!(framing.is_inside_head());
    }

    #[test]
    fn an_ssh_connection_asks_for_an_upgrade_and_is_left_alone() {
        let (seen, framing) = push(
            b"POST /connect-ssh HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\nSSH-2.0-x\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        );
        assert_eq!(
            seen,
            "POST /connect-ssh HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\
             te: trailers\r\nconnection: upgrade\r\nupgrade: ssh\r\n\r\n\
             SSH-2.0-x\r\n\r\nGET / HTTP/1.1\r\n\r\n"
        );
        assert!(framing.is_taken());
        for other in [
            "GET /connect-ssh HTTP/1.1\r\n\r\n",
            "POST /connect-sshx HTTP/1.1\r\n\r\n",
            "POST /connect-ssh HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
        ] {
            assert!(!push(other.as_bytes()).1.is_taken(), "{other}");
        }
    }

    #[test]
    fn what_is_in_doubt_is_left_to_hyper() {
        for odd in [
            "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length:\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n",
            "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n Content-Length: 1\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET /\r\n\r\n",
            "CONNECT a:1 HTTP/1.1\r\n\r\n",
            "\0\r\n\r\n",
        ] {
            let bytes = format!("{odd}GET / HTTP/1.1\r\n\r\n");
            let (seen, framing) = push(bytes.as_bytes());
            assert_eq!(seen, bytes);
            assert_eq!(framing.at, At::Opaque);
        }
        let head = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        for odd in [
            "\r\n",
            "g\r\n",
            "1 \r\nx\r\n0\r\n\r\n",
            "1\nx\r\n",
            "1\r\rx",
            "1\r\nxx\r\n",
            "1\r\nx\rx",
            "1;\nx",
            "fffffffffffffffff\r\n",
            "0\r\n\rx",
            "0\r\na: b\rx",
        ] {
            let bytes = format!("{head}{odd}GET / HTTP/1.1\r\n\r\n");
            let (seen, framing) = push(bytes.as_bytes());
            assert_eq!(
                seen,
                bytes.replacen("\r\n\r\n", "\r\nte: trailers\r\n\r\n", 1)
            );
            assert_eq!(framing.at, At::Opaque, "{odd:?}");
        }
    }

    #[test]
    fn a_head_without_end_is_not_kept_for_ever() {
        let bytes = format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(MAX_HEAD_BYTES));
        let (seen, framing) = push(bytes.as_bytes());
        assert_eq!(seen, bytes);
        assert_eq!((framing.at, framing.head.len()), (At::Opaque, 0));
    }

    #[test]
    fn a_head_that_is_cut_off_is_given_out() {
        let (seen, mut framing) = push(b"GET / HTTP/1.1\r\nHos");
        assert_eq!(seen, "");
        let mut out = BytesMut::new();
        framing.end(&mut out);
        assert_eq!(&out[..], b"GET / HTTP/1.1\r\nHos");
    }
}
