//! The buildlet on the disk, and what is known of it.

use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::NamedTempFile;

use crate::digest::Digest;

/// What a partial file's name has before its random end, behind that of the file it is to become.
const PARTIAL: &str = ".partial-";

/// A partial file that is older than this is of a process that was killed.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// What was noted when the file was fetched, in a file beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// Of where it was fetched from, without a query.
    pub(crate) url: String,
    pub(crate) sha256: Digest,
    pub(crate) etag: Option<String>,
}

impl Note {
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        };
        Some(Self {
            url: field("url")?.to_owned(),
            sha256: field("sha256")?.parse().ok()?,
            etag: field("etag").map(str::to_owned),
        })
    }

    fn write(&self) -> String {
        let Self { url, sha256, etag } = self;
        let etag = etag
            .as_ref()
            .map(|etag| format!("etag {etag}\n"))
            .unwrap_or_default();
        format!("url {url}\nsha256 {sha256}\n{etag}")
    }
}

/// The buildlet as it was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) size: u64,
    pub(crate) modified: Option<SystemTime>,
    /// Computed from the file, and not believed from the note.
    pub(crate) sha256: Digest,
    /// What was noted of this very content.
    pub(crate) note: Option<Note>,
    /// Whether there is a note of another content: the file has changed since it was fetched.
    pub(crate) spoiled: bool,
}

/// Looks at the file; `None` if there is none, or an empty one.
pub(crate) fn find(path: &Path) -> io::Result<Option<Found>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() == 0 {
        return Ok(None);
    }
    let sha256 = Digest::of(&file)?;
    let note = fs::read_to_string(note_path(path))
        .ok()
        .and_then(|text| Note::parse(&text));
    let spoiled = note.as_ref().is_some_and(|note| note.sha256 != sha256);
    Ok(Some(Found {
        size: meta.len(),
        modified: modified(&meta),
        sha256,
        note: note.filter(|_| !spoiled),
        spoiled,
    }))
}

fn modified(meta: &Metadata) -> Option<SystemTime> {
    meta.modified().ok()
}

/// A file in the making beside `path`. It vanishes unless it is [published](publish).
pub(crate) fn begin(path: &Path) -> io::Result<NamedTempFile> {
    let (dir, name) = split(path)?;
    fs::create_dir_all(dir)?;
    tempfile::Builder::new()
        .prefix(&format!("{name}{PARTIAL}"))
        .tempfile_in(dir)
}

/// Gives a whole file its name. Whoever looks sees the old one or the new one, also after the power failed.
pub(crate) fn publish(
    new: NamedTempFile,
    path: &Path,
    modified: Option<SystemTime>,
    note: &Note,
) -> io::Result<()> {
    #[cfg(unix)]
    new.as_file()
        .set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    if let Some(modified) = modified {
        new.as_file().set_modified(modified)?;
    }
    new.as_file().sync_all()?;
    let mut noted = begin(&note_path(path))?;
    noted.write_all(note.write().as_bytes())?;
    noted.as_file().sync_all()?;
    // In between, the old file has the new note, or the other way round; each alone would pass for spoiled. So for that moment
    // there is none.
    remove(&note_path(path))?;
    new.persist(path).map_err(|error| error.error)?;
    noted
        .persist(note_path(path))
        .map_err(|error| error.error)?;
    // The names too.
    #[cfg(unix)]
    File::open(split(path)?.0)?.sync_all()?;
    Ok(())
}

/// Removes what processes left that were killed in the middle of a download.
pub(crate) fn tidy(path: &Path) {
    let Ok((dir, name)) = split(path) else { return };
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let partial = entry
            .file_name()
            .to_str()
            .is_some_and(|file| file.starts_with(name) && file.contains(PARTIAL));
        let stale = entry
            .metadata()
            .ok()
            .and_then(|meta| modified(&meta)?.elapsed().ok())
            .is_some_and(|age| age > STALE);
        if partial && stale && fs::remove_file(entry.path()).is_ok() {
            tracing::info!(file = %entry.path().display(), "removed what a download left");
        }
    }
}

fn note_path(path: &Path) -> PathBuf {
    let mut note = path.as_os_str().to_owned();
    note.push(".note");
    note.into()
}

fn split(path: &Path) -> io::Result<(&Path, &str)> {
    let name = path.file_name().and_then(|name| name.to_str());
    match (path.parent(), name) {
        (Some(dir), Some(name)) => Ok((dir, name)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not the name of a file",
        )),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(content: &[u8], etag: Option<&str>) -> Note {
        Note {
            url: "http://x/y".to_owned(),
            sha256: Digest::of(content).unwrap(),
            etag: etag.map(str::to_owned),
        }
    }

    fn put(path: &Path, content: &[u8], note: &Note) {
        let mut new = begin(path).unwrap();
        new.write_all(content).unwrap();
        publish(
            new,
            path,
            Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)),
            note,
        )
        .unwrap();
    }

    #[test]
    fn a_published_file_is_found_with_its_note() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/buildlet.exe");
        assert!(find(&path).unwrap().is_none());
        let noted = note(b"content", Some("\"tag\""));
        put(&path, b"content", &noted);
        let found = find(&path).unwrap().unwrap();
        assert_eq!(
            (found.size, found.sha256, found.note, found.spoiled),
            (7, noted.sha256, Some(noted), false)
        );
        assert_eq!(
            found
                .modified
                .unwrap()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs(),
            1_000_000_000
        );
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions())
                & 0o777,
            0o755
        );
        assert_eq!(fs::read_dir(dir.path().join("new")).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_changed_is_spoiled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("buildlet.exe");
        put(&path, b"content", &note(b"content", None));
        fs::write(&path, b"content, and rot").unwrap();
        let found = find(&path).unwrap().unwrap();
        assert!(found.spoiled && found.note.is_none());
        // Without a note, as another program may have fetched it, nothing speaks against it.
        fs::remove_file(note_path(&path)).unwrap();
        assert!(!find(&path).unwrap().unwrap().spoiled);
        fs::write(&path, b"").unwrap();
        assert!(find(&path).unwrap().is_none());
    }

    #[test]
    fn only_old_partial_files_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("buildlet.exe");
        let old = SystemTime::now() - 2 * STALE;
        for (name, modified) in [
            ("buildlet.exe.partial-old", Some(old)),
            ("buildlet.exe.partial-new", None),
            ("buildlet.exe", Some(old)),
            ("other.partial-x", Some(old)),
        ] {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_modified(modified.unwrap_or_else(SystemTime::now))
                .unwrap();
        }
        tidy(&path);
        assert!(!dir.path().join("buildlet.exe.partial-old").exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
