use std::time::{Duration, SystemTime};

/// How many notes a log keeps; see [`Config::time_index`](crate::Config::time_index). A build of an hour has one per
/// second.
const MAX_MARKS: usize = 4096;

/// The bytes of a log from [`offset`](Self::offset) on, up to the next mark, were written at [`time`](Self::time) or
/// less than an interval later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TimeMark {
    /// Offset in the log, in bytes.
    pub offset: u64,
    /// When the byte at `offset` was written. Never earlier than the mark before, also when the clock is set back.
    pub time: SystemTime,
}

/// When the bytes of a log were written, in bounded memory. Has no clock.
#[derive(Debug)]
pub(crate) struct TimeIndex {
    marks: Vec<TimeMark>,
    interval: Duration,
}

impl TimeIndex {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            marks: Vec::new(),
            interval,
        }
    }

    /// Notes that the bytes from `offset` on are written at `time`. `gap` is what the log has dropped.
    pub(crate) fn note(&mut self, offset: u64, time: SystemTime, gap: std::ops::Range<u64>) {
        if let Some(last) = self.marks.last() {
            let due = last.time.checked_add(self.interval);
            if offset <= last.offset || due.is_none_or(|due| time < due) {
                return;
            }
        }
        if self.marks.len() == MAX_MARKS {
            self.thin(gap);
        }
        self.marks.push(TimeMark { offset, time });
    }

    pub(crate) fn time_at(&self, offset: u64) -> Option<SystemTime> {
        let after = self.marks.partition_point(|mark| mark.offset <= offset);
        Some(self.marks[after.checked_sub(1)?].time)
    }

    pub(crate) fn marks(&self) -> &[TimeMark] {
        &self.marks
    }

    /// Halves the notes, or better, drops those that speak only of dropped bytes.
    fn thin(&mut self, gap: std::ops::Range<u64>) {
        // The last mark before the gap's end speaks of the first byte after it.
        let last_before = self
            .marks
            .partition_point(|mark| mark.offset <= gap.end)
            .saturating_sub(1);
        let mut n = 0;
        self.marks.retain(|mark| {
            let drop = n < last_before && gap.contains(&mark.offset);
            n += 1;
            !drop
        });
        if self.marks.len() <= MAX_MARKS / 2 {
            return;
        }
        n = 0;
        self.marks.retain(|_| {
            n += 1;
            n % 2 == 1
        });
        // As far apart as the marks now are, lest the old ones be halved again and again for the sake of new ones.
        let span = match (self.marks.first(), self.marks.last()) {
            (Some(first), Some(last)) => last.time.duration_since(first.time).unwrap_or_default(),
            _ => Duration::ZERO,
        };
        self.interval = (self.interval * 2).max(span / self.marks.len() as u32);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_time_is_that_of_the_last_mark_before() {
        let mut index = TimeIndex::new(Duration::from_secs(2));
        assert_eq!(index.time_at(0), None);
        for second in 0..10 {
            index.note(second * 100, at(second), 0..0);
        }
        assert_eq!(index.time_at(0), Some(at(0)));
        assert_eq!(index.time_at(199), Some(at(0)));
        assert_eq!(index.time_at(200), Some(at(2)));
        assert_eq!(index.time_at(u64::MAX), Some(at(8)));
        index.note(1000, at(3), 0..0);
        assert_eq!(
            index.marks().len(),
            5,
            "a clock that was set back adds nothing"
        );
    }

    #[test]
    fn memory_is_bounded_and_the_times_get_coarser() {
        let mut index = TimeIndex::new(Duration::ZERO);
        for n in 0..1_000_000u64 {
            index.note(n, at(n), 0..0);
            assert!(index.marks().len() <= MAX_MARKS);
        }
        let mut worst = 0;
        for n in (0..1_000_000).step_by(997) {
            let time = index.time_at(n).expect("the first byte has a mark");
            worst = worst.max(
                at(n)
                    .duration_since(time)
                    .expect("marks come before")
                    .as_secs(),
            );
        }
        assert!((100..1024).contains(&worst), "{worst} s");
    }

    #[test]
    fn marks_of_dropped_bytes_go_first() {
        let mut index = TimeIndex::new(Duration::ZERO);
        for n in 0..=MAX_MARKS as u64 {
            index.note(n, at(n), 10..MAX_MARKS as u64 - 90);
        }
        assert_eq!(index.marks().len(), 10 + 91);
        assert_eq!(index.time_at(9), Some(at(9)));
        assert_eq!(
            index.time_at(MAX_MARKS as u64 - 90),
            Some(at(MAX_MARKS as u64 - 90))
        );
    }
}
