//! What the handles of one log share.

use std::fs::File;
use std::task::Waker;
use std::time::SystemTime;

use bytes::Bytes;

use crate::config::Valid;
use crate::index::TimeIndex;
use crate::log::{Log, Next, Snapshot};
use crate::seats::{SeatId, Seats};
use crate::spill::{ReadError, SpillError, SpillWriter, read_exact_at};
use crate::sync::{Arc, AtomicUsize, Mutex, MutexGuard, Ordering};

#[derive(Debug)]
pub(crate) struct Shared {
    /// Held for as long as it takes to copy one write in, or to find a piece; never while a reader copies, a file is
    /// read or written, or a waker runs.
    state: Mutex<State>,
    /// The empty vector of the last wake-up, to be filled again. Not in `state`: readers that were just woken are
    /// about to lock that.
    spare_wakers: Mutex<Vec<Waker>>,
    /// Taken, before `state`, by the writer that writes to the file. Writers that find too much in memory wait here.
    spill: Option<Mutex<SpillWriter>>,
    /// Whether writes are to be timed.
    timed: bool,
    /// How many `Buffer`s there are.
    writers: AtomicUsize,
}

#[derive(Debug)]
struct State {
    log: Log,
    seats: Seats,
    times: Option<TimeIndex>,
    file: Option<std::sync::Arc<File>>,
    spill_error: Option<SpillError>,
}

/// What a reader does next, with what it needs to do it.
#[derive(Debug)]
pub(crate) enum Step {
    Data(Bytes),
    Gap { to: u64 },
    Load(Load),
    End,
    Wait,
}

/// A part of the spill file.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) file: std::sync::Arc<File>,
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

impl Load {
    pub(crate) fn read(&self) -> Result<Bytes, ReadError> {
        let mut bytes = vec![0; self.len];
        self.read_into(&mut bytes)?;
        Ok(bytes.into())
    }

    /// Fills `bytes`, whose length is to be that of the part.
    pub(crate) fn read_into(&self, bytes: &mut [u8]) -> Result<(), ReadError> {
        read_exact_at(&self.file, bytes, self.offset).map_err(|source| ReadError::Spill {
            offset: self.offset,
            source,
        })
    }
}

impl Shared {
    pub(crate) fn new(config: Valid) -> Self {
        let (spill, threshold) = config.spill.map(crate::Spill::open).unzip();
        Self {
            state: Mutex::new(State {
                log: Log::new(config.keep, config.cut, threshold),
                seats: Seats::default(),
                times: config.time_index.map(TimeIndex::new),
                file: None,
                spill_error: None,
            }),
            spare_wakers: Mutex::new(Vec::new()),
            spill: spill.map(Mutex::new),
            timed: config.time_index.is_some(),
            writers: AtomicUsize::new(1),
        }
    }

    pub(crate) fn add_writer(&self) {
        self.writers.fetch_add(1, Ordering::Relaxed);
    }

    /// Closes the log if this was the last writer: nobody could ever write or close again.
    pub(crate) fn remove_writer(&self) {
        if self.writers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close();
        }
    }

    #[inline]
    pub(crate) fn append(&self, data: &[u8], time: Option<SystemTime>) {
        let time = if self.timed {
            time.or_else(|| Some(SystemTime::now()))
        } else {
            None
        };
        let mut state = self.state.lock();
        let offset = state.log.end();
        if !state.log.append(data) {
            return;
        }
        if let Some(time) = time {
            state.note_time(offset, time);
        }
        let spills = state.log.to_spill().is_some();
        self.wake_all(state);
        if spills {
            self.spill();
        }
    }

    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.log.close();
        self.wake_all(state);
    }

    pub(crate) fn snapshot(&self) -> (Snapshot, Option<std::sync::Arc<File>>) {
        let mut state = self.state.lock();
        (state.log.snapshot(), state.file.clone())
    }

    pub(crate) fn with_log<T>(&self, ask: impl FnOnce(&Log) -> T) -> T {
        ask(&self.state.lock().log)
    }

    pub(crate) fn with_times<T>(&self, ask: impl FnOnce(&TimeIndex) -> T) -> Option<T> {
        self.state.lock().times.as_ref().map(ask)
    }

    pub(crate) fn spill_error(&self) -> Option<SpillError> {
        self.state.lock().spill_error.clone()
    }

    pub(crate) fn readers(&self) -> usize {
        self.state.lock().seats.taken()
    }

    pub(crate) fn waiting_readers(&self) -> usize {
        self.state.lock().seats.waiting()
    }

    pub(crate) fn take_seat(&self) -> SeatId {
        self.state.lock().seats.take()
    }

    pub(crate) fn leave_seat(&self, seat: SeatId) {
        let waker = self.state.lock().seats.leave(seat);
        drop(waker); // without the lock
    }

    pub(crate) fn close_seat(&self, seat: SeatId) {
        let waker = self.state.lock().seats.close(seat);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn is_seat_closed(&self, seat: SeatId) -> bool {
        self.state.lock().seats.is_closed(seat)
    }

    /// What the reader at `offset` does next. If that is to wait, `waker` is woken when it is time to ask again.
    #[inline]
    pub(crate) fn step(&self, seat: SeatId, offset: u64, waker: Option<&Waker>) -> Step {
        let mut state = self.state.lock();
        if state.seats.is_closed(seat) {
            return Step::End;
        }
        match state.log.next(offset) {
            Next::Data(bytes) => Step::Data(bytes),
            Next::Gap { to } => Step::Gap { to },
            Next::Spilled { len } => Step::Load(Load {
                file: state
                    .file
                    .clone()
                    .expect("it was set when the bytes were spilled"),
                offset,
                len,
            }),
            Next::End => Step::End,
            Next::Wait => {
                let replaced = waker.and_then(|waker| state.seats.wait(seat, waker));
                drop(state);
                drop(replaced); // without the lock
                Step::Wait
            }
        }
    }

    /// Wakes who waits, after letting go of the lock.
    #[inline]
    fn wake_all(&self, state: MutexGuard<'_, State>) {
        if state.seats.waiting() > 0 {
            self.wake_waiting(state);
        }
    }

    #[cold]
    fn wake_waiting(&self, mut state: MutexGuard<'_, State>) {
        let mut wakers = std::mem::take(&mut *self.spare_wakers.lock());
        state.seats.wake_all(&mut wakers);
        drop(state);
        wakers.drain(..).for_each(Waker::wake);
        *self.spare_wakers.lock() = wakers;
    }

    /// Moves the oldest chunks to the file until little enough is in memory.
    #[cold]
    fn spill(&self) {
        let Some(writer) = &self.spill else { return };
        let mut writer = writer.lock();
        loop {
            let next = self.state.lock().log.to_spill();
            let Some((offset, bytes)) = next else { return };
            let written = writer.write_at(&bytes, offset);
            let mut state = self.state.lock();
            match written {
                Ok(file) => {
                    state.file.get_or_insert(file);
                    state.log.spilled(offset + bytes.len() as u64);
                }
                Err(error) => {
                    state.spill_error = Some(SpillError::new(offset, error));
                    if state.log.stop_spilling() {
                        self.wake_all(state);
                    }
                    return;
                }
            }
        }
    }
}

impl State {
    #[cold]
    fn note_time(&mut self, offset: u64, time: SystemTime) {
        let gap = self.log.gap();
        if let Some(times) = &mut self.times {
            times.note(offset, time, gap);
        }
    }
}

/// Both ends hold the log by this.
pub(crate) type SharedRef = Arc<Shared>;
