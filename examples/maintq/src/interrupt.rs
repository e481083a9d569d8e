//! Ctrl-C and its kin: a folder that is half written goes.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;

/// What a shell reports of a program that Ctrl-C ended: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// The folder that an interrupt removes.
static PARTIAL: Mutex<Option<PathBuf>> = Mutex::new(None);

/// From now on an interrupt, a hang-up or a termination removes what is half written, and ends the program.
pub(crate) fn listen() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        // Locked until the end, so that no other folder begins now.
        let partial = PARTIAL.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &*partial {
            // It may have gone just now.
            let _ = std::fs::remove_dir_all(path);
        }
        // The shell's prompt is not to stand behind a progress bar; nobody is left to tell if that fails.
        if io::stderr().is_terminal() {
            let _ = writeln!(io::stderr());
        }
        std::process::exit(INTERRUPTED);
    })
    .context("cannot listen for signals")
}

/// Makes a folder that an interrupt removes. There is to be one at a time.
#[cfg(feature = "export")]
pub(crate) fn guard(
    make: impl FnOnce() -> io::Result<tempfile::TempDir>,
) -> io::Result<tempfile::TempDir> {
    let mut partial = PARTIAL.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = make()?;
    *partial = Some(dir.path().to_owned());
    Ok(dir)
}
