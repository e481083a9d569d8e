//! A waker for threads.

use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::sync::{Condvar, Mutex, wait};

/// Blocks one thread until its waker is woken.
///
/// Not `thread::park`: its token may be meant for other code of the thread.
#[derive(Debug)]
pub(crate) struct Parker {
    signal: Arc<Signal>,
    waker: Waker,
}

#[derive(Debug)]
struct Signal {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    pub(crate) fn new() -> Self {
        let signal = Arc::new(Signal {
            woken: Mutex::new(false),
            changed: Condvar::new(),
        });
        let waker = Waker::from(Arc::clone(&signal));
        Self { signal, waker }
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Returns once the waker has been woken since the last call.
    pub(crate) fn park(&self) {
        let mut woken = self.signal.woken.lock();
        while !*woken {
            woken = wait(&self.signal.changed, woken);
        }
        *woken = false;
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.woken.lock() = true;
        self.changed.notify_one();
    }
}
