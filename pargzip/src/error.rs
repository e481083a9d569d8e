use std::sync::Arc;
use std::{fmt, io};

use crate::format::HeaderError;

/// Why gzip input could not be read. Offsets count bytes of the compressed input from its beginning.
///
/// Everything that was decoded before the error has been delivered before it is returned. A
/// [`Reader`](crate::Reader) returns it inside an [`io::Error`]; [`ReadError::of`] finds it there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ReadError {
    /// The input does not begin with a gzip member.
    NotGzip { offset: u64 },
    /// A member is compressed with something else than deflate, the only method that RFC 1952 knows.
    UnknownMethod { offset: u64, method: u8 },
    /// A member's header has flags that RFC 1952 reserves.
    ReservedFlags { offset: u64, flags: u8 },
    /// A member's header does not have the checksum that it states.
    HeaderChecksum {
        offset: u64,
        stored: u16,
        computed: u16,
    },
    /// The compressed bytes are no deflate stream.
    Deflate { offset: u64 },
    /// A member's bytes do not have the CRC-32 that its trailer states.
    Checksum {
        offset: u64,
        stored: u32,
        computed: u32,
    },
    /// A member has not as many bytes, modulo 2^32, as its trailer states.
    Length {
        offset: u64,
        stored: u32,
        computed: u32,
    },
    /// The input ends within a member.
    Truncated { offset: u64 },
    /// Something follows the last member that is neither a member nor zeros; `gunzip` ignores it with a warning.
    TrailingGarbage { offset: u64 },
    /// There is more output than [`ReaderConfig::max_output`](crate::ReaderConfig::max_output) allows.
    OutputLimit { limit: u64 },
}

impl ReadError {
    /// The error of this kind inside `error`, if it is one of this crate's.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    pub(crate) fn header(error: HeaderError, offset: u64) -> Self {
        match error {
            HeaderError::Magic => Self::NotGzip { offset },
            HeaderError::Method(method) => Self::UnknownMethod { offset, method },
            HeaderError::Flags(flags) => Self::ReservedFlags { offset, flags },
            HeaderError::Checksum { stored, computed } => Self::HeaderChecksum {
                offset,
                stored,
                computed,
            },
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGzip { offset } => write!(f, "no gzip data at byte {offset}"),
            Self::UnknownMethod { offset, method } => {
                write!(f, "unknown compression method {method} at byte {offset}")
            }
            Self::ReservedFlags { offset, flags } => {
                write!(f, "reserved header flags {flags:#04x} at byte {offset}")
            }
            Self::HeaderChecksum {
                offset,
                stored,
                computed,
            } => write!(
                f,
                "header checksum at byte {offset} is {stored:#06x}, computed {computed:#06x}"
            ),
            Self::Deflate { offset } => write!(f, "invalid compressed data at byte {offset}"),
            Self::Checksum {
                offset,
                stored,
                computed,
            } => write!(
                f,
                "data checksum at byte {offset} is {stored:#010x}, computed {computed:#010x}"
            ),
            Self::Length {
                offset,
                stored,
                computed,
            } => {
                write!(
                    f,
                    "data length at byte {offset} is {stored}, counted {computed}"
                )
            }
            Self::Truncated { offset } => write!(f, "gzip data ends early, at byte {offset}"),
            Self::TrailingGarbage { offset } => {
                write!(f, "no gzip data behind the last member, at byte {offset}")
            }
            Self::OutputLimit { limit } => {
                write!(
                    f,
                    "the uncompressed data is larger than the limit of {limit} bytes"
                )
            }
        }
    }
}

impl std::error::Error for ReadError {}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        let kind = match error {
            ReadError::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            ReadError::OutputLimit { .. } => io::ErrorKind::FileTooLarge,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// An error that is told to every later caller too.
#[derive(Debug, Clone)]
pub(crate) struct StickyError {
    what: &'static str,
    cause: Arc<io::Error>,
}

impl StickyError {
    /// `what` is this error's text, before its cause.
    pub(crate) fn new(what: &'static str, cause: io::Error) -> Self {
        Self {
            what,
            cause: Arc::new(cause),
        }
    }

    /// The error once more, with the kind of its cause.
    pub(crate) fn again(&self) -> io::Error {
        io::Error::new(self.cause.kind(), self.clone())
    }
}

impl fmt::Display for StickyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

impl std::error::Error for StickyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.cause)
    }
}
