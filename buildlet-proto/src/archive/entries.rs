//! Reads the entries of a tar stream.
//!
//! Not by the crate `tar`: that reads records about the next entry into memory however long they say they are, and cuts pax
//! records at newlines instead of at their lengths, so that it can see another name than every other program does.

use std::io::{self, BufRead};

use super::error::HeaderFault;
use super::header::{BLOCK, Block, Header, Kind};
use super::timestamp::Timestamp;

/// Bytes that a record about the next entry may have: Go's limit.
const MAX_RECORD: u64 = 1 << 20;

/// What a header and the records before it say.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) mtime: Timestamp,
    /// Bytes of content; 0 for what has none.
    pub(crate) size: u64,
    /// Where its header begins, in the tar stream.
    pub(crate) offset: u64,
}

/// Why there is no next entry.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It is not tar.
    Header(HeaderFault),
    /// The stream cannot be read, or ends early.
    Read(io::Error),
    /// The stream is longer than anybody wants.
    TooLong { most: u64 },
}

impl From<HeaderFault> for Fault {
    fn from(fault: HeaderFault) -> Self {
        Self::Header(fault)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

pub(crate) struct Entries<R> {
    source: R,
    /// Bytes read so far, and how many there may be.
    offset: u64,
    limit: u64,
    /// Bytes of the entry's content that are not read yet, and of the padding behind it.
    content: u64,
    padding: u64,
    /// The zero blocks at the end of an archive were read.
    ended: bool,
    /// What pax records say about the next entry.
    record: Vec<u8>,
}

impl<R: BufRead> Entries<R> {
    pub(crate) fn new(source: R, limit: u64) -> Self {
        Self {
            source,
            offset: 0,
            limit,
            content: 0,
            padding: 0,
            ended: false,
            record: Vec::new(),
        }
    }

    /// Bytes of the tar stream read so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the archive has an end, and was not just over.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Reads what is left.
    pub(crate) fn read_to_end(&mut self) -> Result<(), Fault> {
        loop {
            let len = fill(&mut self.source)?.len();
            if len == 0 {
                return Ok(());
            }
            self.source.consume(len);
            self.offset = self.offset.saturating_add(len as u64);
            self.check_limit()?;
        }
    }

    fn check_limit(&self) -> Result<(), Fault> {
        if self.offset > self.limit {
            return Err(Fault::TooLong { most: self.limit });
        }
        Ok(())
    }

    /// Reads the next header into `entry`; whether there was one. Content that was left is passed over.
    pub(crate) fn next(&mut self, entry: &mut Entry) -> Result<bool, Fault> {
        let (mut long_name, mut long_link) = (None, None);
        let mut pax = None;
        loop {
            self.pass_content()?;
            self.check_limit()?;
            entry.offset = self.offset;
            let mut block = [0; BLOCK];
            if !self.read_header(&mut block)? {
                // A record about an entry that does not come is a stream that was cut.
                if long_name.is_some() || long_link.is_some() || pax.is_some() {
                    return Err(unexpected_end().into());
                }
                return Ok(false);
            }
            let header = Header(&block);
            if !header.checksum_holds() {
                return Err(HeaderFault::Checksum.into());
            }
            let size = header.size().and_then(|size| u64::try_from(size).ok());
            match header.flag() {
                b'g' => {
                    // For all entries that follow; git writes a comment. Nothing in it is wanted.
                    self.begin_content(size.ok_or(HeaderFault::Number("size"))?)?;
                }
                b'x' => {
                    self.read_record(size)?;
                    let records = Pax::parse(&self.record)?;
                    if pax.replace(records).is_some() {
                        return Err(HeaderFault::TwoRecords.into());
                    }
                }
                flag @ (b'L' | b'K') => {
                    self.read_record(size)?;
                    let end = self.record.iter().position(|&byte| byte == 0);
                    let text = self.record[..end.unwrap_or(self.record.len())].to_vec();
                    let place = match flag {
                        b'L' => &mut long_name,
                        _ => &mut long_link,
                    };
                    if place.replace(text).is_some() {
                        return Err(HeaderFault::TwoRecords.into());
                    }
                }
                b'S' => return Err(HeaderFault::Sparse.into()),
                _ => {
                    self.describe(entry, header, pax, long_name, long_link)?;
                    return Ok(true);
                }
            }
        }
    }

    fn describe(
        &mut self,
        entry: &mut Entry,
        header: Header<'_>,
        pax: Option<Pax>,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<(), Fault> {
        let pax = pax.unwrap_or_default();
        header.read_name(&mut entry.name);
        if let Some(name) = long_name.or(pax.path) {
            entry.name = name;
        }
        entry.link.clear();
        entry.link.extend_from_slice(header.link());
        if let Some(link) = long_link.or(pax.link) {
            entry.link = link;
        }
        let kind = header.kind(&entry.name);
        entry.kind = kind;
        let mode = header.mode().ok_or(HeaderFault::Number("mode"))?;
        entry.mode = (mode & 0o7777) as u32;
        entry.mtime = match pax.mtime {
            Some(mtime) => mtime,
            None => Timestamp::new(header.mtime().ok_or(HeaderFault::Number("mtime"))?, 0),
        };
        entry.size = 0;
        if kind.has_content() {
            let stated = header.size().and_then(|size| u64::try_from(size).ok());
            entry.size = pax.size.or(stated).ok_or(HeaderFault::Number("size"))?;
        }
        self.begin_content(entry.size)
    }

    /// The next piece of the entry's content, empty at its end. [`consume`](Self::consume) what was used.
    pub(crate) fn content(&mut self) -> io::Result<&[u8]> {
        if self.content == 0 {
            return Ok(&[]);
        }
        let piece = fill(&mut self.source)?;
        if piece.is_empty() {
            return Err(unexpected_end());
        }
        let len = piece
            .len()
            .min(usize::try_from(self.content).unwrap_or(usize::MAX));
        Ok(&piece[..len])
    }

    pub(crate) fn consume(&mut self, len: usize) {
        self.source.consume(len);
        self.content -= len as u64;
        self.offset += len as u64;
    }

    fn begin_content(&mut self, size: u64) -> Result<(), Fault> {
        // Not more than the offset can count.
        let end = self.offset.checked_add(size);
        let end = end.and_then(|end| end.checked_next_multiple_of(BLOCK as u64));
        let end = end.ok_or(HeaderFault::Number("size"))?;
        self.content = size;
        self.padding = end - self.offset - size;
        Ok(())
    }

    fn pass_content(&mut self) -> io::Result<()> {
        while self.content > 0 {
            let len = self.content()?.len();
            self.consume(len);
        }
        while self.padding > 0 {
            let piece = fill(&mut self.source)?.len();
            if piece == 0 {
                // Padding that is missing at the very end loses nothing.
                self.padding = 0;
                break;
            }
            let len = piece.min(usize::try_from(self.padding).unwrap_or(usize::MAX));
            self.source.consume(len);
            self.padding -= len as u64;
            self.offset += len as u64;
        }
        Ok(())
    }

    /// Whether a header was read; not at the end of the stream, nor at the two zero blocks that end an archive.
    fn read_header(&mut self, block: &mut Block) -> Result<bool, Fault> {
        if !self.read_block(block)? {
            return Ok(false);
        }
        if !Header(block).is_zero() {
            return Ok(true);
        }
        if self.read_block(block)? && !Header(block).is_zero() {
            return Err(HeaderFault::LoneZeroBlock.into());
        }
        self.ended = true;
        Ok(false)
    }

    /// Whether there was a block, not the end of the stream.
    fn read_block(&mut self, block: &mut Block) -> io::Result<bool> {
        let mut have = 0;
        while have < BLOCK {
            let piece = fill(&mut self.source)?;
            if piece.is_empty() {
                return match have {
                    0 => Ok(false),
                    _ => Err(unexpected_end()),
                };
            }
            let len = piece.len().min(BLOCK - have);
            block[have..have + len].copy_from_slice(&piece[..len]);
            self.source.consume(len);
            have += len;
            self.offset += len as u64;
        }
        Ok(true)
    }

    fn read_record(&mut self, size: Option<u64>) -> Result<(), Fault> {
        let size = size.ok_or(HeaderFault::Number("size"))?;
        if size > MAX_RECORD {
            return Err(HeaderFault::LongRecord { limit: MAX_RECORD }.into());
        }
        self.begin_content(size)?;
        self.record.clear();
        while self.content > 0 {
            let mut record = std::mem::take(&mut self.record);
            let piece = self.content()?;
            record.extend_from_slice(piece);
            let len = piece.len();
            self.consume(len);
            self.record = record;
        }
        Ok(())
    }
}

/// `fill_buf`, again when a signal came in between.
pub(crate) fn fill<R: BufRead>(source: &mut R) -> io::Result<&[u8]> {
    loop {
        match source.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            // Asked once more, for the borrow checker: nothing is consumed, so the same piece comes.
            Ok(_) => return source.fill_buf(),
        }
    }
}

/// The stream ends where more was announced.
pub(crate) fn unexpected_end() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "unexpected EOF")
}

