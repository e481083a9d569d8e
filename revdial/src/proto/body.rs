use super::ReplyHead;

/// Reads the body of a reply that is no switch of protocols: finds its end, and keeps its beginning.
#[derive(Debug)]
pub(super) struct Body {
    framing: Framing,
    text: Vec<u8>,
    /// Bytes of the body so far, kept or not.
    seen: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    UntilClose,
    Chunked(Chunk),
    Ended,
}

#[derive(Debug, PartialEq, Eq)]
enum Chunk {
    /// In the line that gives a chunk's size; `digits` of them so far, before any extension.
    Size {
        size: u64,
        digits: u8,
        extension: bool,
    },
    Data(u64),
    /// In the line end behind a chunk's data.
    DataEnd,
    /// In a line of the trailer, `len` bytes into it.
    Trailer {
        len: usize,
    },
}

/// Chunks that do not follow the rules.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadChunk;

impl Body {
    /// How much of a body is kept: as much as a control line could carry.
    pub(super) const MAX_TEXT_BYTES: usize = super::MAX_LINE_BYTES;

    pub(super) fn of(head: &ReplyHead) -> Self {
        let framing = match head {
            _ if head.code() < 200 || head.code() == 204 || head.code() == 304 => Framing::Ended,
            ReplyHead { chunked: true, .. } => Framing::Chunked(Chunk::Size {
                size: 0,
                digits: 0,
                extension: false,
            }),
            ReplyHead {
                content_length: Some(0),
                ..
            } => Framing::Ended,
            ReplyHead {
                content_length: Some(length),
                ..
            } => Framing::Length(*length),
            _ => Framing::UntilClose,
        };
        Self {
            framing,
            text: Vec::new(),
            seen: 0,
        }
    }

    /// Takes what belongs to the body off `input`; true once the body has ended.
    pub(super) fn receive(&mut self, input: &mut &[u8]) -> Result<bool, BadChunk> {
        while !input.is_empty() && self.framing != Framing::Ended {
            match &mut self.framing {
                Framing::Ended => break,
                Framing::UntilClose => {
                    let len = input.len() as u64;
                    self.keep(input, len);
                }
                Framing::Length(left) => {
                    let left = *left;
                    let taken = self.keep(input, left);
                    self.framing = match left - taken {
                        0 => Framing::Ended,
                        left => Framing::Length(left),
                    };
                }
                Framing::Chunked(Chunk::Data(left)) => {
                    let left = *left;
                    let taken = self.keep(input, left);
                    self.framing = Framing::Chunked(match left - taken {
                        0 => Chunk::DataEnd,
                        left => Chunk::Data(left),
                    });
                }
                Framing::Chunked(chunk) => {
                    let byte = input[0];
                    *input = &input[1..];
                    if chunk.line_byte(byte)? {
                        self.framing = Framing::Ended;
                    }
                }
            }
        }
        Ok(self.framing == Framing::Ended)
    }

    /// Whether the end of the connection is the end of the body.
    pub(super) fn may_end(&self) -> bool {
        matches!(self.framing, Framing::UntilClose | Framing::Ended)
    }

    /// Bytes of the body so far.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// The body's beginning.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    fn keep(&mut self, input: &mut &[u8], limit: u64) -> u64 {
        let len = usize::try_from(limit).map_or(input.len(), |limit| limit.min(input.len()));
        let (data, rest) = input.split_at(len);
        *input = rest;
        let room = Self::MAX_TEXT_BYTES - self.text.len();
        self.text.extend_from_slice(&data[..room.min(len)]);
        self.seen += len as u64;
        len as u64
    }
}

impl Chunk {
    /// Longer lines than this have no business among the chunks of an error text.
    const MAX_TRAILER_LINE: usize = 1024;

    /// Takes a byte outside of data; true at the end of the body.
    fn line_byte(&mut self, byte: u8) -> Result<bool, BadChunk> {
        match self {
            Self::Size {
                size,
                digits,
                extension,
            } => match byte {
                b'\n' if *digits == 0 => return Err(BadChunk),
                b'\n' if *size == 0 => *self = Self::Trailer { len: 0 },
                b'\n' => *self = Self::Data(*size),
                b'\r' | b' ' | b'\t' | b';' => *extension = true,
                _ if *extension => {}
                _ => {
                    let digit = char::from(byte).to_digit(16).ok_or(BadChunk)?;
                    // Eight digits are 4 GiB: far over every limit, and far from overflow.
                    if *digits == 8 {
                        return Err(BadChunk);
                    }
                    *digits += 1;
                    *size = *size << 4 | u64::from(digit);
                }
            },
            Self::DataEnd => match byte {
                b'\r' => {}
                b'\n' => {
                    *self = Self::Size {
                        size: 0,
                        digits: 0,
                        extension: false,
                    };
                }
                _ => return Err(BadChunk),
            },
            Self::Trailer { len } => match byte {
                b'\n' if *len == 0 => return Ok(true),
                b'\n' => *len = 0,
                b'\r' => {}
                _ if *len == Self::MAX_TRAILER_LINE => return Err(BadChunk),
                _ => *len += 1,
            },
            Self::Data(_) => unreachable!("data is taken in whole slices"),
        }
        Ok(false)
    }
}
