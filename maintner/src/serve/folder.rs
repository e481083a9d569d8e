//! The whole records of the files in a folder, and whether they go on from what was served before.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha224};

use crate::reclog::{Blocks, ReadError, segments};
use crate::serve::error::ServeError;
use crate::serve::log::{Place, Segment};
use crate::sum::Sum;

pub(super) struct Folder {
    pub(super) dir: PathBuf,
    /// What was read of each file. Held while files are read, by threads that may wait.
    scanned: Mutex<Vec<Scanned>>,
}

#[derive(Clone)]
struct Scanned {
    name: String,
    path: PathBuf,
    size: u64,
    hasher: Sha224,
}

impl Folder {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            scanned: Mutex::default(),
        }
    }

    /// Reads what the files have more than before, and hands over what there is if that is something else. What came before an error
    /// counts.
    pub(super) fn look(&self, publish: impl FnOnce(Vec<Segment>)) -> Result<(), ServeError> {
        // A panic in here would leave hashes of what was really read.
        let mut scanned = self.scanned.lock().unwrap_or_else(PoisonError::into_inner);
        let before: u64 = scanned.iter().map(|segment| segment.size).sum();
        let result = scan(&self.dir, &mut scanned);
        if scanned.iter().map(|segment| segment.size).sum::<u64>() != before {
            let segment = |scanned: &Scanned| Segment {
                place: Place::File(scanned.path.clone()),
                size: scanned.size,
                sum: Sum::of(&scanned.hasher),
            };
            publish(scanned.iter().map(segment).collect());
        }
        result
    }
}

/// Reads what the files have more than before.
fn scan(dir: &Path, scanned: &mut Vec<Scanned>) -> Result<(), ServeError> {
    let files = segments(dir).map_err(|source| ServeError::Dir {
        dir: dir.to_owned(),
        source,
    })?;
    let mut known = 0;
    for file in &files {
        if let Some(segment) = scanned.get(known)
            && segment.name == file.name
        {
            let is_last = known + 1 == scanned.len();
            if file.len < segment.size {
                let segment = file.path.clone();
                return Err(ServeError::Changed { segment });
            }
            if file.len > segment.size {
                let mut longer = segment.clone();
                let result = read(&mut longer);
                // Torn bytes may stay where they are; records would have come too late.
                if !is_last && longer.size > segment.size {
                    let segment = file.path.clone();
                    return Err(ServeError::Changed { segment });
                }
                scanned[known] = longer;
                result?;
            }
            known += 1;
            continue;
        }
        if known < scanned.len() {
            if file.len == 0 {
                continue; // it never was one
            }
            let segment = scanned[known].path.clone();
            return Err(ServeError::Changed { segment });
        }
        let mut segment = Scanned {
            name: file.name.clone(),
            path: file.path.clone(),
            size: 0,
            hasher: Sha224::new(),
        };
        let result = read(&mut segment);
        // One without a record has no number yet.
        if segment.size > 0 {
            scanned.push(segment);
            known += 1;
        }
        result?;
    }
    if known < scanned.len() {
        let segment = scanned[known].path.clone();
        return Err(ServeError::Changed { segment });
    }
    Ok(())
}

/// Takes the whole records that came since.
fn read(segment: &mut Scanned) -> Result<(), ServeError> {
    let failed = |path: &Path, source| ServeError::Segment {
        segment: path.to_owned(),
        source,
    };
    let io = |path: &Path, offset, source| failed(path, ReadError::Io { offset, source });
    let mut file = File::open(&segment.path).map_err(|e| io(&segment.path, segment.size, e))?;
    file.seek(SeekFrom::Start(segment.size))
        .map_err(|e| io(&segment.path, segment.size, e))?;
    let mut blocks = Blocks::new(file, segment.size);
    let mut memory = Vec::new();
    loop {
        match blocks.next(memory) {
            Ok(Some(block)) => {
                segment.hasher.update(&block.data);
                segment.size += block.data.len() as u64;
                memory = block.data;
            }
            Ok(None) => return Ok(()),
            // Somebody is writing.
            Err(error) if error.is_incomplete() => return Ok(()),
            Err(error) => return Err(failed(&segment.path, error)),
        }
    }
}
