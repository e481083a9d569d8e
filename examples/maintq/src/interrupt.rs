//! Ctrl-C and its kin: a folder that is half written goes.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;

/// What a shell reports of a program that Ctrl-C ended: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// How often a folder is emptied into which something comes meanwhile: more often than there are files.
const ATTEMPTS: usize = 100;

/// The folder that an interrupt removes.
static PARTIAL: Mutex<Option<PathBuf>> = Mutex::new(None);

/// From now on an interrupt, a hang-up or a termination removes what is half written, and ends the program.
pub(crate) fn listen() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        // Locked until the end, so that no other folder begins now.
        let partial = PARTIAL.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &*partial {
            remove(path);
        }
        // The shell's prompt is not to stand behind a progress bar; nobody is left to tell if that fails.
        if io::stderr().is_terminal() {
            let _ = writeln!(io::stderr());
        }
        std::process::exit(INTERRUPTED);
    })
    .context("cannot listen for signals")
}

/// Removes a folder in which files may still be begun, until it has gone.
fn remove(path: &Path) {
    for _ in 0..ATTEMPTS {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            // It may have gone just now; and nobody is left to tell if it cannot go.
            _ => return,
        }
    }
}

/// A folder for what is half written. An interrupt removes it, and so does dropping it.
#[cfg(feature = "export")]
pub(crate) struct Partial(tempfile::TempDir);

/// Makes a folder that an interrupt removes. There is to be one at a time.
#[cfg(feature = "export")]
pub(crate) fn guard(make: impl FnOnce() -> io::Result<tempfile::TempDir>) -> io::Result<Partial> {
    let mut partial = PARTIAL.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = make()?;
    *partial = Some(dir.path().to_owned());
    Ok(Partial(dir))
}

#[cfg(feature = "export")]
impl Partial {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Moves what is complete to where it belongs. An interrupt waits until that is done, so that all of it is moved or
    /// nothing.
    pub(crate) fn settle<T>(self, moves: impl FnOnce(&Path) -> T) -> T {
        let _locked = PARTIAL.lock().unwrap_or_else(PoisonError::into_inner);
        moves(self.path())
    }
}

#[cfg(feature = "export")]
impl Drop for Partial {
    /// Does not return when an interrupt came first: what then fails because the folder has gone is not told as an error.
    fn drop(&mut self) {
        drop(PARTIAL.lock());
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::thread;

    use super::*;

    #[test]
    fn a_folder_goes_though_files_are_begun_in_it() {
        for _ in 0..20 {
            let above = tempfile::tempdir().unwrap();
            let dir = above.path().join("partial");
            fs::create_dir(&dir).unwrap();
            thread::scope(|scope| {
                let begin = |name: usize| File::create_new(dir.join(name.to_string())).is_ok();
                // As many as there are attempts, or until there is no folder.
                scope.spawn(move || (1..ATTEMPTS).take_while(|&name| begin(name)).count());
                while dir.exists() && !dir.join("1").exists() {}
                remove(&dir);
            });
            assert!(!dir.exists());
        }
    }
}