/// What pax records say that matters here.
#[derive(Debug, Default, PartialEq)]
struct Pax {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    mtime: Option<Timestamp>,
}

impl Pax {
    /// Reads lines of the form `LENGTH KEY=VALUE\n`, where the length counts all of the line.
    fn parse(mut bytes: &[u8]) -> Result<Self, HeaderFault> {
        let mut pax = Self::default();
        while !bytes.is_empty() {
            let blank = bytes.iter().position(|&byte| byte == b' ');
            let blank = blank.ok_or(HeaderFault::PaxRecord)?;
            let len: usize = decimal(&bytes[..blank]).ok_or(HeaderFault::PaxRecord)?;
            let (line, rest) = bytes.split_at_checked(len).ok_or(HeaderFault::PaxRecord)?;
            let body = line
                .get(blank + 1..)
                .and_then(|body| body.strip_suffix(b"\n"));
            let body = body.ok_or(HeaderFault::PaxRecord)?;
            let equals = body.iter().position(|&byte| byte == b'=');
            let (key, value) = body.split_at(equals.ok_or(HeaderFault::PaxRecord)?);
            pax.set(key, &value[1..])?;
            bytes = rest;
        }
        Ok(pax)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), HeaderFault> {
        // An empty value takes back what was said before.
        let given = (!value.is_empty()).then_some(value);
        match key {
            b"path" => self.path = text(given)?,
            b"linkpath" => self.link = text(given)?,
            b"size" => {
                let size = given.map(|value| decimal(value).ok_or(HeaderFault::Number("size")));
                self.size = size.transpose()?;
            }
            b"mtime" => {
                let mtime =
                    given.map(|value| Timestamp::parse(value).ok_or(HeaderFault::Number("mtime")));
                self.mtime = mtime.transpose()?;
            }
            _ if key.starts_with(b"GNU.sparse.") => return Err(HeaderFault::Sparse),
            _ => {}
        }
        Ok(())
    }
}

