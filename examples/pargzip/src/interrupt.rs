//! Ctrl-C and its kin: what was half written goes, what was there before stays.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::NamedTempFile;

/// What a shell reports of a program that Ctrl-C ended: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Knows the file that is to be removed when the program is interrupted.
pub(crate) struct Interrupt {
    partial: Arc<Mutex<Option<PathBuf>>>,
}

impl Interrupt {
    /// From now on an interrupt, a hang-up or a termination removes the partial file and ends the program.
    pub(crate) fn listen() -> Result<Self, ctrlc::Error> {
        let partial = Arc::new(Mutex::new(None::<PathBuf>));
        let seen = Arc::clone(&partial);
        ctrlc::set_handler(move || {
            // Locked until the end, so that no other partial file begins now.
            let partial = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(path) = &*partial {
                // It may have got its final name just now.
                let _ = std::fs::remove_file(path);
            }
            // The shell's prompt is not to stand behind a progress bar; nobody is left to tell if that fails.
            if io::stderr().is_terminal() {
                let _ = writeln!(io::stderr());
            }
            std::process::exit(INTERRUPTED);
        })?;
        Ok(Self { partial })
    }

    /// Creates a partial file, and guards it until the guard is dropped. There is no moment in which an interrupt
    /// would leave it behind.
    pub(crate) fn guard(
        &self,
        create: impl FnOnce() -> io::Result<NamedTempFile>,
    ) -> io::Result<(NamedTempFile, Guard<'_>)> {
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        let file = create()?;
        *partial = Some(file.path().to_owned());
        Ok((file, Guard(self)))
    }
}

pub(crate) struct Guard<'a>(&'a Interrupt);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        *self
            .0
            .partial
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }
}
