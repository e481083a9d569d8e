//! Inputs and short ways to compress and decompress them.

use std::io::{self, Read, Write};

use pargzip::{Backend, Config, Mode, Reader, ReaderConfig, Writer};

/// Every backend of this build.
pub(crate) fn backends() -> Vec<Backend> {
    vec![
        Backend::ZlibRs,
        #[cfg(feature = "libdeflate")]
        Backend::Libdeflate,
    ]
}

/// Text that compresses about as source code does, the same in every run.
pub(crate) fn text(len: usize) -> Vec<u8> {
    let words = [
        "func ", "return ", "err ", "if ", "!= nil ", "{\n\t", "}\n", "buildlet", "0x", "// ",
    ];
    let mut random = Random(7);
    let mut text = Vec::with_capacity(len + 16);
    while text.len() < len {
        let r = random.next();
        text.extend(words[(r % 10) as usize].as_bytes());
        if r.is_multiple_of(7) {
            text.extend(format!("{:x}", r >> 40).bytes());
        }
    }
    text.truncate(len);
    text
}

/// Bytes that do not compress, the same in every run.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut random = Random(99);
    (0..len).map(|_| (random.next() >> 32) as u8).collect()
}

/// A xorshift generator: tests need variety, not quality.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

pub(crate) fn compress(data: &[u8], config: Config) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), config).unwrap();
    writer.write_all(data).unwrap();
    writer.finish().unwrap()
}

pub(crate) fn single(config: Config) -> Config {
    config.mode(Mode::SingleMember)
}

pub(crate) fn decompress(gz: &[u8], config: ReaderConfig) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    Reader::with_config(gz, config)?.read_to_end(&mut data)?;
    Ok(data)
}

/// What an independent decoder makes of it.
pub(crate) fn oracle(gz: &[u8]) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    flate2::read::MultiGzDecoder::new(gz).read_to_end(&mut data)?;
    Ok(data)
}

/// A source that gives its bytes in pieces of the given sizes, in turn.
pub(crate) struct Pieces<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) sizes: Vec<usize>,
    pub(crate) turn: usize,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(bytes: &'a [u8], sizes: impl Into<Vec<usize>>) -> Self {
        Self {
            bytes,
            sizes: sizes.into(),
            turn: 0,
        }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes[self.turn % self.sizes.len()].max(1);
        self.turn += 1;
        let len = size.min(buf.len()).min(self.bytes.len());
        buf[..len].copy_from_slice(&self.bytes[..len]);
        self.bytes = &self.bytes[len..];
        Ok(len)
    }
}
