//! The 512 bytes before each entry: POSIX.1-1988 (ustar), with the extensions of GNU tar and of pax.

/// Bytes of a header, and what contents are padded to a multiple of.
pub(crate) const BLOCK: usize = 512;

pub(crate) type Block = [u8; BLOCK];

const NAME: std::ops::Range<usize> = 0..100;
const MODE: std::ops::Range<usize> = 100..108;
const UID: std::ops::Range<usize> = 108..116;
const GID: std::ops::Range<usize> = 116..124;
const SIZE: std::ops::Range<usize> = 124..136;
const MTIME: std::ops::Range<usize> = 136..148;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;
const LINK: std::ops::Range<usize> = 157..257;
const MAGIC: std::ops::Range<usize> = 257..265;
const USER: std::ops::Range<usize> = 265..297;
const GROUP: std::ops::Range<usize> = 297..329;
const DEVICE_MAJOR: std::ops::Range<usize> = 329..337;
const DEVICE_MINOR: std::ops::Range<usize> = 337..345;
const PREFIX: std::ops::Range<usize> = 345..500;

/// What an entry is: its type flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Regular,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
    /// Type 7, a regular file for every system of today.
    Contiguous,
    /// A record of GNU tar or pax about the next entry, or something that nobody knows.
    Other(u8),
}

impl Kind {
    pub(crate) fn flag(self) -> u8 {
        match self {
            Self::Regular => b'0',
            Self::HardLink => b'1',
            Self::Symlink => b'2',
            Self::CharDevice => b'3',
            Self::BlockDevice => b'4',
            Self::Directory => b'5',
            Self::Fifo => b'6',
            Self::Contiguous => b'7',
            Self::Other(flag) => flag,
        }
    }

    /// The file type bits of `st_mode`; those of a regular file for what is none of the kinds.
    pub(crate) fn unix_type(self) -> u32 {
        match self {
            Self::Symlink => 0o120_000,
            Self::CharDevice => 0o020_000,
            Self::BlockDevice => 0o060_000,
            Self::Directory => 0o040_000,
            Self::Fifo => 0o010_000,
            Self::Regular | Self::HardLink | Self::Contiguous | Self::Other(_) => 0o100_000,
        }
    }

    /// Whether bytes of content follow the header. Sizes in the headers of the others mean nothing.
    pub(crate) fn has_content(self) -> bool {
        matches!(self, Self::Regular | Self::Contiguous | Self::Other(_))
    }
}

/// A header that was read.
#[derive(Clone, Copy)]
pub(crate) struct Header<'a>(pub(crate) &'a Block);

impl<'a> Header<'a> {
    pub(crate) fn is_zero(self) -> bool {
        self.0.iter().all(|&byte| byte == 0)
    }

    /// Whether the checksum holds; old programs summed signed bytes.
    pub(crate) fn checksum_holds(self) -> bool {
        let (unsigned, signed) = sums(self.0);
        number(&self.0[CHECKSUM]).is_some_and(|stated| stated == unsigned || stated == signed)
    }

    pub(crate) fn kind(self, name: &[u8]) -> Kind {
        match self.0[KIND] {
            // Before POSIX a slash at the end was what made a directory.
            0 if name.ends_with(b"/") => Kind::Directory,
            0 | b'0' => Kind::Regular,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            b'7' => Kind::Contiguous,
            flag => Kind::Other(flag),
        }
    }

    /// The type flag as it is.
    pub(crate) fn flag(self) -> u8 {
        self.0[KIND]
    }

    /// Puts prefix and name together in `name`.
    pub(crate) fn read_name(self, name: &mut Vec<u8>) {
        name.clear();
        // GNU tar has times where POSIX has the prefix.
        if self.0[MAGIC][..6] == *b"ustar\0" {
            name.extend_from_slice(text(&self.0[PREFIX]));
            if !name.is_empty() {
                name.push(b'/');
            }
        }
        name.extend_from_slice(text(&self.0[NAME]));
    }

    pub(crate) fn link(self) -> &'a [u8] {
        text(&self.0[LINK])
    }

    pub(crate) fn mode(self) -> Option<i64> {
        number(&self.0[MODE])
    }

    pub(crate) fn size(self) -> Option<i64> {
        number(&self.0[SIZE])
    }

    pub(crate) fn mtime(self) -> Option<i64> {
        number(&self.0[MTIME])
    }
}

/// Makes a ustar header. What does not fit is said, so that a pax record can say it.
pub(crate) struct HeaderWriter(Block);

impl HeaderWriter {
    pub(crate) fn new(kind: Kind) -> Self {
        let mut block = [0; BLOCK];
        block[KIND] = kind.flag();
        block[MAGIC].copy_from_slice(b"ustar\x0000");
        let mut header = Self(block);
        for field in [UID, GID, SIZE, MTIME, DEVICE_MAJOR, DEVICE_MINOR] {
            header.octal(field, 0);
        }
        header
    }

    /// Whether `name` fits, whole or cut at a slash.
    pub(crate) fn name(&mut self, name: &[u8]) -> bool {
        if !name.is_ascii() {
            return false;
        }
        if name.len() <= NAME.len() {
            self.0[NAME][..name.len()].copy_from_slice(name);
            return true;
        }
        // The last slash that leaves a prefix that fits; a slash at the end of the name does not cut.
        let cut = name[..name.len() - 1]
            .iter()
            .take(PREFIX.len() + 1)
            .rposition(|&byte| byte == b'/');
        let Some(cut) = cut else { return false };
        let (prefix, rest) = (&name[..cut], &name[cut + 1..]);
        if prefix.is_empty() || rest.len() > NAME.len() {
            return false;
        }
        self.0[PREFIX][..prefix.len()].copy_from_slice(prefix);
        self.0[NAME][..rest.len()].copy_from_slice(rest);
        true
    }

