use std::collections::HashSet;
use std::io::{self, Read as _};

use sha1::{Digest as _, Sha1};

use super::ListError;
use crate::archive::FsError;
use crate::archive::header::Kind;
use crate::archive::sys;
use crate::archive::walk::{Found, Walk, path_bytes};
use crate::archive::{CreateError, Folder};
use crate::types::{DirEntry, FileMode, ListRequest, RelativePath};

/// The entries of a directory, as `/ls` lists them: an iterator that reads on as it is asked.
///
/// In the byte order of names, each directory before what is in it. The directory itself is not listed; a listed file has an empty
/// name. After an error nothing follows.
#[derive(Debug)]
pub struct Listing {
    walk: Walk,
    recursive: bool,
    digest: bool,
    skip: HashSet<Vec<u8>>,
    failed: bool,
}

impl Listing {
    pub(super) fn new(
        folder: &Folder,
        dir: &RelativePath,
        request: &ListRequest,
    ) -> Result<Self, ListError> {
        let skip = request.skipped().iter();
        Ok(Self {
            walk: Walk::new(folder, dir.as_path())?,
            recursive: request.is_recursive(),
            digest: request.wants_digest(),
            skip: skip.map(|name| sys::bytes(name).to_vec()).collect(),
            failed: false,
        })
    }

    /// The entry, unless it is one to leave out.
    fn entry(&mut self, found: &Found) -> Result<Option<DirEntry>, ListError> {
        let failed =
            |operation, error| FsError::new(operation, self.walk.shown(&found.path), error);
        let meta = found.stat().map_err(|error| failed("lstat", error))?;
        let mode = FileMode::from_unix(meta.mode);
        let name = path_bytes(&found.path);
        match meta.kind() {
            Some(Kind::Directory) => {
                if self.skip.contains(&name) {
                    return Ok(None);
                }
                if self.recursive {
                    self.walk.enter(found).map_err(|error| match error {
                        CreateError::Depth { path, most } => ListError::Depth { path, most },
                        CreateError::Fs(error) => ListError::Fs(error),
                        other => unreachable!("walking writes nothing: {other}"),
                    })?;
                }
            }
            Some(Kind::Regular) => {
                let entry = DirEntry::file(mode, name, meta.size, meta.mtime.into());
                if !self.digest {
                    return Ok(Some(entry));
                }
                let digest = digest(found).map_err(|error| failed("open", error))?;
                return Ok(Some(entry.with_digest(digest)));
            }
            _ => {}
        }
        Ok(Some(DirEntry::new(mode, name)))
    }
}

impl Iterator for Listing {
    type Item = Result<DirEntry, ListError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let found = self.walk.next()?;
            match self.entry(&found) {
                Ok(Some(entry)) => return Some(Ok(entry)),
                Ok(None) => {}
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// SHA-1 of a file's content, in lower-case hexadecimal digits.
fn digest(found: &Found) -> io::Result<String> {
    let mut file = sys::open_read(&found.dir, &found.name)?;
    if !sys::stat_file(&file)?.is_regular() {
        return Err(io::Error::other("it was a regular file a moment ago"));
    }
    let mut digest = Sha1::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => digest.update(&buffer[..len]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
