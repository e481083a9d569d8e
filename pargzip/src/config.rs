use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// How a [`Writer`](crate::Writer) compresses.
///
/// The bytes written depend on everything set here but [`threads`](Self::threads), and on nothing else: not on
/// timing, nor on how the caller cuts its writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub(crate) level: u32,
    pub(crate) chunk_size: usize,
    pub(crate) threads: Option<usize>,
    pub(crate) mode: Mode,
    pub(crate) backend: Backend,
    pub(crate) index: bool,
    pub(crate) file_name: Option<Vec<u8>>,
    pub(crate) comment: Option<Vec<u8>>,
    pub(crate) mtime: u32,
}

impl Default for Config {
    /// Level 6, chunks of 1 MiB, every CPU, one member a chunk, zlib-rs, no index and no file name: the
    /// member borders and headers of the Go package.
    fn default() -> Self {
        Self {
            level: 6,
            chunk_size: 1 << 20,
            threads: None,
            mode: Mode::MultiMember,
            backend: Backend::ZlibRs,
            index: false,
            file_name: None,
            comment: None,
            mtime: 0,
        }
    }
}

impl Config {
    /// The largest [`chunk_size`](Self::chunk_size): 1 GiB, so that every length field of the format holds.
    pub const MAX_CHUNK_SIZE: usize = 1 << 30;
    /// The largest number of [`threads`](Self::threads).
    pub const MAX_THREADS: usize = 1024;
    /// The longest [`file_name`](Self::file_name) or [`comment`](Self::comment), in bytes.
    pub const MAX_TEXT: usize = 4096;

    /// Compression level: 0 stores, 1 is fastest, 9 smallest; libdeflate ([`Backend`]) goes to 12. 6 by default.
    ///
    /// A level means another trade in each backend: see the table in the crate's README.
    #[must_use]
    pub fn level(mut self, level: u32) -> Self {
        self.level = level;
        self
    }

    /// Uncompressed bytes a chunk, 1 to [`MAX_CHUNK_SIZE`](Self::MAX_CHUNK_SIZE); 1 MiB by default.
    ///
    /// Smaller chunks spread over the CPUs sooner and compress worse. Memory grows with it: a writer holds at
    /// most `threads + 3` chunks and as many compressed ones.
    #[must_use]
    pub fn chunk_size(mut self, bytes: usize) -> Self {
        self.chunk_size = bytes;
        self
    }

    /// Threads that compress, 1 to [`MAX_THREADS`](Self::MAX_THREADS); by default as many as the CPUs that the
    /// process may use. They start as chunks come; input of a single chunk starts none.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// What a chunk becomes: [`Mode::MultiMember`] by default.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Which library compresses: [`Backend::ZlibRs`] by default, whatever features are on.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Whether each member says how many bytes it has, off by default.
    ///
    /// The size stands in an RFC 1952 extra field with the identifier `IG` and four bytes, little-endian: the
    /// form of the program mgzip and of the crate gzp, which can then read the file in parallel too. Every
    /// other reader ignores it. Costs 12 bytes a member; needs [`Mode::MultiMember`].
    #[must_use]
    pub fn index(mut self, index: bool) -> Self {
        self.index = index;
        self
    }

    /// Name of the file that is compressed, for the first header; ISO 8859-1 by RFC 1952, UTF-8 in practice.
    /// At most [`MAX_TEXT`](Self::MAX_TEXT) bytes, none of them zero.
    #[must_use]
    pub fn file_name(mut self, name: impl Into<Vec<u8>>) -> Self {
        self.file_name = Some(name.into());
        self
    }

