//! Worker threads, and the tickets by which their owner takes results in the order it likes.
//!
//! One owner submits jobs and takes results; workers run the jobs as they come. Whoever needs an order (a
//! writer: always; a reader: nearly always) keeps its tickets in a queue and waits for the first.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};

use crate::sync::{Arc, Condvar, JoinHandle, Mutex, MutexGuard, spawn};

/// A thread's own state and what it does with a job.
pub(crate) trait Worker {
    type Job: Send + 'static;
    type Done: Send + 'static;

    fn run(&mut self, job: Self::Job) -> Self::Done;
}

/// Names one submitted job. Not `Clone`: a result can be taken once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// Up to `max_threads` workers, started one by one as jobs find no idle worker, so that a small file never pays
/// for a large machine.
///
/// Dropping the pool forgets the jobs that no worker has begun and waits for those that run: at most one job's
/// time, since a worker takes no other.
pub(crate) struct Pool<W: Worker> {
    shared: Arc<Shared<W::Job, W::Done>>,
    make_worker: std::sync::Arc<dyn Fn() -> W + Send + Sync>,
    threads: Vec<JoinHandle<()>>,
    max_threads: usize,
    next_ticket: u64,
}

struct Shared<J, D> {
    state: Mutex<State<J, D>>,
    work: Condvar,
    ready: Condvar,
}

/// Where a job goes in the queue.
type Push<J> = fn(&mut VecDeque<(u64, J)>, (u64, J));

struct State<J, D> {
    queue: VecDeque<(u64, J)>,
    /// Results not taken yet; `None` stands for a job whose worker panicked. As short as the owner's limit of
    /// jobs in flight, so a linear search is the fast one.
    done: Vec<(u64, Option<D>)>,
    idle: usize,
    closed: bool,
    waker: Option<Waker>,
}

