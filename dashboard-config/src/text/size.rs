use std::fmt;
use std::str::FromStr;

use crate::record::parsed;

const UNITS: [(&str, u64); 5] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("kB", 1000),
    ("MB", 1_000_000),
];

/// A number of bytes, written `100MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS
            .iter()
            .find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size));
        match exact {
            Some((unit, size)) => write!(f, "{}{unit}", self.0 / size),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl FromStr for ByteSize {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let size = match unit {
            "B" => 1,
            _ => UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .map(|(_, size)| *size)
                .ok_or(ParseSizeError)?,
        };
        let number: u64 = number.parse().map_err(|_| ParseSizeError)?;
        number.checked_mul(size).map(Self).ok_or(ParseSizeError)
    }
}

/// A text is no number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a size")]
pub struct ParseSizeError;

parsed!(
    ByteSize,
    "a size such as \"100MiB\", with B, kB, KiB, MB, MiB or GiB"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [
            ("0B", 0),
            ("5B", 5),
            ("100MiB", 100 << 20),
            ("3kB", 3000),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)));
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
        for bad in ["", "5", "MiB", "5 MiB", "5mib", "-5B", "99999999999GiB"] {
            assert_eq!(bad.parse::<ByteSize>(), Err(ParseSizeError), "{bad}");
        }
    }
}
