//! One file of the command line: where its bytes come from and go to, and what becomes of it.

use std::fs::{self, File, FileTimes, Metadata};
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;

use crate::args::Args;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::stream::{self, Decompressed};

/// How it went with one file.
pub(crate) enum Outcome {
    Done,
    /// It was left alone, or something in it was; the text says why.
    Warned(String),
}

pub(crate) fn process(path: &Path, args: &Args, interrupt: &Interrupt) -> anyhow::Result<Outcome> {
    if path == Path::new("-") {
        return from_standard_input(args);
    }
    let metadata = if args.force || args.stdout || args.test || args.list {
        fs::metadata(path)?
    } else {
        fs::symlink_metadata(path)?
    };
    if metadata.is_dir() {
        return Ok(Outcome::Warned("is a directory; left alone".to_owned()));
    }
    if !metadata.is_file() && !args.stdout && !args.test && !args.list {
        let hint =
            "is not a regular file; left alone (-c writes it to standard output, -f follows links)";
        return Ok(Outcome::Warned(hint.to_owned()));
    }
    let source = Source {
        path,
        file: File::open(path)?,
        metadata,
    };
    if args.test || args.list {
        return source.inspect(args);
    }
    let target = if args.stdout {
        None
    } else {
        match target_path(path, args) {
            Ok(target) => Some(target),
            Err(why) => return Ok(Outcome::Warned(why)),
        }
    };
    match target {
        None => source.to_standard_output(args),
        Some(target) if target.exists() && !args.force => Ok(Outcome::Warned(format!(
            "{} exists; left alone (-f overwrites it)",
            target.display()
        ))),
        Some(target) => source.to_file(&target, args, interrupt),
    }
}

/// The name that the result gets, or why there is none.
fn target_path(path: &Path, args: &Args) -> Result<PathBuf, String> {
    let suffix = &args.suffix;
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    if !args.decompress {
        if name.ends_with(suffix.as_bytes()) && !args.force {
            return Err(format!(
                "has the suffix {suffix} already; left alone (-f compresses it again)"
            ));
        }
        let mut target = path.as_os_str().to_owned();
        target.push(suffix);
        return Ok(target.into());
    }
    if let Some(stem) = without_suffix(path, suffix) {
        return Ok(stem);
    }
    match without_suffix(path, ".tgz") {
        Some(stem) => {
            let mut tar = stem.into_os_string();
            tar.push(".tar");
            Ok(tar.into())
        }
        None => Err(format!(
            "has no suffix {suffix}; left alone (-c writes to standard output, -S names another suffix)"
        )),
    }
}

/// The path without `suffix`, if it has it and a name besides.
fn without_suffix(path: &Path, suffix: &str) -> Option<PathBuf> {
    // This way works for names that are no Unicode, the other for suffixes that are no extension.
    if path
        .extension()
        .is_some_and(|extension| suffix.strip_prefix('.').is_some_and(|s| extension == s))
    {
        return Some(path.with_extension(""));
    }
    let stem = path.file_name()?.to_str()?.strip_suffix(suffix)?;
    (!stem.is_empty()).then(|| path.with_file_name(stem))
}

fn from_standard_input(args: &Args) -> anyhow::Result<Outcome> {
    let stdin = io::stdin().lock();
    if (args.decompress || args.test || args.list) && stdin.is_terminal() && !args.force {
        bail!("compressed data is not read from a terminal; name a file, or see --help");
    }
    let source = Progress::new(stdin, None, "stdin", !args.quiet);
    if args.test || args.list {
        return inspect(source, "stdin", args);
    }
    transform(source, &standard_output(args)?, None, args)
}

/// Standard output without line buffering, which is of no use for compressed bytes.
fn standard_output(args: &Args) -> anyhow::Result<File> {
    let stdout = io::stdout();
    if !args.decompress && stdout.is_terminal() && !args.force {
        bail!("compressed data is not written to a terminal; redirect it, or see --help");
    }
    #[cfg(unix)]
    let owned = std::os::fd::AsFd::as_fd(&stdout).try_clone_to_owned();
    #[cfg(windows)]
    let owned = std::os::windows::io::AsHandle::as_handle(&stdout).try_clone_to_owned();
    Ok(File::from(owned.context("cannot use standard output")?))
}

/// Compresses or decompresses by the flags.
fn transform(
    source: impl Read,
    sink: &File,
    metadata: Option<(&Path, &Metadata)>,
    args: &Args,
) -> anyhow::Result<Outcome> {
    if args.decompress {
        let decompressed = stream::decompress(source, sink, args.reader_config())?;
        return Ok(garbage_warning(&decompressed));
    }
    let mut config = args.writer_config();
    if let (Some((path, metadata)), false) = (metadata, args.no_name) {
        if let Some(name) = path.file_name() {
            config = config.file_name(name.as_encoded_bytes());
        }
        config = config.mtime(seconds_since_1970(metadata));
    }
    stream::compress(source, sink, config)?;
    Ok(Outcome::Done)
}