    /// A name for readers that do not know the record before: what is left of `name` in ASCII.
    pub(crate) fn stand_in_name(&mut self, name: &[u8]) {
        self.0[PREFIX].fill(0);
        self.0[NAME].fill(0);
        let ascii = name.iter().filter(|byte| byte.is_ascii());
        for (to, &from) in self.0[NAME].iter_mut().zip(ascii) {
            *to = from;
        }
    }

    pub(crate) fn link(&mut self, link: &[u8]) -> bool {
        self.short_text(LINK, link, LINK.len())
    }

    pub(crate) fn user(&mut self, name: &[u8]) -> bool {
        self.short_text(USER, name, USER.len() - 1)
    }

    pub(crate) fn group(&mut self, name: &[u8]) -> bool {
        self.short_text(GROUP, name, GROUP.len() - 1)
    }

    pub(crate) fn mode(&mut self, mode: u32) -> bool {
        self.octal(MODE, mode.into())
    }

    pub(crate) fn uid(&mut self, uid: u32) -> bool {
        self.octal(UID, uid.into())
    }

    pub(crate) fn gid(&mut self, gid: u32) -> bool {
        self.octal(GID, gid.into())
    }

    pub(crate) fn size(&mut self, size: u64) -> bool {
        self.octal(SIZE, size)
    }

    pub(crate) fn mtime(&mut self, seconds: i64) -> bool {
        u64::try_from(seconds).is_ok_and(|seconds| self.octal(MTIME, seconds))
    }

    pub(crate) fn device(&mut self, major: u32, minor: u32) -> bool {
        self.octal(DEVICE_MAJOR, major.into()) & self.octal(DEVICE_MINOR, minor.into())
    }

    pub(crate) fn finish(mut self) -> Block {
        let (sum, _) = sums(&self.0);
        // Six digits, NUL and a blank: the one field with a form of its own.
        let text = format!("{sum:06o}\0 ");
        self.0[CHECKSUM].copy_from_slice(text.as_bytes());
        self.0
    }

    fn short_text(&mut self, field: std::ops::Range<usize>, text: &[u8], most: usize) -> bool {
        let fits = text.len() <= most && text.is_ascii() && !text.contains(&0);
        if fits {
            self.0[field][..text.len()].copy_from_slice(text);
        }
        fits
    }

    /// Octal digits over the whole field and a NUL; nothing is changed if they do not fit.
    fn octal(&mut self, field: std::ops::Range<usize>, number: u64) -> bool {
        let digits = field.len() - 1;
        if number >> (3 * digits) != 0 {
            return false;
        }
        for (at, digit) in self.0[field].iter_mut().take(digits).rev().enumerate() {
            *digit = b'0' + ((number >> (3 * at)) & 7) as u8;
        }
        true
    }
}

fn sums(block: &Block) -> (i64, i64) {
    let (mut unsigned, mut signed) = (0, 0);
    for (at, &byte) in block.iter().enumerate() {
        // The field itself counts as blanks.
        let byte = if CHECKSUM.contains(&at) { b' ' } else { byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    (unsigned, signed)
}

/// A text field up to its NUL.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&byte| byte == 0);
    &field[..end.unwrap_or(field.len())]
}

/// A number in octal digits or, with the highest bit set, as a big-endian two's complement number. Nothing at all is 0.
fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        // Bit 6 is the sign; the first byte has six bits of the number itself.
        let first = i64::from(((field[0] << 1).cast_signed()) >> 1);
        return field[1..].iter().try_fold(first, |number, &byte| {
            Some(number.checked_mul(256)? | i64::from(byte))
        });
    }
    let field = text(trim(field));
    field.iter().try_fold(0i64, |number, &digit| {
        let digit = char::from(digit).to_digit(8)?;
        number.checked_mul(8)?.checked_add(digit.into())
    })
}

fn trim(mut field: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    while let [first, rest @ ..] = field
        && blank(first)
    {
        field = rest;
    }
    while let [rest @ .., last] = field
        && blank(last)
    {
        field = rest;
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_two_s_complement() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"77777777"), Some(0o77_777_777));
        assert_eq!(number(&[0; 8]), Some(0));
        assert_eq!(number(b"0000648\0"), None);
        assert_eq!(number(b"-000644\0"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 2]), Some(258));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        let mut large = [0xff; 12];
        large[0] = 0x80;
        assert_eq!(number(&large), None, "more than 63 bits");
    }

    #[test]
    fn long_names_are_cut_at_a_slash() {
        let directory = "d".repeat(99);
        let name = format!("{directory}/{}/", "n".repeat(60));
        let mut header = HeaderWriter::new(Kind::Directory);
        assert!(header.name(name.as_bytes()));
        let block = header.finish();
        let mut read = Vec::new();
        assert!(Header(&block).checksum_holds());
        Header(&block).read_name(&mut read);
        assert_eq!(read, name.as_bytes());
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let mut header = HeaderWriter::new(Kind::Regular);
        assert!(!header.name(&[b'n'; 101]));
        assert!(!header.name("é".as_bytes()));
        assert!(!header.name(format!("/{}", "n".repeat(100)).as_bytes()));
        assert!(header.size(0o77_777_777_777));
        assert!(!header.size(1 << 33));
        assert!(!header.mtime(-1));
        assert!(!header.uid(1 << 21));
    }
}
