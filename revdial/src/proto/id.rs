use std::fmt;

/// The secret name of a dialer: 128 random bits, on the wire as 32 lower-case hexadecimal digits.
///
/// Whoever knows it may deliver connections to that dialer; nothing else is asked for at a pick-up. So it must come from the
/// operating system's random source, as [`DialerId::random`] has it, and is hidden from `Debug`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DialerId([u8; 16]);

/// The text is not 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidDialerId;

impl DialerId {
    /// An id of bytes that the caller made: 16 from a source that nobody can foresee.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A new id, from the operating system.
    ///
    /// # Errors
    ///
    /// The operating system has no random bytes to give, as may be early in its boot.
    #[cfg(feature = "tokio")]
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads 32 lower-case hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`InvalidDialerId`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidDialerId> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return Err(InvalidDialerId);
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

/// The wire form: this shows the secret.
impl fmt::Display for DialerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DialerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell two dialers apart in a log, and too little to impersonate one.
        write!(f, "DialerId({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

impl fmt::Display for InvalidDialerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dialer id is not 32 lower-case hexadecimal digits")
    }
}

impl std::error::Error for InvalidDialerId {}

fn digit(byte: u8) -> Result<u8, InvalidDialerId> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(InvalidDialerId),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_what_it_writes_and_nothing_else() {
        let text = "7c2fbbc78d5df8f7b5db60ac77235f32";
        let id = DialerId::parse(text).unwrap();
        assert_eq!(id.to_string(), text);
        for bad in [
            "",
            "7c",
            &text.to_uppercase(),
            &format!("{text}0"),
            &text.replace('7', "g"),
        ] {
            assert_eq!(DialerId::parse(bad), Err(InvalidDialerId), "{bad}");
        }
    }

    #[test]
    fn debug_output_does_not_give_the_secret_away() {
        let id = DialerId::from_bytes([0xab; 16]);
        assert_eq!(format!("{id:?}"), "DialerId(abab..)");
    }
}
