//! What a log keeps of what is written to it, and what a reader at an offset gets. No lock, no clock, no I/O.

use bytes::Bytes;

use crate::border;
use crate::config::{Cut, Keep, TRUNCATION_MARKER};
use crate::pieces::{CHUNK, Pieces};

#[derive(Debug)]
pub(crate) struct Log {
    /// The whole log, or its head. What lies before its start was spilled.
    head: Pieces,
    /// How many bytes the head takes, without the marker.
    room: u64,
    /// The head takes nothing more.
    full: bool,
    overflow: Overflow,
    cut: Cut,
    closed: bool,
    /// Bytes that were written and are not in the log; those in the gap before a tail are not counted here.
    lost: u64,
    /// How much of the head may stay in memory; `None` if the log does not spill, or no longer.
    threshold: Option<u64>,
}

/// What becomes of the bytes that the head does not take.
#[derive(Debug)]
enum Overflow {
    /// The log ends with [`TRUNCATION_MARKER`].
    Marker,
    /// The last `keep` bytes are kept; `ring` begins where the head ends, or after a gap.
    Tail { ring: Pieces, keep: u64 },
}

/// What a reader does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Data(Bytes),
    /// The bytes from its offset up to `to` were dropped: it shows a marker and goes on there.
    Gap {
        to: u64,
    },
    /// That many bytes from its offset on are in the spill file.
    Spilled {
        len: usize,
    },
    /// Nothing more will come.
    End,
    /// Nothing is there yet.
    Wait,
}

/// A whole log, in parts; nothing is copied.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// That many bytes are at the start of the spill file.
    pub(crate) spilled: u64,
    pub(crate) parts: Vec<Bytes>,
    pub(crate) len: u64,
}

impl Log {
    pub(crate) fn new(keep: Keep, cut: Cut, threshold: Option<u64>) -> Self {
        let (room, overflow) = match keep {
            Keep::Head { limit } => ((limit - TRUNCATION_MARKER.len()) as u64, Overflow::Marker),
            Keep::All => (u64::MAX, Overflow::Marker),
            Keep::HeadAndTail { head, tail } => {
                // A ring is freed chunk by chunk, so small rings have small chunks.
                let ring = Pieces::new(0, tail / 4);
                let keep = tail as u64;
                (head as u64, Overflow::Tail { ring, keep })
            }
        };
        let head = match threshold {
            Some(_) => Pieces::whole_chunks(),
            None => Pieces::new(0, CHUNK),
        };
        Self {
            head,
            room,
            full: false,
            overflow,
            cut,
            closed: false,
            lost: 0,
            threshold,
        }
    }

    /// Appends what fits. Returns whether readers have something new.
    #[inline]
    pub(crate) fn append(&mut self, data: &[u8]) -> bool {
        if !self.full && !self.closed && data.len() as u64 <= self.room - self.head.end() {
            self.head.push(data);
            return !data.is_empty();
        }
        self.append_overflowing(data)
    }

    #[cold]
    fn append_overflowing(&mut self, mut data: &[u8]) -> bool {
        if self.closed {
            self.lost += data.len() as u64;
            return false;
        }
        let was_full = self.full;
        if !was_full {
            let room = self.room - self.head.end(); // less than data.len()
            let (kept, rest) = data.split_at(border::keep(data, room as usize, self.cut));
            self.head.push(kept);
            self.fill();
            data = rest;
        }
        match &mut self.overflow {
            Overflow::Marker => {
                self.lost += data.len() as u64;
                !was_full
            }
            Overflow::Tail { ring, keep } => {
                let end = ring.end() + data.len() as u64;
                if data.len() as u64 > *keep {
                    data = &data[data.len() - *keep as usize..];
                    ring.restart(end - *keep);
                }
                ring.push(data);
                ring.drop_before(end.saturating_sub(*keep));
                !data.is_empty() || !was_full
            }
        }
    }

