//! SHA-256, as people write it.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// That of all that `source` has.
    pub(crate) fn of(mut source: impl Read) -> io::Result<Self> {
        let mut hasher = Hasher::default();
        io::copy(&mut source, &mut hasher)?;
        Ok(hasher.finish())
    }

    /// The first word of a file as `sha256sum` writes it: the digest, and behind it the file's name.
    pub(crate) fn from_sum_file(text: &str) -> Result<Self, NoDigest> {
        text.split_ascii_whitespace()
            .next()
            .ok_or(NoDigest)?
            .parse()
    }
}

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let text = text.trim();
        if text.len() != 64 || !text.is_ascii() {
            return Err(NoDigest);
        }
        let mut digest = [0; 32];
        for (byte, place) in digest.iter_mut().zip((0..64).step_by(2)) {
            let pair = &text[place..place + 2];
            // A sign would be taken for part of the number.
            if !pair.bytes().all(|c| c.is_ascii_hexdigit()) {
                return Err(NoDigest);
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NoDigest)?;
        }
        Ok(Self(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoDigest;

impl fmt::Display for NoDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a SHA-256 of 64 hexadecimal digits")
    }
}

impl std::error::Error for NoDigest {}

/// Takes bytes and gives their digest.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn digests_are_read_and_written() {
        let digest = Digest::of(&b"abc"[..]).unwrap();
        assert_eq!(digest.to_string(), ABC);
        assert_eq!(ABC.to_uppercase().parse(), Ok(digest));
        assert_eq!(
            Digest::from_sum_file(&format!("{ABC} *buildlet.linux-amd64\n")),
            Ok(digest)
        );
        for bad in [
            "",
            &ABC[1..],
            &format!("{ABC}0"),
            &ABC.replace("ba", "+a"),
            &ABC.replace("ba", "ä"),
        ] {
            assert_eq!(bad.parse::<Digest>(), Err(NoDigest), "{bad}");
        }
        assert_eq!(Digest::from_sum_file(" \n"), Err(NoDigest));
    }
}
