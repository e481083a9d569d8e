use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Holds a directory against other writers until it is dropped, or the process ends, however it does.
#[derive(Debug)]
pub(crate) struct Lock {
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "is held, and lets go when it is closed")
    )]
    file: File,
}

#[cfg(unix)]
impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that is just being forked elsewhere has the file too, until it runs its program.
        // What fails here, closing does in its time.
        let _ = rustix::fs::flock(&self.file, rustix::fs::FlockOperation::Unlock);
    }
}

/// Locks a directory by a file of this name in it, which stays when the lock has gone; `None` if somebody has it.
#[cfg(unix)]
pub(crate) fn lock(dir: &Path, name: &str) -> io::Result<Option<Lock>> {
    use rustix::fs::{FlockOperation, flock};
    use rustix::io::Errno;

    let file = open(dir, name, &mut OpenOptions::new())?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock { file })),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Locks a directory by a file of this name in it, which stays when the lock has gone; `None` if somebody has it.
#[cfg(windows)]
pub(crate) fn lock(dir: &Path, name: &str) -> io::Result<Option<Lock>> {
    use std::os::windows::fs::OpenOptionsExt as _;

    /// Somebody has the file open and shares it with nobody.
    const ERROR_SHARING_VIOLATION: i32 = 32;
    match open(dir, name, OpenOptions::new().share_mode(0)) {
        Ok(file) => Ok(Some(Lock { file })),
        Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(None),
        Err(error) => Err(error),
    }
}

fn open(dir: &Path, name: &str, options: &mut OpenOptions) -> io::Result<File> {
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join(name))
}
