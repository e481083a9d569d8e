//! The command line.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{ArgAction, Parser, ValueEnum};
use pargzip::{Config, Mode, ReaderConfig};

/// Compresses files on every CPU; the result is gzip, for any program that reads gzip
///
/// Each FILE is replaced by FILE.gz, with the same mode and time. Without FILE, or where FILE is -, standard input
/// is compressed to standard output. Files that were compressed in parts, as this program and upstream's pargzip do,
/// are decompressed on every CPU too.
#[derive(Debug, Parser)]
#[command(name = "pargzip", version, after_help = EXAMPLES, disable_help_flag = true)]
pub(crate) struct Args {
    /// Files to compress; with -d, -t or -l files to read
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Decompress
    #[arg(short, long, visible_alias = "uncompress", help_heading = "What to do")]
    pub(crate) decompress: bool,
    /// Check that the files decompress without an error
    #[arg(short, long, help_heading = "What to do", conflicts_with_all = ["decompress", "list"])]
    pub(crate) test: bool,
    /// Show sizes, by decompressing, since the format states no size that can be relied on
    #[arg(
        short,
        long,
        help_heading = "What to do",
        conflicts_with = "decompress"
    )]
    pub(crate) list: bool,
    /// Show this help
    #[arg(short, long, action = ArgAction::Help, help_heading = "What to do")]
    help: Option<bool>,

    /// Write to standard output, and keep the files
    #[arg(short = 'c', long, visible_alias = "to-stdout", help_heading = "Files")]
    pub(crate) stdout: bool,
    /// Keep the files that were read
    #[arg(short, long, help_heading = "Files")]
    pub(crate) keep: bool,
    /// Overwrite files, follow links, compress files that seem compressed, write compressed data to a terminal
    #[arg(short, long, help_heading = "Files")]
    pub(crate) force: bool,
    /// Suffix of compressed files
    #[arg(
        short = 'S',
        long,
        default_value = ".gz",
        value_name = "SUF",
        help_heading = "Files"
    )]
    pub(crate) suffix: String,
    /// Store no file name and no time in the compressed file
    #[arg(short, long, help_heading = "Files")]
    pub(crate) no_name: bool,

    /// Fastest
    #[arg(short = '1', long, help_heading = "Compression", overrides_with_all = LEVELS)]
    fast: bool,
    #[arg(short = '2', hide = true, overrides_with_all = LEVELS)]
    level_2: bool,
    #[arg(short = '3', hide = true, overrides_with_all = LEVELS)]
    level_3: bool,
    #[arg(short = '4', hide = true, overrides_with_all = LEVELS)]
    level_4: bool,
    #[arg(short = '5', hide = true, overrides_with_all = LEVELS)]
    level_5: bool,
    /// Between: -1 to -9; this is the default
    #[arg(short = '6', help_heading = "Compression", overrides_with_all = LEVELS)]
    level_6: bool,
    #[arg(short = '7', hide = true, overrides_with_all = LEVELS)]
    level_7: bool,
    #[arg(short = '8', hide = true, overrides_with_all = LEVELS)]
    level_8: bool,
    /// Smallest
    #[arg(short = '9', long, help_heading = "Compression", overrides_with_all = LEVELS)]
    best: bool,
    /// Level 0 (store) to 9, or 12 with libdeflate
    #[arg(long, value_name = "N", help_heading = "Compression", overrides_with_all = LEVELS)]
    level: Option<u32>,
    /// Threads [default: one for each CPU]
    #[arg(
        short = 'p',
        long,
        visible_alias = "threads",
        value_name = "N",
        help_heading = "Compression"
    )]
    processes: Option<usize>,
    /// Uncompressed bytes a part: a number of KiB, or a number with K, M or G
    #[arg(short, long, value_name = "SIZE", default_value = "1M", value_parser = parse_size, help_heading = "Compression")]
    blocksize: u64,
    /// Make one gzip member of all parts: a little smaller, but cannot be decompressed in parallel
    #[arg(long, help_heading = "Compression", conflicts_with = "index")]
    single_member: bool,
    /// State the size of each part in the file, for readers that look for it (this one, mgzip, crabz)
    #[arg(long, help_heading = "Compression")]
    index: bool,
    /// Library that does the work [default: the fastest that can]
    #[arg(long, value_enum, help_heading = "Compression")]
    backend: Option<Backend>,
    /// Stop when a file decompresses to more than this: a number of KiB, or a number with K, M or G
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Decompression")]
    max_output: Option<u64>,

    /// Show no warnings and no progress
    #[arg(short, long, help_heading = "Messages", conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say what was done with each file
    #[arg(short, long, help_heading = "Messages")]
    pub(crate) verbose: bool,
}

