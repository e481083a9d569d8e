//! From a stream to a stream.

use std::io::{self, BufRead as _, Read, Write};

use anyhow::Context as _;
use pargzip::{Config, ReadError, Reader, ReaderConfig, Writer};

/// Bytes read at a time: enough to make system calls cheap.
const PIECE: usize = 256 << 10;

/// Compresses `source` to `sink`; returns the bytes read.
pub(crate) fn compress(
    mut source: impl Read,
    sink: impl Write,
    config: Config,
) -> anyhow::Result<u64> {
    let mut writer = Writer::new(sink, config)?;
    let mut piece = vec![0; PIECE];
    let mut total = 0;
    loop {
        let len = match source.read(&mut piece) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("cannot read"),
        };
        writer.write_all(&piece[..len])?;
        total += len as u64;
    }
    writer.finish().map_err(io::Error::from)?;
    Ok(total)
}

/// What a file decompressed to.
pub(crate) struct Decompressed {
    pub(crate) bytes: u64,
    pub(crate) members: u64,
    /// Where garbage begins behind the last member, if there is any.
    pub(crate) garbage: Option<u64>,
}

/// Decompresses `source` to `sink`, and leaves garbage behind the last member alone, as gunzip does.
pub(crate) fn decompress(
    source: impl Read,
    mut sink: impl Write,
    config: ReaderConfig,
) -> anyhow::Result<Decompressed> {
    let mut reader = Reader::with_config(source, config)?;
    let mut bytes = 0;
    let garbage = loop {
        let block = match reader.fill_buf() {
            Ok([]) => break None,
            Ok(block) => block,
            Err(error) => match ReadError::of(&error) {
                Some(ReadError::TrailingGarbage { offset }) => break Some(*offset),
                _ => return Err(error.into()),
            },
        };
        sink.write_all(block).context("cannot write")?;
        let len = block.len();
        bytes += len as u64;
        reader.consume(len);
    };
    sink.flush().context("cannot write")?;
    Ok(Decompressed {
        bytes,
        members: reader.members(),
        garbage,
    })
}

pub(crate) fn print_list_heading() -> io::Result<()> {
    writeln!(
        io::stdout(),
        "{:>12} {:>14} {:>6} {:>8}  name",
        "compressed",
        "uncompressed",
        "saved",
        "members"
    )
}

pub(crate) fn print_list_line(
    compressed: u64,
    decompressed: &Decompressed,
    name: &str,
) -> io::Result<()> {
    let Decompressed { bytes, members, .. } = decompressed;
    let saved = saved(compressed, *bytes);
    writeln!(
        io::stdout(),
        "{compressed:>12} {bytes:>14} {saved:>6} {members:>8}  {name}"
    )
}

/// How much smaller the compressed form is, in percent.
pub(crate) fn saved(compressed: u64, uncompressed: u64) -> String {
    if uncompressed == 0 {
        return "-".to_owned();
    }
    format!(
        "{:.1}%",
        100.0 * (1.0 - compressed as f64 / uncompressed as f64)
    )
}
