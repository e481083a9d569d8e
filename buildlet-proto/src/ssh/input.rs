//! What a client sends to a process, on its way there.
//!
//! russh opens a channel's window again as soon as it has read what came, whether or not anybody took it. So it is not the window
//! that holds a client back whose process does not read, and a queue of ours has to. Waiting in it would stop the whole connection:
//! russh runs one task for all channels, and in it would go unheard that the client closed the channel, or hung up. Instead, once
//! a megabyte waits, the window is opened by two bytes at a time ([`Sender::window`]), and each such pair is held up for a moment
//! ([`Sender::pace`]): a few tiny packets a second, until the process reads again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Window of a channel in bytes, and how much may wait before the client is held back.
pub(crate) const WINDOW: u32 = 1 << 20;

/// Beyond this much, the connection does wait. A client gets there only by several full channels at a time, since the window that
/// russh grants next is one number for all of them.
const MOST: usize = 3 * WINDOW as usize;

/// The smallest window that russh ever opens again: it does so when less than half of it is left.
const TRICKLE: u32 = 2;

/// How long a client waits for each [`TRICKLE`], and so for how long the connection's other channels do.
const HELD: Duration = Duration::from_millis(100);

/// A queue of at most [`MOST`] bytes and a packet.
pub(crate) fn queue() -> (Sender, Receiver) {
    let shared = Arc::new(Shared::default());
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to take, or there never will be.
    filled: Notify,
    /// Something was taken, or nothing ever will be.
    taken: Notify,
}

#[derive(Default)]
struct State {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    ended: bool,
    abandoned: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn below(&self, limit: usize) {
        loop {
            let taken = self.taken.notified();
            {
                let state = self.state();
                if state.bytes < limit || state.abandoned {
                    return;
                }
            }
            taken.await;
        }
    }
}

/// The end that the connection has.
pub(crate) struct Sender(Arc<Shared>);

impl Sender {
    /// Puts `data` in, and returns when the connection may go on: at once, unless too much waits already.
    pub(crate) async fn pace(&self, data: &[u8]) {
        {
            let mut state = self.0.state();
            if state.abandoned || state.ended {
                return;
            }
            state.bytes += data.len();
            state.chunks.push_back(Bytes::copy_from_slice(data));
        }
        self.0.filled.notify_one();
        // What still comes by an older and wider window is taken as fast as it comes.
        if data.len() <= TRICKLE as usize {
            // Whether there is room by then shows in the window.
            let _ = timeout(HELD, self.0.below(WINDOW as usize)).await;
        }
        self.0.below(MOST).await;
    }

    /// How wide the window is to be opened next time.
    pub(crate) fn window(&self) -> u32 {
        let state = self.0.state();
        if state.bytes < WINDOW as usize || state.abandoned {
            WINDOW
        } else {
            TRICKLE
        }
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        self.0.state().ended = true;
        self.0.filled.notify_one();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.end();
    }
}

/// The end that the process has.
pub(crate) struct Receiver(Arc<Shared>);

impl Receiver {
    /// The next piece, or `None` at the end. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            {
                let mut state = self.0.state();
                if let Some(chunk) = state.chunks.pop_front() {
                    state.bytes -= chunk.len();
                    drop(state);
                    self.0.taken.notify_one();
                    return Some(chunk);
                }
                if state.ended {
                    return None;
                }
            }
            self.0.filled.notified().await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.abandoned = true;
        state.chunks.clear();
        state.bytes = 0;
        drop(state);
        self.0.taken.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_come_in_order_and_then_the_end() {
        let (sender, mut receiver) = queue();
        sender.pace(b"one").await;
        sender.pace(b"two").await;
        drop(sender);
        assert_eq!(receiver.next().await.unwrap(), "one");
        assert_eq!(receiver.next().await.unwrap(), "two");
        assert_eq!(receiver.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_held_back_while_nobody_reads() {
        let (sender, mut receiver) = queue();
        let began = tokio::time::Instant::now();
        let state = |sender: &Sender| (began.elapsed(), sender.window());
        sender.pace(&vec![0; WINDOW as usize - 1]).await;
        assert_eq!(state(&sender), (Duration::ZERO, WINDOW));
        sender.pace(b"more").await;
        assert_eq!(state(&sender), (Duration::ZERO, TRICKLE));
        sender.pace(b"xx").await;
        assert_eq!(state(&sender), (HELD, TRICKLE));
        receiver.next().await.unwrap();
        sender.pace(b"xx").await;
        assert_eq!(state(&sender), (HELD, WINDOW));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_bounded_even_if_the_window_is_not_heeded() {
        let (sender, mut receiver) = queue();
        let pushing = tokio::spawn(async move {
            for _ in 0..4 {
                sender.pace(&vec![0; WINDOW as usize]).await;
            }
        });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!pushing.is_finished());
        assert_eq!(receiver.0.state().bytes, MOST);
        for _ in 0..4 {
            receiver.next().await.unwrap();
        }
        pushing.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_waits_for_a_process_that_is_gone() {
        let (sender, receiver) = queue();
        sender.pace(b"x").await;
        drop(receiver);
        sender.pace(&vec![0; 2 * MOST]).await;
        assert_eq!(sender.window(), WINDOW);
    }
}