    /// Comment for the first header, with the rules of [`file_name`](Self::file_name).
    #[must_use]
    pub fn comment(mut self, comment: impl Into<Vec<u8>>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// When the compressed file was last modified, in seconds since 1970, for the first header. 0, the default,
    /// says nothing.
    #[must_use]
    pub fn mtime(mut self, seconds: u32) -> Self {
        self.mtime = seconds;
        self
    }

    pub(crate) fn validate(self) -> Result<Arc<Self>, ConfigError> {
        let max = self.backend.max_level();
        if self.level > max {
            return Err(ConfigError::Level {
                level: self.level,
                max,
            });
        }
        if !(1..=Self::MAX_CHUNK_SIZE).contains(&self.chunk_size) {
            return Err(ConfigError::ChunkSize {
                bytes: self.chunk_size,
            });
        }
        check_threads(self.threads)?;
        if self.mode == Mode::SingleMember {
            if !self.backend.carries_dictionary() {
                return Err(ConfigError::SingleMemberBackend {
                    backend: self.backend,
                });
            }
            if self.index {
                return Err(ConfigError::IndexOfSingleMember);
            }
        }
        for (field, text) in [("file name", &self.file_name), ("comment", &self.comment)] {
            let Some(text) = text else { continue };
            if text.contains(&0) || text.len() > Self::MAX_TEXT {
                return Err(ConfigError::HeaderText { field });
            }
        }
        Ok(Arc::new(self))
    }
}

/// What a chunk becomes in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// A gzip member of its own, as the Go package writes. Members can be read in parallel again.
    MultiMember,
    /// A part of one single gzip member, compressed with the 32 KiB before it as dictionary, as pigz writes.
    /// Somewhat smaller, and read by the rare program that stops after the first member; no reader can decode
    /// it in parallel.
    SingleMember,
}

/// Which library compresses or decompresses.
///
/// A choice at run time, so that a feature which some other crate of a program switches on changes nobody's
/// output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// zlib-rs, pure Rust. Levels 0 to 9.
    ZlibRs,
    /// libdeflate, C: faster both ways. Levels 0 to 12; cannot write [`Mode::SingleMember`].
    ///
    /// Reading, it takes the length codes 286 and 287, which RFC 1951 (3.2.6) reserves, for the length 258, where
    /// other decoders refuse the data. No encoder writes them. Whether a member with such a code is read or is
    /// [`ReadError::Deflate`](crate::ReadError::Deflate) depends on how it was divided; what is read has the right
    /// checksum and length either way. Choose [`ZlibRs`](Self::ZlibRs) to have them always refused.
    #[cfg(feature = "libdeflate")]
    Libdeflate,
}

impl Backend {
    /// The fastest backend that this build has.
    #[must_use]
    pub fn fastest() -> Self {
        #[cfg(feature = "libdeflate")]
        return Self::Libdeflate;
        #[cfg(not(feature = "libdeflate"))]
        Self::ZlibRs
    }

    /// The highest compression level.
    #[must_use]
    pub fn max_level(self) -> u32 {
        match self {
            Self::ZlibRs => 9,
            #[cfg(feature = "libdeflate")]
            Self::Libdeflate => 12,
        }
    }

    /// Whether it can write [`Mode::SingleMember`].
    #[must_use]
    pub fn carries_dictionary(self) -> bool {
        match self {
            Self::ZlibRs => true,
            #[cfg(feature = "libdeflate")]
            Self::Libdeflate => false,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZlibRs => "zlib-rs",
            #[cfg(feature = "libdeflate")]
            Self::Libdeflate => "libdeflate",
        })
    }
}

/// How a [`Reader`](crate::Reader) decompresses.
///
/// The bytes read depend on none of these settings but the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderConfig {
    pub(crate) threads: Option<usize>,
    pub(crate) backend: Backend,
    pub(crate) member_limit: usize,
    pub(crate) max_output: Option<u64>,
}

impl Default for ReaderConfig {
    /// Every CPU, zlib-rs, members of up to 4 MiB in parallel, output without limit.
    fn default() -> Self {
        Self {
            threads: None,
            backend: Backend::ZlibRs,
            member_limit: 4 << 20,
            max_output: None,
        }
    }
}

impl ReaderConfig {
    /// The smallest [`member_limit`](Self::member_limit), in bytes.
    pub const MIN_MEMBER_LIMIT: usize = 4096;

