//! What is compressed: made from what every machine that builds this project has, so that nothing is downloaded or stored.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

/// Input for the subjects, in a file.
#[derive(Debug)]
pub struct Corpus {
    /// For headings.
    pub name: &'static str,
    /// Where it is from, for readers.
    pub origin: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub len: u64,
    /// SHA-256 of it, in hexadecimal.
    pub sha256: String,
}

/// Makes, or finds from the last time, `len` bytes of a tar file of source code: Go's library, then the crates that Cargo
/// has unpacked, each folder in the order of its names.
///
/// # Errors
///
/// When the machine has less than `len` bytes of that, or files cannot be read or written.
pub fn source_tree(dir: &Path, len: u64) -> anyhow::Result<Corpus> {
    make(
        dir,
        "source tree",
        "tar of the Go library's and the crates' source code",
        "source",
        len,
        source_roots,
    )
}

/// Makes, or finds from the last time, `len` bytes of executables and libraries: Go's, then Rust's, one behind the other.
///
/// # Errors
///
/// As [`source_tree`].
pub fn binaries(dir: &Path, len: u64) -> anyhow::Result<Corpus> {
    make(
        dir,
        "binaries",
        "executables and libraries of the Go and Rust toolchains, in a tar",
        "binaries",
        len,
        binary_roots,
    )
}

/// The folders to take, each with the name it gets in the tar file.
type Roots = Vec<(&'static str, PathBuf)>;

fn source_roots() -> Roots {
    let mut roots = Roots::new();
    if let Some(go) = go_root() {
        roots.push(("go", go.join("src")));
    }
    if let Some(cargo) = cargo_home() {
        roots.push(("crates", cargo.join("registry/src")));
    }
    roots
}

fn binary_roots() -> Roots {
    let mut roots = Roots::new();
    if let Some(go) = go_root() {
        roots.extend([("go/bin", go.join("bin")), ("go/tool", go.join("pkg/tool"))]);
    }
    if let Some(rust) = ask(Command::new("rustc").args(["--print", "sysroot"])) {
        let rust = PathBuf::from(rust);
        roots.extend([
            ("rust/bin", rust.join("bin")),
            ("rust/lib", rust.join("lib")),
        ]);
    }
    roots
}

fn make(
    dir: &Path,
    name: &'static str,
    origin: &'static str,
    file: &str,
    len: u64,
    roots: fn() -> Roots,
) -> anyhow::Result<Corpus> {
    let path = dir.join(format!("{file}-{len}.tar"));
    if fs::metadata(&path).map_or(0, |meta| meta.len()) != len {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        // Under its own name only once it is whole: what a stopped run left is not taken for it.
        let mut whole = tempfile::NamedTempFile::new_in(dir)
            .with_context(|| format!("cannot write to {}", dir.display()))?;
        let roots = roots();
        let made = tar_of(&roots, whole.as_file_mut(), len)?;
        if made < len {
            let places: Vec<_> = roots
                .iter()
                .map(|(_, root)| root.display().to_string())
                .collect();
            let (made, want) = (made >> 20, len >> 20);
            bail!(
                "there are only {made} of {want} MiB in {}; ask for less (--source, --binaries)",
                places.join(", ")
            );
        }
        whole
            .persist(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let sha256 =
        sha256(File::open(&path)?).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Corpus {
        name,
        origin,
        path,
        len,
        sha256,
    })
}

/// Writes the files below `roots` to `sink` in tar format, up to `len` bytes, and returns how many there were.
fn tar_of(roots: &Roots, sink: &mut File, len: u64) -> anyhow::Result<u64> {
    let mut tar = tar::Builder::new(Cut {
        sink: io::BufWriter::new(sink),
        left: len,
    });
    for (name, root) in roots {
        add(&mut tar, root, Path::new(name))?;
    }
    let mut cut = tar.into_inner().context("cannot end the tar file")?;
    cut.flush()?;
    Ok(len - cut.left)
}

/// Adds what is below `from` as `to`, folder by folder in the order of names, until the sink is full.
fn add<W: Write>(tar: &mut tar::Builder<Cut<W>>, from: &Path, to: &Path) -> anyhow::Result<()> {
    let context = || format!("cannot read {}", from.display());
    let mut entries = fs::read_dir(from)
        .with_context(context)?
        .collect::<Result<Vec<_>, _>>()
        .with_context(context)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if tar.get_ref().left == 0 {
            return Ok(());
        }
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().with_context(context)?;
        if kind.is_dir() {
            add(tar, &from, &to)?;
        } else if kind.is_file() {
            let file = File::open(&from).with_context(context)?;
            // Owners and times would make it another file on every machine.
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(file.metadata().with_context(context)?.len());
            tar.append_data(&mut header, &to, file)
                .with_context(|| format!("cannot store {}", from.display()))?;
        }
    }
    Ok(())
}

/// Passes on the first bytes, and swallows the others.
struct Cut<W> {
    sink: W,
    left: u64,
}

impl<W: Write> Write for Cut<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(bytes.len());
        }
        let room = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let written = self.sink.write(&bytes[..room])?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// SHA-256 of everything that `source` gives, in hexadecimal.
pub(crate) fn sha256(mut source: impl io::Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match source.read(&mut buffer)? {
            0 => break,
            len => hash.update(&buffer[..len]),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// The first `len` bytes of the source tree, for benches that want them in memory.
///
/// # Errors
///
/// As [`source_tree`].
pub fn source_bytes(dir: &Path, len: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(source_tree(dir, len)?.path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn go_root() -> Option<PathBuf> {
    let go = harness::go().ok()?;
    ask(go.command().args(["env", "GOROOT"])).map(PathBuf::from)
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
}

/// The one line that `command` prints, if it works.
pub(crate) fn ask(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines()
        .next()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corpus_is_cut_sorted_and_the_same_every_time() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("b/two", "22"), ("a", "1"), ("b/three", "333")] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let roots = vec![("top", dir.path().to_path_buf())];
        let make = |len| {
            let mut file = tempfile::tempfile().unwrap();
            let made = tar_of(&roots, &mut file, len).unwrap();
            let mut bytes = Vec::new();
            io::Seek::rewind(&mut file).unwrap();
            file.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, made);
            bytes
        };
        let all = make(1 << 20);
        let names: Vec<_> = tar::Archive::new(&all[..])
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().into_owned())
            .collect();
        assert_eq!(
            names,
            ["top/a", "top/b/three", "top/b/two"].map(PathBuf::from)
        );
        assert_eq!(make(1500), all[..1500]);
    }

    #[test]
    fn hashes_are_sha_256() {
        let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&b"abc"[..]).unwrap(), of_abc);
    }

    #[test]
    fn too_little_data_is_an_error_with_a_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let error = make(dir.path(), "none", "nowhere", "none", 1 << 20, Roots::new).unwrap_err();
        assert!(error.to_string().contains("only 0 of 1 MiB"), "{error}");
        assert!(error.to_string().contains("--source"), "{error}");
    }
}