/// As a gzip header holds it: 0 where it cannot.
fn seconds_since_1970(metadata: &Metadata) -> u32 {
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    modified
        .and_then(|since| u32::try_from(since.as_secs()).ok())
        .unwrap_or(0)
}

fn garbage_warning(decompressed: &Decompressed) -> Outcome {
    match decompressed.garbage {
        Some(offset) => Outcome::Warned(format!(
            "garbage behind its end, at byte {offset}, was ignored"
        )),
        None => Outcome::Done,
    }
}

fn inspect(mut source: Progress<impl Read>, name: &str, args: &Args) -> anyhow::Result<Outcome> {
    let decompressed = stream::decompress(&mut source, io::sink(), args.reader_config())?;
    if args.list {
        stream::print_list_line(source.bytes_read(), &decompressed, name)?;
    } else if args.verbose {
        let Decompressed { bytes, members, .. } = decompressed;
        say(&format!(
            "{name}: good; uncompressed bytes: {bytes}, members: {members}"
        ));
    }
    Ok(garbage_warning(&decompressed))
}

fn say(message: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "{message}");
}

/// An open file to read.
struct Source<'a> {
    path: &'a Path,
    file: File,
    metadata: Metadata,
}

impl Source<'_> {
    fn inspect(self, args: &Args) -> anyhow::Result<Outcome> {
        let name = self.path.display().to_string();
        inspect(
            Progress::new(self.file, Some(self.metadata.len()), &name, !args.quiet),
            &name,
            args,
        )
    }

    fn to_standard_output(&self, args: &Args) -> anyhow::Result<Outcome> {
        let sink = standard_output(args)?;
        transform(
            self.progress(args),
            &sink,
            Some((self.path, &self.metadata)),
            args,
        )
    }

    /// Writes beside the target and gives the result its name when it is complete, so that no partial file ever
    /// has it.
    fn to_file(
        &self,
        target: &Path,
        args: &Args,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Outcome> {
        let folder = match target.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let create = || {
            tempfile::Builder::new()
                .prefix(".pargzip-")
                .suffix(".partial")
                .tempfile_in(folder)
        };
        let (partial, guard) = interrupt
            .guard(create)
            .with_context(|| format!("cannot write to {}", folder.display()))?;
        let outcome = transform(
            self.progress(args),
            partial.as_file(),
            Some((self.path, &self.metadata)),
            args,
        )?;
        self.dress(partial.as_file())?;
        let size = partial.as_file().metadata()?.len();
        if !args.keep {
            // The original goes next: its copy must be safe.
            partial.as_file().sync_all().context("cannot write")?;
        }
        name(partial, target, args.force)?;
        drop(guard);
        if !args.keep {
            fs::remove_file(self.path).context("cannot remove")?;
        }
        if args.verbose {
            let (compressed, uncompressed) = if args.decompress {
                (self.metadata.len(), size)
            } else {
                (size, self.metadata.len())
            };
            let saved = stream::saved(compressed, uncompressed);
            let done = if args.keep {
                "created"
            } else {
                "replaced with"
            };
            eprintln!(
                "{}: {saved} saved, {done} {}",
                self.path.display(),
                target.display()
            );
        }
        Ok(outcome)
    }

    fn progress(&self, args: &Args) -> Progress<&File> {
        let name = self.path.display().to_string();
        Progress::new(&self.file, Some(self.metadata.len()), &name, !args.quiet)
    }

    /// Gives the result the owner, mode and time of the original.
    fn dress(&self, file: &File) -> anyhow::Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            // Only root can; and a mode with set-user-id must not end up with another owner.
            let owned = std::os::unix::fs::fchown(
                file,
                Some(self.metadata.uid()),
                Some(self.metadata.gid()),
            );
            if owned.is_err() {
                use std::os::unix::fs::PermissionsExt as _;
                let mode = self.metadata.mode() & 0o777;
                file.set_permissions(fs::Permissions::from_mode(mode))
                    .context("cannot set the mode")?;
            } else {
                file.set_permissions(self.metadata.permissions())
                    .context("cannot set the mode")?;
            }
        }
        #[cfg(not(unix))]
        file.set_permissions(self.metadata.permissions())
            .context("cannot set the mode")?;
        let mut times = FileTimes::new();
        if let Ok(modified) = self.metadata.modified() {
            times = times.set_modified(modified);
        }
        if let Ok(accessed) = self.metadata.accessed() {
            times = times.set_accessed(accessed);
        }
        file.set_times(times).context("cannot set the time")
    }
}

/// Gives the complete file its name.
fn name(partial: NamedTempFile, target: &Path, overwrite: bool) -> anyhow::Result<()> {
    let named = if overwrite {
        partial.persist(target)
    } else {
        partial.persist_noclobber(target)
    };
    match named {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(error.error).with_context(|| format!("cannot create {}", target.display()))
        }
    }
}