impl<W: Worker + 'static> Pool<W> {
    pub(crate) fn new(
        max_threads: usize,
        make_worker: impl Fn() -> W + Send + Sync + 'static,
    ) -> Self {
        let state = State {
            queue: VecDeque::new(),
            done: Vec::new(),
            idle: 0,
            closed: false,
            waker: None,
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                work: Condvar::new(),
                ready: Condvar::new(),
            }),
            make_worker: std::sync::Arc::new(make_worker),
            threads: Vec::new(),
            max_threads,
            next_ticket: 0,
        }
    }

    /// Queues `job` behind the others.
    ///
    /// # Errors
    ///
    /// No thread runs yet and the system gives none. With one at least, work goes on with those there are.
    pub(crate) fn submit(&mut self, job: W::Job) -> io::Result<Ticket> {
        self.enqueue(job, VecDeque::push_back)
    }

    /// Queues `job` before the others: its owner cannot go on without it.
    pub(crate) fn submit_first(&mut self, job: W::Job) -> io::Result<Ticket> {
        self.enqueue(job, VecDeque::push_front)
    }

    fn enqueue(&mut self, job: W::Job, push: Push<W::Job>) -> io::Result<Ticket> {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let wants_thread = {
            let mut state = self.shared.lock();
            push(&mut state.queue, (ticket, job));
            state.queue.len() > state.idle && self.threads.len() < self.max_threads
        };
        if wants_thread {
            match self.start_thread() {
                Err(error) if self.threads.is_empty() => {
                    self.shared.lock().queue.retain(|(id, _)| *id != ticket);
                    return Err(error);
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.shared.work.notify_one();
        Ok(Ticket(ticket))
    }

    fn start_thread(&mut self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let make_worker = std::sync::Arc::clone(&self.make_worker);
        self.threads
            .push(spawn(move || shared.serve(|| make_worker()))?);
        Ok(())
    }

    /// Waits for a result.
    pub(crate) fn wait(&self, ticket: &Ticket) -> Result<W::Done, WorkerPanicked> {
        let mut state = self.shared.lock();
        loop {
            if let Some(done) = state.take(ticket) {
                return done.ok_or(WorkerPanicked);
            }
            state = self
                .shared
                .ready
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// Takes a result if it is there.
    pub(crate) fn try_take(&self, ticket: &Ticket) -> Option<Result<W::Done, WorkerPanicked>> {
        self.shared
            .lock()
            .take(ticket)
            .map(|done| done.ok_or(WorkerPanicked))
    }

    /// Takes a result, or has the task woken when any result arrives.
    pub(crate) fn poll(
        &self,
        ticket: &Ticket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<W::Done, WorkerPanicked>> {
        let mut state = self.shared.lock();
        if let Some(done) = state.take(ticket) {
            return Poll::Ready(done.ok_or(WorkerPanicked));
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Lets the threads end by themselves after the jobs they run, so that dropping the pool waits for nobody.
    #[cfg(feature = "tokio")]
    pub(crate) fn detach(&mut self) {
        self.threads.clear();
    }
}

impl<W: Worker> Drop for Pool<W> {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.closed = true;
            state.queue.clear();
        }
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // A worker catches its jobs' panics; nothing is left to report.
            let _ = thread.join();
        }
    }
}

impl<J, D> Shared<J, D> {
    fn lock(&self) -> MutexGuard<'_, State<J, D>> {
        // No code that could panic runs under this lock.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A worker's life: jobs until the pool closes.
    fn serve<W: Worker<Job = J, Done = D>>(&self, make_worker: impl Fn() -> W) {
        let mut worker = None;
        while let Some((ticket, job)) = self.next_job() {
            // A panic would be a defect of a codec. It must reach the owner as an error, not as a hang.
            let run = || worker.get_or_insert_with(&make_worker).run(job);
            let done = catch_unwind(AssertUnwindSafe(run)).ok();
            if done.is_none() {
                worker = None;
            }
            let waker = {
                let mut state = self.lock();
                state.done.push((ticket, done));
                state.waker.take()
            };
            self.ready.notify_one();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn next_job(&self) -> Option<(u64, J)> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.queue.pop_front() {
                return Some(job);
            }
            state.idle += 1;
            state = self
                .work
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

impl<J, D> State<J, D> {
    fn take(&mut self, ticket: &Ticket) -> Option<Option<D>> {
        let at = self.done.iter().position(|(id, _)| *id == ticket.0)?;
        Some(self.done.swap_remove(at).1)
    }
}

/// A worker thread panicked over a job: a defect of this crate or of its codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WorkerPanicked;

impl From<WorkerPanicked> for io::Error {
    fn from(_: WorkerPanicked) -> Self {
        Self::other("a pargzip worker thread panicked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Square;

    impl Worker for Square {
        type Job = u64;
        type Done = u64;

        fn run(&mut self, job: u64) -> u64 {
            assert_ne!(job, 13, "an unlucky number");
            job * job
        }
    }

    #[cfg(not(loom))]
    #[test]
    fn results_are_taken_by_ticket_in_any_order() {
        let mut pool = Pool::new(3, || Square);
        let tickets: Vec<_> = (0..10).map(|n| pool.submit(n).unwrap()).collect();
        for (n, ticket) in tickets.iter().enumerate().rev() {
            assert_eq!(pool.wait(ticket), Ok((n * n) as u64));
            assert_eq!(pool.try_take(ticket), None);
        }
        assert!(pool.threads.len() <= 3);
    }

    #[cfg(not(loom))]
    #[test]
    fn a_panicking_job_is_an_error_and_the_worker_goes_on() {
        let mut pool = Pool::new(1, || Square);
        let unlucky = pool.submit(13).unwrap();
        let next = pool.submit(4).unwrap();
        assert_eq!(pool.wait(&unlucky), Err(WorkerPanicked));
        assert_eq!(pool.wait(&next), Ok(16));
    }

    #[cfg(not(loom))]
    #[test]
    fn a_pool_without_jobs_starts_no_thread() {
        let pool = Pool::new(8, || Square);
        assert_eq!(pool.threads.len(), 0);
    }

    #[cfg(not(loom))]
    #[test]
    fn a_waiting_task_is_woken() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        struct Count(AtomicUsize, std::thread::Thread);
        impl std::task::Wake for Count {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
                self.1.unpark();
            }
        }
        let count = std::sync::Arc::new(Count(AtomicUsize::new(0), std::thread::current()));
        let waker = Waker::from(std::sync::Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let mut pool = Pool::new(1, || Square);
        let ticket = pool.submit(7).unwrap();
        loop {
            if let Poll::Ready(done) = pool.poll(&ticket, &mut cx) {
                assert_eq!(done, Ok(49));
                break;
            }
            while count.0.swap(0, Ordering::SeqCst) == 0 {
                std::thread::park();
            }
        }
    }

    /// Every schedule of an owner with two workers: results arrive under their own tickets, in the order asked.
    #[cfg(loom)]
    #[test]
    fn loom_results_come_in_the_order_of_their_tickets() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let mut pool = Pool::new(2, || Square);
            let mut tickets = VecDeque::new();
            for n in 1..=3 {
                tickets.push_back((n, pool.submit(n).unwrap()));
                if tickets.len() == 2 {
                    let (n, oldest) = tickets.pop_front().unwrap();
                    assert_eq!(pool.wait(&oldest), Ok(n * n));
                }
            }
            for (n, ticket) in tickets {
                assert_eq!(pool.wait(&ticket), Ok(n * n));
            }
        });
    }

    /// Every schedule of a drop with jobs queued, running and done: it neither hangs nor leaves a thread.
    #[cfg(loom)]
    #[test]
    fn loom_dropping_with_work_in_flight_ends_the_threads() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let mut pool = Pool::new(2, || Square);
            pool.submit(1).unwrap();
            pool.submit_first(2).unwrap();
            drop(pool);
        });
    }
}