const LEVELS: [&str; 10] = [
    "fast", "level_2", "level_3", "level_4", "level_5", "level_6", "level_7", "level_8", "best",
    "level",
];

const EXAMPLES: &str = "\
Examples:
  pargzip build.log                     build.log becomes build.log.gz
  pargzip -d build.log.gz               and back
  tar c src | pargzip -9 > src.tar.gz   from a pipe to a file
  pargzip -dc src.tar.gz | tar x        and back
  pargzip -t *.gz && echo all good      check files

Exit status: 0 all went well, 1 an error, 2 a warning (a file was skipped, or garbage behind its end ignored).";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backend {
    /// Pure Rust; levels 0 to 9
    ZlibRs,
    /// C; faster, levels 0 to 12, cannot write a single member
    #[cfg(feature = "libdeflate")]
    Libdeflate,
}

impl Args {
    pub(crate) fn writer_config(&self) -> Config {
        let backend = self.backend.map_or_else(
            || {
                if self.single_member {
                    pargzip::Backend::ZlibRs
                } else {
                    pargzip::Backend::fastest()
                }
            },
            Backend::of_library,
        );
        let chunk_size = usize::try_from(self.blocksize).unwrap_or(usize::MAX);
        let mode = if self.single_member {
            Mode::SingleMember
        } else {
            Mode::MultiMember
        };
        let config = Config::default()
            .level(self.chosen_level())
            .chunk_size(chunk_size)
            .mode(mode)
            .index(self.index)
            .backend(backend);
        match self.processes {
            Some(threads) => config.threads(threads),
            None => config,
        }
    }

    pub(crate) fn reader_config(&self) -> ReaderConfig {
        let backend = self
            .backend
            .map_or_else(pargzip::Backend::fastest, Backend::of_library);
        let mut config = ReaderConfig::default().backend(backend);
        if let Some(threads) = self.processes {
            config = config.threads(threads);
        }
        if let Some(limit) = self.max_output {
            config = config.max_output(limit);
        }
        config
    }

    fn chosen_level(&self) -> u32 {
        let flags = [
            self.fast,
            self.level_2,
            self.level_3,
            self.level_4,
            self.level_5,
            self.level_6,
            self.level_7,
            self.level_8,
            self.best,
        ];
        // Later flags override earlier ones, so at most one is set.
        let flag = (1..)
            .zip(flags)
            .find_map(|(level, set)| set.then_some(level));
        self.level.or(flag).unwrap_or(6)
    }
}

impl Backend {
    fn of_library(self) -> pargzip::Backend {
        match self {
            Self::ZlibRs => pargzip::Backend::ZlibRs,
            #[cfg(feature = "libdeflate")]
            Self::Libdeflate => pargzip::Backend::Libdeflate,
        }
    }
}

/// A number of KiB, as pigz has it, or of another unit.
fn parse_size(text: &str) -> anyhow::Result<u64> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1 << 10),
        None => match text.strip_suffix(['m', 'M']) {
            Some(digits) => (digits, 1 << 20),
            None => match text.strip_suffix(['g', 'G']) {
                Some(digits) => (digits, 1 << 30),
                None => (text, 1 << 10),
            },
        },
    };
    let number: u64 = digits
        .parse()
        .context("write a number, or one with K, M or G, as in 512K")?;
    match number.checked_mul(unit) {
        Some(0) | None => bail!("the size must be above 0 and fit into 64 bits"),
        Some(bytes) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn level(args: &[&str]) -> u32 {
        Args::try_parse_from(["pargzip"].iter().chain(args))
            .unwrap()
            .chosen_level()
    }

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_last_level_counts() {
        assert_eq!(level(&[]), 6);
        assert_eq!(level(&["-1"]), 1);
        assert_eq!(level(&["-9", "-3"]), 3);
        assert_eq!(level(&["--best", "--level", "0"]), 0);
        assert_eq!(level(&["--level", "12", "-2"]), 2);
    }

    #[test]
    fn sizes_are_kib_unless_they_say_otherwise() {
        assert_eq!(parse_size("128").unwrap(), 128 << 10);
        assert_eq!(parse_size("128k").unwrap(), 128 << 10);
        assert_eq!(parse_size("2M").unwrap(), 2 << 20);
        assert_eq!(parse_size("1G").unwrap(), 1 << 30);
        for bad in [
            "",
            "K",
            "-1",
            "1.5M",
            "0",
            "99999999999999999999G",
            "18014398509481984K",
        ] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
