use std::fmt::{self, Debug, Display, Formatter};

use sha2::{Digest as _, Sha224};

/// A SHA-224.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum([u8; 28]);

impl Sum {
    /// Of what a hasher has seen so far.
    pub(crate) fn of(hasher: &Sha224) -> Self {
        Self(hasher.clone().finalize().into())
    }

    /// From 56 lower-case hexadecimal digits.
    pub(crate) fn parse(hex: &str) -> Option<Self> {
        let hex = hex.as_bytes();
        if hex.len() != 56 {
            return None;
        }
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut sum = [0; 28];
        for (byte, pair) in sum.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(sum))
    }
}

impl Display for Sum {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Debug for Sum {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_56_lower_case_digits() {
        let hex = "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f";
        assert_eq!(Sum::of(&Sha224::new()).to_string(), hex);
        assert_eq!(Sum::parse(hex).unwrap().to_string(), hex);
        for bad in [
            "",
            "d1",
            &hex.to_uppercase(),
            &hex[1..],
            &format!("{hex}0"),
            &hex.replace('d', "/"),
        ] {
            assert_eq!(Sum::parse(bad), None);
        }
    }
}