    /// Threads that decompress, with the rules of [`Config::threads`].
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Which library decompresses members in parallel: [`Backend::ZlibRs`] by default. What is read in
    /// sequence, because it is not cut into members, is always read with zlib-rs.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Uncompressed bytes up to which a member is decoded in parallel with others, and so the unit of the
    /// memory limit: a reader holds at most `threads + 4` times this, and as much compressed input.
    /// [`MIN_MEMBER_LIMIT`](Self::MIN_MEMBER_LIMIT) to [`Config::MAX_CHUNK_SIZE`]; 4 MiB by default.
    ///
    /// Larger members are read correctly, by one thread.
    #[must_use]
    pub fn member_limit(mut self, bytes: usize) -> Self {
        self.member_limit = bytes;
        self
    }

    /// Ends the reading with [`ReadError::OutputLimit`](crate::ReadError::OutputLimit) when there are more
    /// uncompressed bytes than this. No limit by default; set one for input that somebody else made, since a
    /// gzip file can expand a thousandfold.
    #[must_use]
    pub fn max_output(mut self, bytes: u64) -> Self {
        self.max_output = Some(bytes);
        self
    }

    pub(crate) fn validate(self) -> Result<Self, ConfigError> {
        check_threads(self.threads)?;
        if !(Self::MIN_MEMBER_LIMIT..=Config::MAX_CHUNK_SIZE).contains(&self.member_limit) {
            return Err(ConfigError::MemberLimit {
                bytes: self.member_limit,
            });
        }
        Ok(self)
    }
}

fn check_threads(threads: Option<usize>) -> Result<(), ConfigError> {
    match threads {
        Some(threads) if !(1..=Config::MAX_THREADS).contains(&threads) => {
            Err(ConfigError::Threads { threads })
        }
        _ => Ok(()),
    }
}

pub(crate) fn threads_or_cpus(threads: Option<usize>) -> usize {
    threads.unwrap_or_else(|| {
        let cpus = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        cpus.min(Config::MAX_THREADS)
    })
}

/// Why a [`Config`] or a [`ReaderConfig`] is none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ConfigError {
    /// The backend has no such level.
    Level { level: u32, max: u32 },
    /// Chunks of that size cannot be.
    ChunkSize { bytes: usize },
    /// Members of that size cannot be decoded in parallel.
    MemberLimit { bytes: usize },
    /// No such number of threads.
    Threads { threads: usize },
    /// The backend cannot carry a dictionary from chunk to chunk.
    SingleMemberBackend { backend: Backend },
    /// An index lists members, and there is only one.
    IndexOfSingleMember,
    /// A file name or comment that a gzip header cannot hold.
    HeaderText { field: &'static str },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level { level, max } => {
                write!(f, "compression level {level} is not between 0 and {max}")
            }
            Self::ChunkSize { bytes } => {
                write!(
                    f,
                    "chunk size {bytes} is not between 1 and {}",
                    Config::MAX_CHUNK_SIZE
                )
            }
            Self::MemberLimit { bytes } => write!(
                f,
                "member limit {bytes} is not between {} and {}",
                ReaderConfig::MIN_MEMBER_LIMIT,
                Config::MAX_CHUNK_SIZE
            ),
            Self::Threads { threads } => {
                write!(
                    f,
                    "{threads} threads are not between 1 and {}",
                    Config::MAX_THREADS
                )
            }
            Self::SingleMemberBackend { backend } => {
                write!(
                    f,
                    "{backend} cannot write a single member in parallel; use zlib-rs"
                )
            }
            Self::IndexOfSingleMember => f.write_str("an index needs one member per chunk"),
            Self::HeaderText { field } => write!(
                f,
                "the {field} has a zero byte or is longer than {} bytes",
                Config::MAX_TEXT
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for std::io::Error {
    fn from(error: ConfigError) -> Self {
        Self::new(std::io::ErrorKind::InvalidInput, error)
    }
}
