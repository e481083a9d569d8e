//! The synchronisation primitives of the log: the standard library's, or loom's when its scheduler explores them
//! (`RUSTFLAGS="--cfg loom"`).

#[cfg(all(loom, test))]
use loom::sync as imp;
#[cfg(not(all(loom, test)))]
use std::sync as imp;

pub(crate) use imp::atomic::{AtomicUsize, Ordering};
pub(crate) use imp::{Arc, Condvar, MutexGuard};

/// A mutex that does not know poison.
///
/// No caller's code runs under the locks of this crate, save `Waker::clone`, and that before anything is changed: a
/// panic leaves what is guarded whole.
#[derive(Debug)]
pub(crate) struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Waits for `condvar`, as [`Mutex::lock`] without poison.
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar
        .wait(guard)
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
