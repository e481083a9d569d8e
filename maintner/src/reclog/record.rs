use std::error::Error;
use std::fmt::{self, Display, Formatter};

/// The longest header that is read, `REC@` and `=` included. A written one has 37 bytes at most.
pub const MAX_HEADER_LEN: usize = 40;

/// How far the end of a header is looked for, as upstream's reader has it: without `=` in these bytes it is another error
/// than a header that is too long.
const SEARCH_LEN: usize = 4096;

const PREFIX: &[u8] = b"REC@";

/// A record of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where the record begins in its file.
    pub offset: u64,
    /// What was recorded; for a mutation log, a mutation.
    pub payload: &'a [u8],
    /// Where the next record begins.
    pub end: u64,
}

/// Splits the first record off `log`.
///
/// `offset` is where `log[0]` lies in its file, in bytes; the header must repeat it. Returns the record and the rest, or
/// `None` if `log` is empty, which is a clean end.
///
/// Leading zeros and upper-case digits are accepted, as upstream does.
///
/// # Errors
///
/// [`RecordError::EndInHeader`] and [`RecordError::Truncated`] may heal once more bytes arrive; the others do not.
pub fn decode(log: &[u8], offset: u64) -> Result<Option<(Record<'_>, &[u8])>, RecordError> {
    if log.is_empty() {
        return Ok(None);
    }
    let (header_len, len) = decode_header(log, offset)?;
    let rest = &log[header_len..];
    let have = rest.len() as u64;
    let Some((payload, rest)) = usize::try_from(len)
        .ok()
        .and_then(|len| rest.split_at_checked(len))
    else {
        return Err(RecordError::Truncated {
            offset,
            want: len,
            have,
        });
    };
    let end = offset + header_len as u64 + len;
    Ok(Some((
        Record {
            offset,
            payload,
            end,
        },
        rest,
    )))
}

/// The length of the header that `log` begins with, and of the payload behind it.
#[inline]
pub(crate) fn decode_header(log: &[u8], offset: u64) -> Result<(usize, u64), RecordError> {
    match sound_header(log, offset) {
        Some(header) => Ok(header),
        None => decode_any_header(log, offset),
    }
}

/// As [`decode_any_header`], for headers that have nothing wrong or unusual.
#[inline]
fn sound_header(log: &[u8], offset: u64) -> Option<(usize, u64)> {
    let (stated, rest) = sound_number(log.strip_prefix(PREFIX)?, b'+')?;
    let (len, rest) = sound_number(rest, b'=')?;
    let header_len = log.len() - rest.len();
    (stated == offset).then_some((header_len, len))
}

/// A number of at most 15 digits, of which two make a header that is short enough and a sum that fits, and what stands behind its `end`.
#[inline]
fn sound_number(digits: &[u8], end: u8) -> Option<(u64, &[u8])> {
    let mut n = 0;
    for (at, &byte) in digits.iter().enumerate().take(16) {
        match DIGITS[usize::from(byte)] {
            NO_DIGIT => return (byte == end && at > 0).then(|| (n, &digits[at + 1..])),
            digit => n = n << 4 | u64::from(digit),
        }
    }
    None
}

const NO_DIGIT: u8 = 0xff;

/// What each byte is as a hexadecimal digit.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut n = 0;
    while n < 16 {
        digits[b"0123456789abcdef"[n as usize] as usize] = n;
        digits[b"0123456789ABCDEF"[n as usize] as usize] = n;
        n += 1;
    }
    digits
};

fn decode_any_header(log: &[u8], offset: u64) -> Result<(usize, u64), RecordError> {
    let window = &log[..log.len().min(SEARCH_LEN)];
    let Some(equals) = memchr::memchr(b'=', window) else {
        return Err(match window.len() {
            SEARCH_LEN => RecordError::EndlessHeader { offset },
            have => RecordError::EndInHeader { offset, have },
        });
    };
    let header_len = equals + 1;
    if header_len > MAX_HEADER_LEN {
        return Err(RecordError::OverlongHeader { offset });
    }
    let malformed = RecordError::MalformedHeader { offset };
    let Some(numbers) = log[..equals].strip_prefix(PREFIX) else {
        return Err(malformed);
    };
    let Some(plus) = memchr::memchr(b'+', numbers) else {
        return Err(malformed);
    };
    let (stated, len) = (&numbers[..plus], &numbers[plus + 1..]);
    if len.contains(&b'+') {
        return Err(malformed);
    }
    let stated = hex(stated).ok_or(RecordError::BadOffset { offset })?;
    let len = hex(len).ok_or(RecordError::BadLength { offset })?;
    if stated != offset {
        return Err(RecordError::WrongOffset { offset, stated });
    }
    if offset
        .checked_add(header_len as u64)
        .and_then(|start| start.checked_add(len))
        .is_none()
    {
        return Err(RecordError::BadLength { offset });
    }
    Ok((header_len, len))
}

/// A number of the header: at most what a signed 64-bit integer holds, as upstream reads one. No sign.
fn hex(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut n = 0_i64;
    for &digit in digits {
        let digit = char::from(digit).to_digit(16)?;
        n = n.checked_mul(16)?.checked_add(i64::from(digit))?;
    }
    u64::try_from(n).ok()
}