    /// Ends the head.
    fn fill(&mut self) {
        self.full = true;
        match &mut self.overflow {
            Overflow::Marker => self.head.push(TRUNCATION_MARKER.as_bytes()),
            Overflow::Tail { ring, .. } => ring.restart(self.head.end()),
        }
        self.head.finish();
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.head.finish();
        if let Overflow::Tail { ring, .. } = &mut self.overflow {
            ring.finish();
        }
    }

    pub(crate) fn next(&mut self, offset: u64) -> Next {
        if offset < self.head.start() {
            let len = (self.head.start() - offset).min(CHUNK as u64) as usize;
            return Next::Spilled { len };
        }
        if let Some(data) = self.head.get(offset) {
            return Next::Data(data);
        }
        let cut = self.cut;
        if let Some(ring) = self.ring() {
            if offset < ring.start() {
                return Next::Gap {
                    to: tail_start(ring, cut),
                };
            }
            if let Some(data) = ring.get(offset) {
                return Next::Data(data);
            }
        }
        if self.closed { Next::End } else { Next::Wait }
    }

    pub(crate) fn snapshot(&mut self) -> Snapshot {
        let mut parts = self.head.pieces_from(0);
        let gap = self.gap();
        if let Some(ring) = self.ring() {
            if !gap.is_empty() {
                parts.push(gap_marker(gap.end - gap.start));
            }
            parts.extend(ring.pieces_from(gap.end));
        }
        Snapshot {
            spilled: self.head.start(),
            parts,
            len: self.len(),
        }
    }

    /// The oldest bytes in memory that should be in the spill file, if there are too many, and their offset.
    #[inline]
    pub(crate) fn to_spill(&self) -> Option<(u64, Bytes)> {
        let threshold = self.threshold?;
        if self.head.end() - self.head.start() <= threshold {
            return None;
        }
        self.head.oldest_sealed()
    }

    /// Everything before `offset` is in the spill file now.
    pub(crate) fn spilled(&mut self, offset: u64) {
        self.head.drop_before(offset);
    }

    /// The spill file takes no more: ends the log so that its memory stays bounded. Returns whether readers have
    /// something new.
    pub(crate) fn stop_spilling(&mut self) -> bool {
        self.threshold = None;
        let ends = !self.full && !self.closed;
        if ends {
            self.fill();
        }
        ends
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn is_truncated(&self) -> bool {
        match &self.overflow {
            Overflow::Marker => self.full,
            Overflow::Tail { .. } => !self.gap().is_empty(),
        }
    }

    pub(crate) fn dropped(&self) -> u64 {
        let gap = self.gap();
        self.lost + (gap.end - gap.start)
    }

    /// The offset at which the next byte goes.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        match &self.overflow {
            Overflow::Tail { ring, .. } if self.full => ring.end(),
            _ => self.head.end(),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        let gap = self.gap();
        let marker = if gap.is_empty() {
            0
        } else {
            gap_marker(gap.end - gap.start).len() as u64
        };
        gap.start + marker + (self.end() - gap.end)
    }

    /// The offsets whose bytes are missing between head and tail; empty, and at the head's end, if none are.
    pub(crate) fn gap(&self) -> std::ops::Range<u64> {
        let start = self.head.end();
        match &self.overflow {
            Overflow::Tail { ring, .. } if self.full && ring.start() > start => {
                start..tail_start(ring, self.cut)
            }
            _ => start..start,
        }
    }

    fn ring(&mut self) -> Option<&mut Pieces> {
        match &mut self.overflow {
            Overflow::Tail { ring, .. } if self.full => Some(ring),
            _ => None,
        }
    }
}

/// What stands where `missing` bytes are missing.
pub(crate) fn gap_marker(missing: u64) -> Bytes {
    format!("\n\n... {missing} bytes dropped ...\n\n").into()
}

