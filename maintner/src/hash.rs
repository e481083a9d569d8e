use std::error::Error;
use std::fmt::{self, Debug, Display, Formatter};
use std::str::FromStr;

/// The SHA-1 name of a git object; of a commit here, nearly always.
///
/// Displayed as 40 lower-case hexadecimal digits, and parsed from such, upper case included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GitHash(pub [u8; 20]);

impl GitHash {
    pub(crate) fn from_hex(hex: &[u8]) -> Option<Self> {
        let hex: &[u8; 40] = hex.try_into().ok()?;
        let mut hash = [0; 20];
        for (byte, digits) in hash.iter_mut().zip(hex.chunks_exact(2)) {
            let (high, low) = (
                DIGITS[usize::from(digits[0])],
                DIGITS[usize::from(digits[1])],
            );
            // Only what is no digit has high bits.
            if (high | low) & 0xf0 != 0 {
                return None;
            }
            *byte = high << 4 | low;
        }
        Some(Self(hash))
    }
}

/// The values of hexadecimal digits, and 0xff for all else.
const DIGITS: [u8; 256] = {
    let mut digits = [0xff; 256];
    let mut n = 0;
    while n < 16 {
        digits[b"0123456789abcdef"[n] as usize] = n as u8;
        digits[b"0123456789ABCDEF"[n] as usize] = n as u8;
        n += 1;
    }
    digits
};

impl Display for GitHash {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Debug for GitHash {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl FromStr for GitHash {
    type Err = ParseHashError;

    fn from_str(hex: &str) -> Result<Self, ParseHashError> {
        Self::from_hex(hex.as_bytes()).ok_or(ParseHashError(()))
    }
}

/// A text is not 40 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseHashError(());

impl Display for ParseHashError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a hash is 40 hexadecimal digits")
    }
}

impl Error for ParseHashError {}
