use std::io;
use std::path::{Path, PathBuf};

/// A file of a log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The file's name, without the directory.
    pub name: String,
    /// Where the file is.
    pub path: PathBuf,
    /// How many bytes it had when it was listed.
    pub len: u64,
}

/// The files of a log directory in the order in which they are read.
///
/// That are all files in `dir`, not below it, whose names begin with `maintner-` and end in `.mutlog`, by the bytes of
/// their names.
///
/// # Errors
///
/// As the directory or a file of it cannot be looked at; a missing directory is an error.
pub fn segments(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if !(name.starts_with("maintner-") && name.ends_with(".mutlog")) {
            continue;
        }
        let path = entry.path();
        // Through links, which somebody may have made to share segments.
        let metadata = std::fs::metadata(&path)?;
        if metadata.is_file() {
            let len = metadata.len();
            segments.push(Segment { name, path, len });
        }
    }
    segments.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(segments)
}
