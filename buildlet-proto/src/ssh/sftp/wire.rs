//! The packets. No input and no output, and nothing is copied but what is kept.

use bytes::{Buf as _, BytesMut};

/// Longest packet, without the length before it: what OpenSSH takes and sends.
pub(crate) const MAX_PACKET: usize = 256 << 10;

/// Most that one packet carries of a file.
pub(crate) const MAX_DATA: usize = MAX_PACKET - 1024;

/// Longest path; Linux has the same limit.
const MAX_PATH: usize = 4096;

/// What breaks the protocol, so that nothing after it makes sense.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Cuts a stream into packets.
#[derive(Default)]
pub(crate) struct Framer {
    buffer: BytesMut,
}

impl Framer {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next packet without its length, if all of it is there.
    pub(crate) fn next(&mut self) -> Result<Option<BytesMut>, Malformed> {
        let Some((length, rest)) = self.buffer.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length == 0 || length > MAX_PACKET {
            return Err(Malformed);
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.buffer.advance(4);
        Ok(Some(self.buffer.split_to(length)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// What a client asks for. A path is as the client wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    Open {
        path: &'a [u8],
        how: How,
        attributes: Attributes,
    },
    Close {
        handle: u32,
    },
    Read {
        handle: u32,
        offset: u64,
        length: u32,
    },
    Write {
        handle: u32,
        offset: u64,
        data: &'a [u8],
    },
    /// `follow`: of what a link leads to.
    Stat {
        path: &'a [u8],
        follow: bool,
    },
    StatOpen {
        handle: u32,
    },
    SetStat {
        path: &'a [u8],
        attributes: Attributes,
    },
    SetStatOpen {
        handle: u32,
        attributes: Attributes,
    },
    OpenDirectory {
        path: &'a [u8],
    },
    ReadDirectory {
        handle: u32,
    },
    Remove {
        path: &'a [u8],
    },
    MakeDirectory {
        path: &'a [u8],
        attributes: Attributes,
    },
    RemoveDirectory {
        path: &'a [u8],
    },
    RealPath {
        path: &'a [u8],
    },
    /// `replace`: what has the new name.
    Rename {
        from: &'a [u8],
        to: &'a [u8],
        replace: bool,
    },
    ReadLink {
        path: &'a [u8],
    },
    Link {
        target: &'a [u8],
        link: &'a [u8],
    },
    Sync {
        handle: u32,
    },
    Limits,
    Unknown,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct How(u32);

impl How {
    pub(crate) fn read(self) -> bool {
        self.0 & 1 != 0
    }

    pub(crate) fn write(self) -> bool {
        self.0 & 2 != 0
    }

    pub(crate) fn append(self) -> bool {
        self.0 & 4 != 0
    }

    pub(crate) fn create(self) -> bool {
        self.0 & 8 != 0
    }

    pub(crate) fn truncate(self) -> bool {
        self.0 & 16 != 0
    }

    pub(crate) fn exclusive(self) -> bool {
        self.0 & 32 != 0
    }
}

/// What is known of a file, or is to be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) size: Option<u64>,
    /// User and group.
    pub(crate) owner: Option<(u32, u32)>,
    /// Type and permissions, as `st_mode`.
    pub(crate) mode: Option<u32>,
    /// Last access and last change, in seconds since 1970.
    pub(crate) times: Option<(u32, u32)>,
}

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const MODE: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 1 << 31;

/// Whether `packet` is the first of a session, to which [`version`] is the answer.
pub(crate) fn is_init(packet: &[u8]) -> bool {
    packet.len() >= 5 && packet[0] == 1
}

/// Reads a packet: the number by which its answer is found, and the request, if that makes sense.
pub(crate) fn parse(packet: &[u8]) -> Result<(u32, Result<Request<'_>, Malformed>), Malformed> {
    let mut rest = Rest(packet);
    let kind = rest.byte()?;
    let id = rest.number()?;
    Ok((id, request(kind, rest)))
}

fn request(kind: u8, mut rest: Rest<'_>) -> Result<Request<'_>, Malformed> {
    let request = match kind {
        3 => Request::Open {
            path: rest.path()?,
            how: How(rest.number()?),
            attributes: rest.attributes()?,
        },
        4 => Request::Close {
            handle: rest.handle()?,
        },
        5 => Request::Read {
            handle: rest.handle()?,
            offset: rest.long()?,
            length: rest.number()?,
        },
        6 => Request::Write {
            handle: rest.handle()?,
            offset: rest.long()?,
            data: rest.string()?,
        },
        7 => Request::Stat {
            path: rest.path()?,
            follow: false,
        },
        8 => Request::StatOpen {
            handle: rest.handle()?,
        },
        9 => Request::SetStat {
            path: rest.path()?,
            attributes: rest.attributes()?,
        },
        10 => Request::SetStatOpen {
            handle: rest.handle()?,
            attributes: rest.attributes()?,
        },
        11 => Request::OpenDirectory { path: rest.path()? },
        12 => Request::ReadDirectory {
            handle: rest.handle()?,
        },
        13 => Request::Remove { path: rest.path()? },
        14 => Request::MakeDirectory {
            path: rest.path()?,
            attributes: rest.attributes()?,
        },
        15 => Request::RemoveDirectory { path: rest.path()? },
        16 => Request::RealPath { path: rest.path()? },
        17 => Request::Stat {
            path: rest.path()?,
            follow: true,
        },
        18 => Request::Rename {
            from: rest.path()?,
            to: rest.path()?,
            replace: false,
        },
        19 => Request::ReadLink { path: rest.path()? },
        // In this order by OpenSSH and all who followed it; the draft has them the other way round.
        20 => Request::Link {
            target: rest.path()?,
            link: rest.path()?,
        },
        200 => match rest.string()? {
            b"posix-rename@openssh.com" => Request::Rename {
                from: rest.path()?,
                to: rest.path()?,
                replace: true,
            },
            b"fsync@openssh.com" => Request::Sync {
                handle: rest.handle()?,
            },
            b"limits@openssh.com" => Request::Limits,
            _ => return Ok(Request::Unknown),
        },
        _ => return Ok(Request::Unknown),
    };
    if rest.0.is_empty() {
        Ok(request)
    } else {
        Err(Malformed)
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = tail;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Result<u32, Malformed> {
        self.take().map(u32::from_be_bytes)
    }

    fn long(&mut self) -> Result<u64, Malformed> {
        self.take().map(u64::from_be_bytes)
    }

    fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.number()? as usize;
        let (head, tail) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = tail;
        Ok(head)
    }

    fn path(&mut self) -> Result<&'a [u8], Malformed> {
        let path = self.string()?;
        if path.len() > MAX_PATH || path.contains(&0) {
            Err(Malformed)
        } else {
            Ok(path)
        }
    }

    fn handle(&mut self) -> Result<u32, Malformed> {
        let handle = self.string()?.try_into().map_err(|_| Malformed)?;
        Ok(u32::from_be_bytes(handle))
    }

    fn attributes(&mut self) -> Result<Attributes, Malformed> {
        let flags = self.number()?;
        let mut attributes = Attributes::default();
        if flags & SIZE != 0 {
            attributes.size = Some(self.long()?);
        }
        if flags & OWNER != 0 {
            attributes.owner = Some((self.number()?, self.number()?));
        }
        if flags & MODE != 0 {
            attributes.mode = Some(self.number()?);
        }
        if flags & TIMES != 0 {
            attributes.times = Some((self.number()?, self.number()?));
        }
        if flags & EXTENDED != 0 {
            for _ in 0..self.number()? {
                self.string()?;
                self.string()?;
            }
        }
        Ok(attributes)
    }
}

/// How a request ended, if with nothing but that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Ok = 0,
    End = 1,
    NoSuchFile = 2,
    Denied = 3,
    Failure = 4,
    BadMessage = 5,
    Unsupported = 8,
}

/// A packet in the making.
struct Reply(Vec<u8>);

impl Reply {
    fn new(kind: u8, id: u32) -> Self {
        let mut reply = Self(vec![0, 0, 0, 0, kind]);
        reply.number(id);
        reply
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len() - 4).expect("a reply is shorter than 4 GiB by far");
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0
    }

    fn number(&mut self, number: u32) {
        self.0.extend(number.to_be_bytes());
    }

    fn string(&mut self, string: &[u8]) {
        self.number(u32::try_from(string.len()).expect("a string is shorter than 4 GiB by far"));
        self.0.extend(string);
    }

    fn attributes(&mut self, attributes: &Attributes) {
        let Attributes {
            size,
            owner,
            mode,
            times,
        } = *attributes;
        let flags = [
            (size.is_some(), SIZE),
            (owner.is_some(), OWNER),
            (mode.is_some(), MODE),
            (times.is_some(), TIMES),
        ];
        self.number(
            flags
                .iter()
                .map(|&(set, flag)| if set { flag } else { 0 })
                .sum(),
        );
        if let Some(size) = size {
            self.long(size);
        }
        if let Some((user, group)) = owner {
            self.number(user);
            self.number(group);
        }
        if let Some(mode) = mode {
            self.number(mode);
        }
        if let Some((accessed, modified)) = times {
            self.number(accessed);
            self.number(modified);
        }
    }

    fn long(&mut self, number: u64) {
        self.0.extend(number.to_be_bytes());
    }
}

/// The answer to a client's first packet: version 3, and which extensions there are.
pub(crate) fn version() -> Vec<u8> {
    // Where other packets have a number of their request, this one has the version.
    let mut reply = Reply::new(2, 3);
    for extension in [
        "posix-rename@openssh.com",
        "fsync@openssh.com",
        "limits@openssh.com",
    ] {
        reply.string(extension.as_bytes());
        reply.string(b"1");
    }
    reply.finish()
}

pub(crate) fn status(id: u32, code: Code, message: &str) -> Vec<u8> {
    let mut reply = Reply::new(101, id);
    reply.number(code as u32);
    reply.string(message.as_bytes());
    reply.string(b"en");
    reply.finish()
}

pub(crate) fn handle(id: u32, handle: u32) -> Vec<u8> {
    let mut reply = Reply::new(102, id);
    reply.string(&handle.to_be_bytes());
    reply.finish()
}

/// `read` puts at most `limit` bytes behind what it is given.
pub(crate) fn data<E>(
    id: u32,
    limit: usize,
    read: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<Vec<u8>, E> {
    let mut reply = Reply::new(103, id);
    reply.0.reserve(4 + limit);
    reply.number(0);
    let begin = reply.0.len();
    read(&mut reply.0)?;
    let length =
        u32::try_from(reply.0.len() - begin).expect("a reply is shorter than 4 GiB by far");
    reply.0[begin - 4..begin].copy_from_slice(&length.to_be_bytes());
    Ok(reply.finish())
}

/// A name, the line that `ls -l` would print, and what is known of the file.
pub(crate) type Name = (Vec<u8>, Vec<u8>, Attributes);

pub(crate) fn names(id: u32, names: &[Name]) -> Vec<u8> {
    let mut reply = Reply::new(104, id);
    reply.number(u32::try_from(names.len()).expect("a reply has far fewer names"));
    for (name, line, attributes) in names {
        reply.string(name);
        reply.string(line);
        reply.attributes(attributes);
    }
    reply.finish()
}

pub(crate) fn attributes(id: u32, attributes: &Attributes) -> Vec<u8> {
    let mut reply = Reply::new(105, id);
    reply.attributes(attributes);
    reply.finish()
}

/// The answer to [`Request::Limits`]; `handles` is how many files may be open.
pub(crate) fn limits(id: u32, handles: usize) -> Vec<u8> {
    let mut reply = Reply::new(201, id);
    for limit in [MAX_PACKET, MAX_DATA, MAX_DATA, handles] {
        reply.long(limit as u64);
    }
    reply.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet as a client writes it, without its length.
    fn packet(kind: u8, id: u32, write: impl FnOnce(&mut Reply)) -> Vec<u8> {
        let mut packet = Reply::new(kind, id);
        write(&mut packet);
        packet.finish().split_off(4)
    }

    #[test]
    fn requests_are_read() {
        let attributes = Attributes {
            size: Some(1 << 40),
            owner: Some((1, 2)),
            mode: Some(0o644),
            times: Some((3, 4)),
        };
        let open = packet(3, 7, |packet| {
            packet.string(b"a/b");
            packet.number(2 | 8 | 16);
            packet.attributes(&attributes);
        });
        let Ok((
            7,
            Ok(Request::Open {
                path: b"a/b",
                how,
                attributes: read,
            }),
        )) = parse(&open)
        else {
            panic!("{open:?}")
        };
        assert_eq!(read, attributes);
        assert!(how.write() && how.create() && how.truncate());
        assert!(!how.read() && !how.append() && !how.exclusive());

        let rename = packet(200, 8, |packet| {
            for string in ["posix-rename@openssh.com", "from", "to"] {
                packet.string(string.as_bytes());
            }
        });
        assert_eq!(
            parse(&rename),
            Ok((
                8,
                Ok(Request::Rename {
                    from: b"from",
                    to: b"to",
                    replace: true
                })
            ))
        );
    }

    #[test]
    fn what_makes_no_sense_is_told_apart_from_what_is_unknown() {
        assert_eq!(parse(&[3, 0, 0]), Err(Malformed));
        assert_eq!(parse(&packet(4, 1, |_| {})), Ok((1, Err(Malformed))));
        let trailing = packet(4, 1, |packet| {
            packet.string(&[0; 4]);
            packet.string(b"more");
        });
        assert_eq!(parse(&trailing), Ok((1, Err(Malformed))));
        assert_eq!(parse(&packet(99, 1, |_| {})), Ok((1, Ok(Request::Unknown))));
        let nul = packet(11, 1, |packet| packet.string(b"a\0b"));
        assert_eq!(parse(&nul), Ok((1, Err(Malformed))));
        let endless = packet(9, 1, |packet| {
            packet.string(b"a");
            packet.number(EXTENDED);
            packet.number(u32::MAX);
        });
        assert_eq!(parse(&endless), Ok((1, Err(Malformed))));
    }

    #[test]
    fn a_packet_of_no_bytes_or_too_many_ends_the_session() {
        for length in [0, MAX_PACKET as u32 + 1, u32::MAX] {
            let mut framer = Framer::default();
            framer.push(&length.to_be_bytes());
            assert_eq!(framer.next(), Err(Malformed));
        }
    }

    proptest! {
        #[test]
        fn packets_are_the_same_however_the_stream_is_cut(sizes in prop::collection::vec(1_usize..100, 0..20), cut in 1_usize..50) {
            let packets: Vec<Vec<u8>> = (0_u8..).zip(sizes).map(|(byte, size)| vec![byte; size]).collect();
            let stream: Vec<u8> = packets.iter().flat_map(|packet| (packet.len() as u32).to_be_bytes().into_iter().chain(packet.iter().copied())).collect();
            let (mut framer, mut found) = (Framer::default(), Vec::new());
            for piece in stream.chunks(cut) {
                framer.push(piece);
                while let Some(packet) = framer.next().unwrap() {
                    found.push(packet.to_vec());
                }
            }
            prop_assert_eq!(found, packets);
            prop_assert!(framer.is_empty());
        }

        #[test]
        fn no_packet_panics(packet in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&packet);
        }
    }
}
