//! The gzip file format, RFC 1952: constants, header and trailer.

use zlib_rs::crc32::crc32;

use crate::config::Config;

/// First bytes of every member: the two magic bytes, and the only method there is, deflate.
pub(crate) const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// Bytes of a header without optional fields.
pub(crate) const HEADER_LEN: usize = 10;
/// Bytes of a trailer: CRC-32, then the length modulo 2^32, both little-endian.
pub(crate) const TRAILER_LEN: usize = 8;

pub(crate) const FLAG_HEADER_CRC: u8 = 1 << 1;
pub(crate) const FLAG_EXTRA: u8 = 1 << 2;
pub(crate) const FLAG_NAME: u8 = 1 << 3;
pub(crate) const FLAG_COMMENT: u8 = 1 << 4;
pub(crate) const FLAGS_RESERVED: u8 = 0b1110_0000;

/// "Unknown" in the operating system byte, as Go's `compress/gzip` and so every upstream file has it.
const OS_UNKNOWN: u8 = 255;
/// Offset of the member size within a header that has the index first.
pub(crate) const INDEX_AT: usize = 16;
/// Extra field of mgzip and gzp: four bytes, the size of the whole member.
const INDEX_MGZIP: [u8; 2] = *b"IG";
/// Extra field of BGZF (samtools): two bytes, the size of the whole member less one.
const INDEX_BGZF: [u8; 2] = *b"BC";

/// Makes a member's header. `first` members carry the name, the comment and the time of the configuration.
/// With an index, the member's size must be put at [`INDEX_AT`] when it is known.
pub(crate) fn header(config: &Config, first: bool) -> Vec<u8> {
    let name = config.file_name.as_deref().filter(|_| first);
    let comment = config.comment.as_deref().filter(|_| first);
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    let flags = flag(config.index, FLAG_EXTRA)
        | flag(name.is_some(), FLAG_NAME)
        | flag(comment.is_some(), FLAG_COMMENT);
    // RFC 1952 section 2.3.1: 2 for the slowest algorithm, 4 for the fastest. Go's package sets them for its
    // levels 9 and 1.
    let effort = match config.level {
        1 => 4,
        9.. => 2,
        _ => 0,
    };
    let mut header = Vec::with_capacity(HEADER_LEN + 12);
    header.extend(MAGIC);
    header.push(flags);
    header.extend(if first { config.mtime } else { 0 }.to_le_bytes());
    header.extend([effort, OS_UNKNOWN]);
    if config.index {
        header.extend(8u16.to_le_bytes());
        header.extend(INDEX_MGZIP);
        header.extend(4u16.to_le_bytes());
        header.extend([0; 4]);
    }
    for text in [name, comment].into_iter().flatten() {
        header.extend(text);
        header.push(0);
    }
    header
}

pub(crate) fn trailer(crc: u32, len: u64) -> [u8; TRAILER_LEN] {
    // The format keeps the low 32 bits.
    let len = (len & u64::from(u32::MAX)) as u32;
    let mut trailer = [0; TRAILER_LEN];
    trailer[..4].copy_from_slice(&crc.to_le_bytes());
    trailer[4..].copy_from_slice(&len.to_le_bytes());
    trailer
}

/// Whether `bytes` may begin a member: what is certain (magic, method, no reserved flags) and what every known
/// program writes (effort and operating system bytes).
pub(crate) fn looks_like_header(bytes: &[u8; HEADER_LEN]) -> bool {
    bytes[..3] == MAGIC
        && bytes[3] & FLAGS_RESERVED == 0
        && matches!(bytes[8], 0 | 2 | 4)
        && matches!(bytes[9], 0..=19 | 255)
}

/// The size of the whole member as its index claims, if its header begins with one. A claim, not a fact.
pub(crate) fn indexed_size(header: &[u8]) -> Option<usize> {
    let (fixed, rest) = header.split_first_chunk::<HEADER_LEN>()?;
    if fixed[3] & FLAG_EXTRA == 0 {
        return None;
    }
    let (extra_len, rest) = rest.split_first_chunk()?;
    let mut extra = rest.get(..usize::from(u16::from_le_bytes(*extra_len)))?;
    while let Some((&[id0, id1, len0, len1], rest)) = extra.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes([len0, len1]));
        let data = rest.get(..len)?;
        match ([id0, id1], data) {
            (INDEX_MGZIP, &[a, b, c, d]) => {
                return usize::try_from(u32::from_le_bytes([a, b, c, d])).ok();
            }
            (INDEX_BGZF, &[a, b]) => return Some(usize::from(u16::from_le_bytes([a, b])) + 1),
            _ => extra = &rest[len..],
        }
    }
    None
}