/// Where the tail begins for a reader that comes from before it.
fn tail_start(ring: &Pieces, cut: Cut) -> u64 {
    let tail: Vec<&[u8]> = match cut {
        Cut::Byte => return ring.start(),
        Cut::Char | Cut::Line => ring.slices().collect(),
    };
    ring.start() + border::skip(tail.into_iter(), cut) as u64
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn text(log: &mut Log) -> String {
        let snapshot = log.snapshot();
        let bytes = snapshot.parts.concat();
        assert_eq!(snapshot.spilled + bytes.len() as u64, snapshot.len);
        String::from_utf8(bytes).expect("the tests write text")
    }

    fn head_and_tail(head: usize, tail: usize, cut: Cut) -> Log {
        Log::new(Keep::HeadAndTail { head, tail }, cut, None)
    }

    #[test]
    fn the_smallest_limit_keeps_the_marker_only() {
        let limit = TRUNCATION_MARKER.len();
        let mut log = Log::new(Keep::Head { limit }, Cut::Byte, None);
        assert!(!log.append(b""));
        assert_eq!(text(&mut log), "");
        assert!(log.append(b"x"));
        assert!(!log.append(b"y"));
        assert_eq!(text(&mut log), TRUNCATION_MARKER);
        assert_eq!((log.dropped(), log.is_truncated()), (2, true));
    }

    #[test]
    fn head_and_tail_meet_until_something_is_dropped() {
        let mut log = head_and_tail(4, 4, Cut::Byte);
        for (write, expected) in [
            ("ab", "ab"),
            ("cdef", "abcdef"),
            ("gh", "abcdefgh"),
            ("i", "abcd\n\n... 1 bytes dropped ...\n\nfghi"),
            ("jklmnop", "abcd\n\n... 8 bytes dropped ...\n\nmnop"),
            ("q", "abcd\n\n... 9 bytes dropped ...\n\nnopq"),
        ] {
            assert!(log.append(write.as_bytes()));
            assert_eq!(text(&mut log), expected);
            assert_eq!(log.is_truncated(), log.dropped() > 0);
        }
        assert_eq!(log.next(2), Next::Data("cd".into()));
        assert_eq!(log.next(4), Next::Gap { to: 13 });
        assert_eq!(log.next(12), Next::Gap { to: 13 });
        assert_eq!(log.next(13), Next::Data("nop".into()));
        assert_eq!(log.next(16), Next::Data("q".into()));
        assert_eq!(log.next(17), Next::Wait);
        log.close();
        assert_eq!(log.next(17), Next::End);
        assert!(!log.append(b"late"));
        assert_eq!(log.dropped(), 9 + 4);
    }

    #[test]
    fn a_log_may_be_all_tail_or_all_head() {
        let mut log = head_and_tail(0, 3, Cut::Byte);
        log.append(b"abcdef");
        assert_eq!(text(&mut log), "\n\n... 3 bytes dropped ...\n\ndef");
        let mut log = head_and_tail(3, 0, Cut::Byte);
        log.append(b"abcdef");
        assert_eq!(text(&mut log), "abc\n\n... 3 bytes dropped ...\n\n");
        assert_eq!(
            (log.next(3), log.next(6)),
            (Next::Gap { to: 6 }, Next::Wait)
        );
    }

    #[test]
    fn lines_are_cut_whole() {
        let mut log = head_and_tail(10, 10, Cut::Line);
        log.append(b"first\nsecond\nthird\nfourth\nlast\n");
        assert_eq!(
            text(&mut log),
            "first\n\n\n... 20 bytes dropped ...\n\nlast\n"
        );
        assert_eq!(log.dropped(), 20);
        let mut log = Log::new(Keep::Head { limit: 10 + 23 }, Cut::Line, None);
        log.append(b"first\nsecond\n");
        assert_eq!(text(&mut log), format!("first\n{TRUNCATION_MARKER}"));
        assert_eq!(log.dropped(), 7);
    }

    #[test]
    fn a_log_whose_file_fails_ends_with_the_marker() {
        let mut log = Log::new(Keep::All, Cut::Byte, Some(10));
        log.append(&[b'x'; CHUNK]);
        assert_eq!(
            log.to_spill().map(|(at, bytes)| (at, bytes.len())),
            Some((0, CHUNK))
        );
        assert!(log.stop_spilling());
        assert!(!log.append(b"more"));
        assert_eq!(log.to_spill(), None);
        assert!(text(&mut log).ends_with(TRUNCATION_MARKER));
        assert_eq!((log.dropped(), log.is_truncated()), (4, true));
    }
}
