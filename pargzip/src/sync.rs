//! The synchronisation primitives of the pool: the standard library's, or loom's when its scheduler explores
//! them (`RUSTFLAGS="--cfg loom"`).

#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};
#[cfg(not(all(loom, test)))]
pub(crate) use std::thread::JoinHandle;

#[cfg(all(loom, test))]
pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
#[cfg(all(loom, test))]
pub(crate) use loom::thread::JoinHandle;

/// Starts a thread, or says why the system gives none.
#[cfg(not(all(loom, test)))]
pub(crate) fn spawn(body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("pargzip".to_owned())
        .spawn(body)
}

#[cfg(all(loom, test))]
#[expect(clippy::unnecessary_wraps, reason = "the real one can fail")]
pub(crate) fn spawn(body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    Ok(loom::thread::spawn(body))
}