/// What the header of a member says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Name of the file that was compressed; ISO 8859-1 by RFC 1952, UTF-8 in practice. Somebody else's words:
    /// not a safe path. Names over 64 KiB are cut there.
    pub file_name: Option<Vec<u8>>,
    /// A comment for people, cut as the name is.
    pub comment: Option<Vec<u8>>,
    /// The extra field, not taken apart.
    pub extra: Option<Vec<u8>>,
    /// When the file was last modified, in seconds since 1970; 0 where nobody said.
    pub mtime: u32,
    /// The operating system of the compressing program, as RFC 1952 numbers them: 3 is Unix, 255 unknown.
    pub os: u8,
}

/// Longest name or comment that is kept; longer ones are read and cut.
const MAX_KEPT_TEXT: usize = 64 << 10;

/// Why a header is none; the numbers are what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Magic,
    Method(u8),
    Flags(u8),
    Checksum { stored: u16, computed: u16 },
}

/// Reads a header from pieces cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct HeaderParser {
    step: Step,
    flags: u8,
    fixed: [u8; HEADER_LEN],
    crc: u32,
    header: Header,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// So many bytes of the fixed part are there.
    Fixed(usize),
    /// The extra field's length: its first byte, if that came.
    ExtraLen(Option<u8>),
    /// So many bytes of the extra field are to come.
    Extra(usize),
    Name,
    Comment,
    /// The header's checksum: its first byte, if that came.
    Crc(Option<u8>),
    Done,
}

impl Default for Step {
    fn default() -> Self {
        Self::Fixed(0)
    }
}

impl HeaderParser {
    /// Takes bytes from the front of `input`, and returns how many; the header once it is complete.
    pub(crate) fn parse(&mut self, input: &[u8]) -> (usize, Result<Option<Header>, HeaderError>) {
        let mut used = 0;
        loop {
            self.skip_absent();
            if matches!(self.step, Step::Done) {
                return (used, Ok(Some(std::mem::take(&mut self.header))));
            }
            let rest = &input[used..];
            let Some(&byte) = rest.first() else {
                return (used, Ok(None));
            };
            let summed = !matches!(self.step, Step::Crc(_));
            let taken = match self.step {
                Step::Fixed(have) => {
                    if let Err(error) = self.fixed_byte(have, byte) {
                        return (used, Err(error));
                    }
                    1
                }
                Step::ExtraLen(None) => {
                    self.step = Step::ExtraLen(Some(byte));
                    1
                }
                Step::ExtraLen(Some(low)) => {
                    self.header.extra = Some(Vec::new());
                    self.step = Step::Extra(usize::from(u16::from_le_bytes([low, byte])));
                    1
                }
                Step::Extra(left) => {
                    let taken = left.min(rest.len());
                    self.header
                        .extra
                        .get_or_insert_default()
                        .extend(&rest[..taken]);
                    self.step = Step::Extra(left - taken);
                    taken
                }
                Step::Name => {
                    let (taken, ended) =
                        take_text(self.header.file_name.get_or_insert_default(), rest);
                    if ended {
                        self.step = Step::Comment;
                    }
                    taken
                }
                Step::Comment => {
                    let (taken, ended) =
                        take_text(self.header.comment.get_or_insert_default(), rest);
                    if ended {
                        self.step = Step::Crc(None);
                    }
                    taken
                }
                Step::Crc(None) => {
                    self.step = Step::Crc(Some(byte));
                    1
                }
                Step::Crc(Some(low)) => {
                    let stored = u16::from_le_bytes([low, byte]);
                    let computed = (self.crc & 0xffff) as u16;
                    if stored != computed {
                        return (used, Err(HeaderError::Checksum { stored, computed }));
                    }
                    self.step = Step::Done;
                    1
                }
                Step::Done => unreachable!("returned above"),
            };
            if summed {
                self.crc = crc32(self.crc, &rest[..taken]);
            }
            used += taken;
        }
    }

    /// How many bytes of the fixed part were taken, while nothing else was.
    pub(crate) fn fixed_bytes(&self) -> Option<usize> {
        match self.step {
            Step::Fixed(have) => Some(have),
            _ => None,
        }
    }

    fn fixed_byte(&mut self, at: usize, byte: u8) -> Result<(), HeaderError> {
        match at {
            0 | 1 if byte != MAGIC[at] => return Err(HeaderError::Magic),
            2 if byte != MAGIC[2] => return Err(HeaderError::Method(byte)),
            3 if byte & FLAGS_RESERVED != 0 => return Err(HeaderError::Flags(byte)),
            _ => {}
        }
        self.fixed[at] = byte;
        self.step = Step::Fixed(at + 1);
        if at + 1 == HEADER_LEN {
            let [_, _, _, flags, m0, m1, m2, m3, _, os] = self.fixed;
            self.flags = flags;
            self.header.mtime = u32::from_le_bytes([m0, m1, m2, m3]);
            self.header.os = os;
            self.step = Step::ExtraLen(None);
        }
        Ok(())
    }

