use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// The part of a command's output that can still be sent: what was sent last, and what was not sent yet. No I/O.
///
/// Each of both takes up to a limit, and one piece more. Offsets count from the beginning of the output.
#[derive(Debug)]
pub(super) struct Window {
    /// Pieces with their offsets, without holes.
    pieces: VecDeque<(u64, Bytes)>,
    start: u64,
    end: u64,
    sent: u64,
    limit: u64,
}

/// Why there is no output at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is kept no more: only what is from this offset on.
    Gone(u64),
    /// The command has written only so much.
    Beyond(u64),
}

/// With a reader there, so much may wait for it.
const AHEAD: u64 = 128 << 10;
/// Pieces up to this size are put together, so that their number stays small.
const SMALL: usize = 4 << 10;

impl Window {
    /// A window that has up to `limit` bytes of what was sent, and takes as many that were not.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            pieces: VecDeque::new(),
            start: 0,
            end: 0,
            sent: 0,
            limit: limit as u64,
        }
    }

    /// More output.
    pub(super) fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        let offset = self.end;
        self.end += piece.len() as u64;
        match self.pieces.back_mut() {
            Some((_, last)) if last.len() + piece.len() <= SMALL => {
                let mut both = BytesMut::with_capacity(last.len() + piece.len());
                both.extend_from_slice(last);
                both.extend_from_slice(&piece);
                *last = both.freeze();
            }
            _ => self.pieces.push_back((offset, piece)),
        }
    }

    /// Whether it takes more. With a reader that is slow the command has to wait soon, as ever.
    pub(super) fn has_room(&self, has_reader: bool) -> bool {
        let limit = if has_reader {
            self.limit.min(AHEAD)
        } else {
            self.limit
        };
        self.end - self.sent < limit
    }

    /// Somebody reads from here on: what is before is not asked for again.
    pub(super) fn seek(&mut self, offset: u64) -> Result<(), Missing> {
        if offset < self.start {
            return Err(Missing::Gone(self.start));
        }
        if offset > self.end {
            return Err(Missing::Beyond(self.end));
        }
        self.sent = offset;
        self.forget(offset);
        Ok(())
    }

    /// What there is at an offset that was sought or read up to; nothing at the end.
    pub(super) fn read(&self, offset: u64) -> Option<Bytes> {
        let place = self.pieces.partition_point(|(at, _)| *at <= offset);
        let (at, piece) = self.pieces.get(place.checked_sub(1)?)?;
        let skip = usize::try_from(offset - at).unwrap_or(usize::MAX);
        (skip < piece.len()).then(|| piece.slice(skip..))
    }

    /// Everything before the offset was sent.
    pub(super) fn sent_to(&mut self, offset: u64) {
        self.sent = self.sent.max(offset);
        self.forget(self.sent.saturating_sub(self.limit));
    }

    /// The offset after the last byte.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Drops pieces that are before an offset altogether.
    fn forget(&mut self, offset: u64) {
        while let Some((at, piece)) = self.pieces.front()
            && at + piece.len() as u64 <= offset
        {
            self.start = at + piece.len() as u64;
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Act {
        Write(usize),
        Read,
        /// So many bytes of what was read got lost.
        Reattach(u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            3 => (0_usize..9000).prop_map(Act::Write),
            4 => Just(Act::Read),
            1 => (0_u64..30_000).prop_map(Act::Reattach),
        ]
    }

    fn text(from: u64, len: usize) -> Bytes {
        (from..).take(len).map(|at| (at % 251) as u8).collect()
    }

    proptest! {
        /// Whatever is written and read: a reader gets each byte once and in order, what was sent within the limit can be had
        /// again, and the window never has more than it says.
        #[test]
        fn readers_get_everything_in_order(limit in 1_usize..20_000, acts in prop::collection::vec(act(), 1..200)) {
            let mut window = Window::new(limit);
            let mut at = 0;
            for act in acts {
                match act {
                    Act::Write(len) => {
                        if window.has_room(false) {
                            window.push(text(window.end(), len));
                        }
                    }
                    Act::Read => match window.read(at) {
                        Some(piece) => {
                            prop_assert!(!piece.is_empty());
                            prop_assert_eq!(&piece, &text(at, piece.len()));
                            at += piece.len() as u64;
                            window.sent_to(at);
                        }
                        None => prop_assert_eq!(at, window.end()),
                    },
                    Act::Reattach(lost) => {
                        let from = at.saturating_sub(lost);
                        match window.seek(from) {
                            Ok(()) => at = from,
                            Err(Missing::Gone(first)) => {
                                prop_assert!(first > from);
                                prop_assert!(at - from > limit as u64 || lost > 0, "what was sent last is there");
                                prop_assert!(at - first <= limit as u64 + 9000);
                            }
                            Err(Missing::Beyond(_)) => prop_assert!(false, "it was read"),
                        }
                    }
                }
                let held: usize = window.pieces.iter().map(|(_, piece)| piece.len()).sum();
                prop_assert!(held <= 2 * limit + 3 * 9000);
                prop_assert_eq!(window.start + held as u64, window.end);
            }
        }
    }

    #[test]
    fn what_was_sent_last_can_be_had_again_and_what_was_before_cannot() {
        let mut window = Window::new(10_000);
        for _ in 0..5 {
            window.push(text(window.end(), 5000));
        }
        assert!(!window.has_room(false), "25,000 wait");
        window.sent_to(25_000);
        assert!(window.has_room(false));
        assert_eq!(window.seek(14_999), Err(Missing::Gone(15_000)));
        assert_eq!(window.seek(25_001), Err(Missing::Beyond(25_000)));
        window.seek(17_000).unwrap();
        assert_eq!(window.read(17_000).unwrap(), text(17_000, 3000));
        assert_eq!(
            window.seek(14_000),
            Err(Missing::Gone(15_000)),
            "said to be there"
        );
    }

    #[test]
    fn many_small_pieces_become_few() {
        let mut window = Window::new(1 << 20);
        for at in 0..200_000 {
            window.push(text(at, 1));
        }
        assert!(window.pieces.len() <= 200_000 / SMALL + 1);
        assert!(!window.has_room(true));
        assert!(window.has_room(false));
    }
}