/// Appends a record to `log`, whose first byte lies at `base` in its file.
pub fn encode_into(log: &mut Vec<u8>, base: u64, payload: &[u8]) {
    let offset = base + log.len() as u64;
    log.reserve(MAX_HEADER_LEN + payload.len());
    log.extend_from_slice(PREFIX);
    push_hex(log, offset);
    log.push(b'+');
    push_hex(log, payload.len() as u64);
    log.push(b'=');
    log.extend_from_slice(payload);
}

fn push_hex(log: &mut Vec<u8>, n: u64) {
    let digits = (u64::BITS - n.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        log.push(b"0123456789abcdef"[(n >> (4 * place)) as usize & 0xf]);
    }
}

/// The records of a slice, in order; ends after the first error.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    offset: u64,
    failed: bool,
}

impl<'a> Records<'a> {
    /// `offset` is where `log[0]` lies in its file, in bytes.
    #[must_use]
    pub fn new(log: &'a [u8], offset: u64) -> Self {
        Self {
            rest: log,
            offset,
            failed: false,
        }
    }

    /// Where the next record begins: after an error, the one that could not be read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match decode(self.rest, self.offset) {
            Ok(None) => None,
            Ok(Some((record, rest))) => {
                self.rest = rest;
                self.offset = record.end;
                Some(Ok(record))
            }
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}

impl std::iter::FusedIterator for Records<'_> {}

/// What is wrong with a record. `offset` is where it begins in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum RecordError {
    /// The log ends before the header does, as it may after a crash in the middle of appending.
    EndInHeader { offset: u64, have: usize },
    /// There is no `=` in 4096 bytes.
    EndlessHeader { offset: u64 },
    /// The header is longer than [`MAX_HEADER_LEN`].
    OverlongHeader { offset: u64 },
    /// It does not begin with `REC@`, or has not exactly one `+`.
    MalformedHeader { offset: u64 },
    /// The offset is no hexadecimal number.
    BadOffset { offset: u64 },
    /// The length is no hexadecimal number, or none that a file can have.
    BadLength { offset: u64 },
    /// The header states another offset than the one at which it was found.
    WrongOffset { offset: u64, stated: u64 },
    /// The log ends before the payload does, as it may after a crash in the middle of appending.
    Truncated { offset: u64, want: u64, have: u64 },
}

impl RecordError {
    /// Where the record begins in its file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match *self {
            Self::EndInHeader { offset, .. }
            | Self::EndlessHeader { offset }
            | Self::OverlongHeader { offset }
            | Self::MalformedHeader { offset }
            | Self::BadOffset { offset }
            | Self::BadLength { offset }
            | Self::WrongOffset { offset, .. }
            | Self::Truncated { offset, .. } => offset,
        }
    }

    /// Whether the log ends within the record, so that more bytes may make it whole.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        matches!(self, Self::EndInHeader { .. } | Self::Truncated { .. })
    }
}

impl Display for RecordError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndInHeader { offset, have } => {
                write!(f, "the header at byte {offset} ends after {have} bytes")
            }
            Self::EndlessHeader { offset } => write!(
                f,
                "no header ends in the {SEARCH_LEN} bytes from byte {offset}"
            ),
            Self::OverlongHeader { offset } => {
                write!(
                    f,
                    "the header at byte {offset} is longer than {MAX_HEADER_LEN} bytes"
                )
            }
            Self::MalformedHeader { offset } => write!(f, "malformed header at byte {offset}"),
            Self::BadOffset { offset } => {
                write!(f, "the header at byte {offset} has a malformed offset")
            }
            Self::BadLength { offset } => {
                write!(f, "the header at byte {offset} has a malformed length")
            }
            Self::WrongOffset { offset, stated } => {
                write!(f, "the header at byte {offset} says it is at byte {stated}")
            }
            Self::Truncated { offset, want, have } => {
                write!(
                    f,
                    "the record at byte {offset} ends after {have} of {want} bytes"
                )
            }
        }
    }
}

impl Error for RecordError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_hexadecimal_and_fit_a_signed_integer() {
        assert_eq!(hex(b"0"), Some(0));
        assert_eq!(hex(b"00fF"), Some(255));
        assert_eq!(hex(b"7fffffffffffffff"), Some(i64::MAX as u64));
        for bad in ["", "-1", "+1", "8000000000000000", "g", "0x1", " 1", "1_0"] {
            assert_eq!(hex(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn the_longest_header_that_is_written_is_one_that_is_read() {
        let mut log = Vec::new();
        push_hex(&mut log, i64::MAX as u64);
        assert_eq!(log, b"7fffffffffffffff");
        assert!(PREFIX.len() + 2 * log.len() + 2 <= MAX_HEADER_LEN);
    }

    #[test]
    fn an_end_behind_all_numbers_is_no_record() {
        let log = format!("REC@{:x}+{:x}=", i64::MAX, i64::MAX);
        let error = decode(log.as_bytes(), i64::MAX as u64).unwrap_err();
        assert!(matches!(error, RecordError::BadLength { .. }), "{error}");
    }
}