    /// Goes past the fields that the flags do not announce, and past an extra field that is complete.
    fn skip_absent(&mut self) {
        loop {
            self.step = match self.step {
                Step::ExtraLen(None) if self.flags & FLAG_EXTRA == 0 => Step::Name,
                Step::Extra(0) => Step::Name,
                Step::Name if self.flags & FLAG_NAME == 0 => Step::Comment,
                Step::Comment if self.flags & FLAG_COMMENT == 0 => Step::Crc(None),
                Step::Crc(None) if self.flags & FLAG_HEADER_CRC == 0 => Step::Done,
                _ => return,
            };
        }
    }
}

/// Takes text up to and with its zero byte; returns the bytes taken and whether the zero byte was among them.
fn take_text(text: &mut Vec<u8>, input: &[u8]) -> (usize, bool) {
    let end = input.iter().position(|&b| b == 0);
    let piece = &input[..end.unwrap_or(input.len())];
    let room = MAX_KEPT_TEXT - text.len();
    text.extend(&piece[..piece.len().min(room)]);
    (piece.len() + usize::from(end.is_some()), end.is_some())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn parse_whole(bytes: &[u8]) -> (usize, Result<Option<Header>, HeaderError>) {
        HeaderParser::default().parse(bytes)
    }

    #[test]
    fn the_default_header_is_upstreams() {
        let config = Config::default();
        let upstream = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
        assert_eq!(header(&config, true), upstream);
        assert_eq!(header(&config, false), upstream);
    }

    #[test]
    fn headers_read_back_however_they_are_cut() {
        let config = Config::default()
            .index(true)
            .file_name("a.tar")
            .comment("hi")
            .mtime(1_000_000_000);
        let mut bytes = header(&config, true);
        bytes[3] |= FLAG_HEADER_CRC;
        let crc = (crc32(0, &bytes) & 0xffff) as u16;
        bytes.extend(crc.to_le_bytes());
        let (used, whole) = parse_whole(&bytes);
        assert_eq!(used, bytes.len());
        let whole = whole.unwrap().unwrap();
        assert_eq!(whole.file_name.as_deref(), Some(&b"a.tar"[..]));
        assert_eq!(whole.comment.as_deref(), Some(&b"hi"[..]));
        assert_eq!((whole.mtime, whole.os), (1_000_000_000, 255));
        for cut in 1..bytes.len() {
            let mut parser = HeaderParser::default();
            assert_eq!(parser.parse(&bytes[..cut]), (cut, Ok(None)));
            assert_eq!(
                parser.parse(&bytes[cut..]),
                (bytes.len() - cut, Ok(Some(whole.clone())))
            );
        }
    }

    #[test]
    fn bad_headers_are_told_apart() {
        let good = header(&Config::default(), true);
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            parse_whole(&bad)
        };
        assert_eq!(with(0, 0), (0, Err(HeaderError::Magic)));
        assert_eq!(with(1, 0), (1, Err(HeaderError::Magic)));
        assert_eq!(with(2, 7), (2, Err(HeaderError::Method(7))));
        assert_eq!(with(3, 0x80), (3, Err(HeaderError::Flags(0x80))));
        let mut sum = good.clone();
        sum[3] = FLAG_HEADER_CRC;
        let computed = (crc32(0, &sum) & 0xffff) as u16;
        sum.extend((!computed).to_le_bytes());
        let expected = HeaderError::Checksum {
            stored: !computed,
            computed,
        };
        assert_eq!(parse_whole(&sum), (11, Err(expected)));
    }

    #[test]
    fn both_kinds_of_index_are_found_behind_other_fields() {
        let with_extra = |extra: &[u8]| {
            let mut header = header(&Config::default(), true);
            header[3] = FLAG_EXTRA;
            header.extend((extra.len() as u16).to_le_bytes());
            header.extend(extra);
            indexed_size(&header)
        };
        assert_eq!(with_extra(b"IG\x04\x00\x01\x02\x03\x00"), Some(0x0003_0201));
        assert_eq!(with_extra(b"XX\x01\x00?BC\x02\x00\xff\x00"), Some(256));
        assert_eq!(with_extra(b"IG\x03\x00\x01\x02\x03"), None);
        assert_eq!(with_extra(b"IG\xff\xff"), None);
        assert_eq!(indexed_size(&header(&Config::default(), true)), None);
    }
}
