//! Which readers exist, which of them wait, and how to wake those and no others.

use std::task::Waker;

/// A seat's place while its reader does not wait.
const NOT_WAITING: u32 = u32::MAX;

/// One entry per reader: 32 bytes and an index, whether it waits or not.
///
/// Everything is O(1) but [`wake_all`](Self::wake_all), which is linear in the readers that wait.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    seats: Vec<Seat>,
    free: Vec<u32>,
    /// Indices of the seats that hold a waker, in no order.
    waiting: Vec<u32>,
    next_ticket: u64,
}

/// Names a seat. The ticket is never used twice, so a stale name does no harm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeatId {
    ticket: u64,
    index: u32,
}

#[derive(Debug)]
struct Seat {
    ticket: u64,
    waker: Option<Waker>,
    /// Where in `waiting` this seat stands.
    place: u32,
    closed: bool,
}

impl Seats {
    pub(crate) fn take(&mut self) -> SeatId {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let seat = Seat {
            ticket,
            waker: None,
            place: NOT_WAITING,
            closed: false,
        };
        let index = if let Some(index) = self.free.pop() {
            self.seats[index as usize] = seat;
            index
        } else {
            let index =
                u32::try_from(self.seats.len()).expect("4 billion readers do not fit in memory");
            self.seats.push(seat);
            index
        };
        SeatId { ticket, index }
    }

    /// Frees the seat. What is returned must be dropped without the lock: that may run any code.
    pub(crate) fn leave(&mut self, id: SeatId) -> Option<Waker> {
        let waker = self.stop_waiting(id);
        self.free.push(id.index);
        if self.free.len() == self.seats.len() {
            self.seats = Vec::new();
            self.free = Vec::new();
            self.waiting = Vec::new();
        }
        waker
    }

    /// Whether the reader was closed, or is gone.
    #[inline]
    pub(crate) fn is_closed(&self, id: SeatId) -> bool {
        self.find(id).is_none_or(|seat| seat.closed)
    }

    /// Closes the reader, for good. The waker is to be woken without the lock.
    pub(crate) fn close(&mut self, id: SeatId) -> Option<Waker> {
        if let Some(seat) = self.find_mut(id) {
            seat.closed = true;
        }
        self.stop_waiting(id)
    }

    /// Has `waker` woken by the next [`wake_all`](Self::wake_all). Returns a replaced waker, to be dropped without
    /// the lock.
    pub(crate) fn wait(&mut self, id: SeatId, waker: &Waker) -> Option<Waker> {
        let place = u32::try_from(self.waiting.len()).expect("no more readers wait than exist");
        let seat = self.find_mut(id)?;
        if seat.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            return None;
        }
        let old = seat.waker.replace(waker.clone());
        if seat.place == NOT_WAITING {
            seat.place = place;
            self.waiting.push(id.index);
        }
        old
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn taken(&self) -> usize {
        self.seats.len() - self.free.len()
    }

    /// Moves the wakers of all who wait to `wakers`, to be woken without the lock. A reader is in no later list until
    /// it has run and waits again.
    pub(crate) fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        for index in self.waiting.drain(..) {
            let seat = &mut self.seats[index as usize];
            seat.place = NOT_WAITING;
            wakers.extend(seat.waker.take());
        }
    }

    fn stop_waiting(&mut self, id: SeatId) -> Option<Waker> {
        let seat = self.find_mut(id)?;
        let waker = seat.waker.take()?;
        let place = std::mem::replace(&mut seat.place, NOT_WAITING);
        self.waiting.swap_remove(place as usize);
        if let Some(&moved) = self.waiting.get(place as usize) {
            self.seats[moved as usize].place = place;
        }
        Some(waker)
    }

    fn find(&self, id: SeatId) -> Option<&Seat> {
        self.seats
            .get(id.index as usize)
            .filter(|seat| seat.ticket == id.ticket)
    }

    fn find_mut(&mut self, id: SeatId) -> Option<&mut Seat> {
        self.seats
            .get_mut(id.index as usize)
            .filter(|seat| seat.ticket == id.ticket)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wake(seats: &mut Seats) -> usize {
        let mut wakers = Vec::new();
        seats.wake_all(&mut wakers);
        let woken = wakers.len();
        wakers.into_iter().for_each(Waker::wake);
        woken
    }

    #[test]
    fn only_readers_that_wait_are_woken_and_only_once() {
        let mut seats = Seats::default();
        let ids: Vec<_> = (0..10).map(|_| seats.take()).collect();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        for &id in &ids[..3] {
            assert!(seats.wait(id, &waker).is_none());
            assert!(seats.wait(id, &waker).is_none(), "the same waker is kept");
        }
        assert_eq!(seats.waiting(), 3);
        assert_eq!(wake(&mut seats), 3);
        assert_eq!(wake(&mut seats), 0, "they have not run yet");
        assert_eq!(count.0.load(Ordering::Relaxed), 3);
        assert_eq!(seats.taken(), 10);
    }

    #[test]
    fn leaving_and_closing_keep_the_others_waiting() {
        let mut seats = Seats::default();
        let ids: Vec<_> = (0..5).map(|_| seats.take()).collect();
        for &id in &ids {
            seats.wait(id, Waker::noop());
        }
        assert!(seats.leave(ids[0]).is_some());
        assert!(seats.close(ids[4]).is_some());
        assert!(seats.close(ids[4]).is_none());
        assert!(seats.is_closed(ids[4]) && !seats.is_closed(ids[2]));
        assert_eq!(seats.waiting(), 3);
        assert!(seats.leave(ids[2]).is_some());
        assert_eq!(wake(&mut seats), 2);
    }

    #[test]
    fn a_stale_name_does_not_reach_the_next_reader() {
        let mut seats = Seats::default();
        let old = seats.take();
        seats.leave(old);
        let new = seats.take();
        assert_eq!(old.index, new.index);
        seats.close(old);
        assert!(seats.is_closed(old) && !seats.is_closed(new));
    }
}
