//! Open directories, so that a path is not resolved again for each file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::folder::{Folder, Links, Missing, Step, Steps, names};
use super::fs_error::FsError;

/// Directories held open: archives go through a tree in its order, so few are enough, and file descriptors are few (1,024 by
/// default).
const HELD: usize = 64;

/// The directories used last.
pub(crate) struct Parents<'a> {
    base: &'a Folder,
    links: Links,
    held: HashMap<PathBuf, Held>,
    uses: u64,
}

struct Held {
    step: Step,
    last_use: u64,
}

impl<'a> Parents<'a> {
    pub(crate) fn new(base: &'a Folder, links: Links) -> Self {
        Self {
            base,
            links,
            held: HashMap::new(),
            uses: 0,
        }
    }

    /// Whether the directory is held open.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        path.as_os_str().is_empty() || self.held.contains_key(path)
    }

    /// The directory in which the last name of `path` is.
    pub(crate) fn parent(&mut self, path: &Path, missing: Missing) -> Result<Step, FsError> {
        self.open(path.parent().unwrap_or(Path::new("")), missing)
    }

    /// The directory at `path`.
    pub(crate) fn open(&mut self, path: &Path, missing: Missing) -> Result<Step, FsError> {
        self.uses += 1;
        // The nearest one that is open.
        let (mut at, mut step) = (PathBuf::new(), Step::base(self.base));
        for ancestor in path.ancestors() {
            if let Some(held) = self.held.get_mut(ancestor) {
                held.last_use = self.uses;
                (at, step) = (ancestor.to_owned(), held.step.clone());
                break;
            }
        }
        let known = names(&at).count();
        let mut steps = Steps::from(self.base, self.links, at);
        for name in names(path).skip(known) {
            step = steps.enter(&step, name, missing)?;
            self.hold(steps.at().to_owned(), step.clone());
        }
        Ok(step)
    }

    fn hold(&mut self, path: PathBuf, step: Step) {
        if self.held.len() >= HELD {
            let oldest = self.held.iter().min_by_key(|(_, held)| held.last_use);
            if let Some(oldest) = oldest.map(|(path, _)| path.clone()) {
                self.held.remove(&oldest);
            }
        }
        let last_use = self.uses;
        self.held.insert(path, Held { step, last_use });
    }
}
