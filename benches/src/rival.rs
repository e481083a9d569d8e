//! A rival that comes as a library, made a program.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use gzp::deflate::{Gzip, Mgzip};
use gzp::{Compression, ZBuilder, ZWriter};

use crate::cli::GzpFormat;

/// The library that gzp compresses its format `gzip` with in this build.
pub(crate) const GZP_GZIP_ENGINE: &str = if cfg!(feature = "gzp-zlib-ng") {
    "zlib-ng"
} else {
    "miniz_oxide"
};

pub(crate) fn gzp_compress(format: GzpFormat, threads: usize, level: u32) -> anyhow::Result<()> {
    // The plain files: std's own standard output would look for line ends.
    let mut input = File::from(
        io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .context("standard input")?,
    );
    let output = File::from(
        io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .context("standard output")?,
    );
    let level = Compression::new(level);
    let mut writer: Box<dyn ZWriter<File>> = match format {
        GzpFormat::Gzip => ZBuilder::<Gzip, _>::new()
            .num_threads(threads)
            .compression_level(level)
            .from_writer(output),
        GzpFormat::Mgzip => ZBuilder::<Mgzip, _>::new()
            .num_threads(threads)
            .compression_level(level)
            .from_writer(output),
    };
    let mut buffer = vec![0; 256 << 10];
    loop {
        let len = io::Read::read(&mut input, &mut buffer).context("cannot read standard input")?;
        if len == 0 {
            break;
        }
        io::Write::write_all(&mut writer, &buffer[..len]).context("cannot compress")?;
    }
    writer.finish().context("cannot finish the output")?;
    Ok(())
}
