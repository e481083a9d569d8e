use std::fmt::{self, Write as _};
use std::str::FromStr;

/// Type and permissions of a file in Go's numbering (`io/fs.FileMode`): what `mode` of `/write` and the lines of `/ls` carry.
///
/// The lowest nine bits are the Unix permissions; everything else differs from Unix. The wire form of `/write` is the
/// *decimal* number, so `0o644` is `420`.
///
/// ```
/// use buildlet_proto::types::FileMode;
/// let mode = FileMode::from_unix(0o104_755);
/// assert_eq!(mode.to_string(), "urwxr-xr-x");
/// assert_eq!(mode.bits(), 8_389_101);
/// assert_eq!(FileMode::from_decimal("420")?.to_unix_permissions(), 0o644);
/// # Ok::<(), buildlet_proto::types::ParseFileModeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FileMode(u32);

impl FileMode {
    /// A directory: bit 31, letter `d`.
    pub const DIR: Self = Self(1 << 31);
    /// A symbolic link: bit 27, letter `L`.
    pub const SYMLINK: Self = Self(1 << 27);
    /// A device: bit 26, letter `D`; with [`CHAR_DEVICE`](Self::CHAR_DEVICE) a character device.
    pub const DEVICE: Self = Self(1 << 26);
    /// A named pipe: bit 25, letter `p`.
    pub const NAMED_PIPE: Self = Self(1 << 25);
    /// A socket: bit 24, letter `S`.
    pub const SOCKET: Self = Self(1 << 24);
    /// Set user id: bit 23, letter `u`.
    pub const SETUID: Self = Self(1 << 23);
    /// Set group id: bit 22, letter `g`.
    pub const SETGID: Self = Self(1 << 22);
    /// A character device, beside [`DEVICE`](Self::DEVICE): bit 21, letter `c`.
    pub const CHAR_DEVICE: Self = Self(1 << 21);
    /// The sticky bit: bit 20, letter `t`.
    pub const STICKY: Self = Self(1 << 20);
    /// Neither a regular file nor any other known kind: bit 19, letter `?`.
    pub const IRREGULAR: Self = Self(1 << 19);

    const PERMISSIONS: u32 = 0o777;
    const TYPE: u32 = Self::DIR.0
        | Self::SYMLINK.0
        | Self::DEVICE.0
        | Self::NAMED_PIPE.0
        | Self::SOCKET.0
        | Self::CHAR_DEVICE.0
        | Self::IRREGULAR.0;

    /// The mode with exactly these bits of Go's numbering.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Go's number.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Translates `st_mode` of a Unix system: type, permissions, set-id and sticky bits.
    #[must_use]
    pub const fn from_unix(st_mode: u32) -> Self {
        let mut bits = st_mode & Self::PERMISSIONS;
        bits |= match st_mode & 0o170_000 {
            0o040_000 => Self::DIR.0,
            0o120_000 => Self::SYMLINK.0,
            0o060_000 => Self::DEVICE.0,
            0o020_000 => Self::DEVICE.0 | Self::CHAR_DEVICE.0,
            0o010_000 => Self::NAMED_PIPE.0,
            0o140_000 => Self::SOCKET.0,
            _ => 0,
        };
        if st_mode & 0o4000 != 0 {
            bits |= Self::SETUID.0;
        }
        if st_mode & 0o2000 != 0 {
            bits |= Self::SETGID.0;
        }
        if st_mode & 0o1000 != 0 {
            bits |= Self::STICKY.0;
        }
        Self(bits)
    }

    /// The twelve bits that `chmod` takes: permissions, set-id and sticky bits.
    #[must_use]
    pub const fn to_unix_permissions(self) -> u32 {
        let mut mode = self.0 & Self::PERMISSIONS;
        if self.contains(Self::SETUID) {
            mode |= 0o4000;
        }
        if self.contains(Self::SETGID) {
            mode |= 0o2000;
        }
        if self.contains(Self::STICKY) {
            mode |= 0o1000;
        }
        mode
    }

    /// Reads the parameter `mode` of `/write`: a decimal number, of which only the lowest 32 bits count.
    ///
    /// # Errors
    ///
    /// When it is no decimal number of at most 63 bits.
    pub fn from_decimal(text: &str) -> Result<Self, ParseFileModeError> {
        let number: i64 = text.parse().map_err(|_| ParseFileModeError(()))?;
        // Cutting is the rule: upstream converts the number to 32 bits without a look at the others.
        Ok(Self((number & 0xffff_ffff) as u32))
    }

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it is a directory.
    #[must_use]
    pub const fn is_dir(self) -> bool {
        self.contains(Self::DIR)
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub const fn is_symlink(self) -> bool {
        self.contains(Self::SYMLINK)
    }

    /// Whether no type bit is set, as for a regular file. `/write` takes no other mode.
    #[must_use]
    pub const fn is_regular(self) -> bool {
        self.0 & Self::TYPE == 0
    }
}

/// Letters of the bits 31 down to 19.
const LETTERS: &[u8; 13] = b"dalTLDpSugct?";

impl fmt::Display for FileMode {
    /// Go's mode string: the letters of the bits that are set, or `-`, and nine permission letters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plain = true;
        for (letter, bit) in LETTERS.iter().zip((19..32).rev()) {
            if self.0 & (1 << bit) != 0 {
                f.write_char(char::from(*letter))?;
                plain = false;
            }
        }
        if plain {
            f.write_char('-')?;
        }
        for (letter, bit) in b"rwxrwxrwx".iter().zip((0..9).rev()) {
            let set = self.0 & (1 << bit) != 0;
            f.write_char(if set { char::from(*letter) } else { '-' })?;
        }
        Ok(())
    }
}

impl FromStr for FileMode {
    type Err = ParseFileModeError;

    /// Reads what `Display` writes; nothing else is taken.
    fn from_str(text: &str) -> Result<Self, ParseFileModeError> {
        let (head, permissions) = text
            .len()
            .checked_sub(9)
            .and_then(|at| text.split_at_checked(at))
            .ok_or(ParseFileModeError(()))?;
        let mut bits = 0;
        for letter in head.bytes().filter(|letter| *letter != b'-') {
            let place = LETTERS.iter().position(|known| *known == letter);
            bits |= 1 << (31 - place.ok_or(ParseFileModeError(()))?);
        }
        for (place, letter) in permissions.bytes().enumerate() {
            if letter != b'-' {
                bits |= 1 << (8 - place);
            }
        }
        let mode = Self(bits);
        // Order, repetition and the permission letters are right if it is written the same way.
        if mode.to_string() == text {
            Ok(mode)
        } else {
            Err(ParseFileModeError(()))
        }
    }
}

/// A text is no file mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseFileModeError(pub(super) ());

impl fmt::Display for ParseFileModeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a file mode")
    }
}

impl std::error::Error for ParseFileModeError {}
