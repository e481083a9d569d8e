//! Does jobs on several threads and gives their results in order.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};

/// What the threads share. `work` is done for each job.
pub(crate) struct Ahead<J, R, F> {
    work: F,
    state: Mutex<State<J, R>>,
    changed: Condvar,
}

struct State<J, R> {
    /// Jobs whose results were not taken, the oldest first.
    slots: VecDeque<Slot<J, R>>,
    /// Number of the first slot.
    first: u64,
    closed: bool,
    /// A job panicked, whose result will not come.
    broken: bool,
}

enum Slot<J, R> {
    Waiting(J),
    Running,
    Done(R),
}

impl<J: Send, R: Send, F: Fn(J) -> R + Sync> Ahead<J, R, F> {
    pub(crate) fn new(work: F) -> Self {
        Self {
            work,
            state: Mutex::new(State {
                slots: VecDeque::new(),
                first: 0,
                closed: false,
                broken: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<J, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<J, R>>) -> MutexGuard<'a, State<J, R>> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until there will be no more jobs.
    fn run(&self) {
        let mut state = self.lock();
        while !state.closed {
            let waiting = state
                .slots
                .iter()
                .position(|slot| matches!(slot, Slot::Waiting(_)));
            let Some(at) = waiting else {
                state = self.wait(state);
                continue;
            };
            let number = state.first + at as u64;
            let Slot::Waiting(job) = std::mem::replace(&mut state.slots[at], Slot::Running) else {
                continue;
            };
            drop(state);
            let unwinding = Unwinding(self);
            let result = (self.work)(job);
            std::mem::forget(unwinding);
            state = self.lock();
            // Running slots are not taken away, so it is there still.
            let at = (number - state.first) as usize;
            state.slots[at] = Slot::Done(result);
            self.changed.notify_all();
        }
    }
}

/// Dropped when a job panics.
struct Unwinding<'a, J: Send, R: Send, F: Fn(J) -> R + Sync>(&'a Ahead<J, R, F>);

impl<J: Send, R: Send, F: Fn(J) -> R + Sync> Drop for Unwinding<'_, J, R, F> {
    fn drop(&mut self) {
        self.0.lock().broken = true;
        self.0.changed.notify_all();
    }
}

/// The end that gives jobs and takes results. Threads start with the second job that waits; dropping it stops them.
pub(crate) struct InOrder<'scope, 'env, J: Send, R: Send, F: Fn(J) -> R + Sync> {
    scope: &'scope Scope<'scope, 'env>,
    shared: &'env Ahead<J, R, F>,
    threads: usize,
    started: usize,
}

impl<'scope, 'env, J, R, F> InOrder<'scope, 'env, J, R, F>
where
    J: Send + 'env,
    R: Send + 'env,
    F: Fn(J) -> R + Sync + 'env,
{
    pub(crate) fn new(
        scope: &'scope Scope<'scope, 'env>,
        shared: &'env Ahead<J, R, F>,
        threads: usize,
    ) -> Self {
        Self {
            scope,
            shared,
            threads,
            started: 0,
        }
    }

    /// Jobs whose results were not taken.
    pub(crate) fn len(&self) -> usize {
        self.shared.lock().slots.len()
    }

    pub(crate) fn push(&mut self, job: J) {
        let mut state = self.shared.lock();
        let first = state.slots.is_empty();
        state.slots.push_back(Slot::Waiting(job));
        drop(state);
        if !first && self.started < self.threads {
            let shared = self.shared;
            let thread = Builder::new().name("tar".to_owned());
            match thread.spawn_scoped(self.scope, move || shared.run()) {
                Ok(_) => self.started += 1,
                // With fewer threads it takes longer.
                Err(_) => self.threads = self.started,
            }
        }
        self.shared.changed.notify_one();
    }

    /// The result of the oldest job. Does the job if nobody has begun with it. `None` without jobs, or after a panic that the scope
    /// hands on.
    pub(crate) fn pop(&mut self) -> Option<R> {
        let mut state = self.shared.lock();
        loop {
            if state.broken {
                return None;
            }
            match state.slots.front()? {
                Slot::Running => state = self.shared.wait(state),
                Slot::Waiting(_) | Slot::Done(_) => {
                    state.first += 1;
                    let slot = state.slots.pop_front()?;
                    drop(state);
                    return Some(match slot {
                        Slot::Done(result) => result,
                        Slot::Waiting(job) => (self.shared.work)(job),
                        Slot::Running => unreachable!("it was just looked at"),
                    });
                }
            }
        }
    }
}

impl<J: Send, R: Send, F: Fn(J) -> R + Sync> Drop for InOrder<'_, '_, J, R, F> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        let ahead = Ahead::new(|job: u32| job * 2);
        std::thread::scope(|scope| {
            let mut jobs = InOrder::new(scope, &ahead, 3);
            let (mut given, mut taken) = (0, 0);
            while taken < 10_000 {
                while jobs.len() < 7 {
                    jobs.push(given);
                    given += 1;
                }
                assert_eq!(jobs.pop(), Some(taken * 2));
                taken += 1;
            }
        });
    }

    #[test]
    fn a_job_that_panics_ends_the_work_and_is_told() {
        let caught = std::panic::catch_unwind(|| {
            let ahead = Ahead::new(|job: u32| {
                assert!(job != 50, "the fiftieth");
                job
            });
            std::thread::scope(|scope| {
                let mut jobs = InOrder::new(scope, &ahead, 2);
                for job in 0..100 {
                    jobs.push(job);
                }
                while jobs.pop().is_some() {}
            });
        });
        caught.unwrap_err();
    }
}