fn text(value: Option<&[u8]>) -> Result<Option<Vec<u8>>, HeaderFault> {
    if value.is_some_and(|value| value.contains(&0)) {
        return Err(HeaderFault::PaxRecord);
    }
    Ok(value.map(<[u8]>::to_vec))
}

/// Digits and nothing else.
fn decimal<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    let plain = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits)
        .ok()
        .filter(|_| plain)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_records_are_cut_by_their_lengths() {
        let pax = Pax::parse(b"22 comment=a\n9 path=x\n12 path=y/z\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"y/z"[..]));
        let pax = Pax::parse(b"12 size=300\n22 mtime=1000000000.5\n").unwrap();
        assert_eq!(pax.size, Some(300));
        assert_eq!(pax.mtime, Some(Timestamp::new(1_000_000_000, 500_000_000)));
        let pax = Pax::parse(b"9 path=x\n8 path=\n").unwrap();
        assert_eq!(pax.path, None);
    }

    #[test]
    fn bad_pax_records_are_refused() {
        for bad in [
            &b"x path=x\n"[..],
            b"9 path=x",
            b"90 path=x\n",
            b"+9 path=x\n",
            b"6 path\n",
            b"1 path=x\n",
            b"0 ",
            b"99999999999999999999 path=x\n",
            b"12 path=x\0y\n",
            b"11 size=-1\n",
            b"9 size=x\n",
        ] {
            Pax::parse(bad).unwrap_err();
        }
        assert_eq!(
            Pax::parse(b"22 GNU.sparse.major=1\n"),
            Err(HeaderFault::Sparse)
        );
    }
}
