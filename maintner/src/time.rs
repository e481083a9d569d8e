use std::fmt::{self, Display, Formatter};
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::mutation::Timestamp;

/// An instant, to the nanosecond, in UTC.
///
/// Displayed as RFC 3339 has it: `2016-01-02T15:04:00Z`, with as many decimals as are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    seconds: i64,
    /// One more than there are, so that an `Option` of this is no larger.
    nanos_and_one: NonZeroU32,
}

const NANOS_A_SECOND: i64 = 1_000_000_000;
/// 0001-01-01, which Go takes for no time at all.
const GO_ZERO: i64 = -62_135_596_800;

impl Time {
    /// An instant so many seconds and nanoseconds after the beginning of 1970. Nanoseconds above a second are carried over.
    #[must_use]
    pub fn new(seconds: i64, nanos: u32) -> Self {
        Self::carried(seconds, i64::from(nanos))
    }

    fn carried(seconds: i64, nanos: i64) -> Self {
        let seconds = seconds.saturating_add(nanos.div_euclid(NANOS_A_SECOND));
        let nanos = nanos.rem_euclid(NANOS_A_SECOND) as u32;
        Self {
            seconds,
            nanos_and_one: NonZeroU32::MIN.saturating_add(nanos),
        }
    }

    /// `None` for the time that Go takes for none.
    pub(crate) fn from_log(timestamp: &Timestamp) -> Option<Self> {
        let time = Self::carried(timestamp.seconds, i64::from(timestamp.nanos));
        (time != Self::new(GO_ZERO, 0)).then_some(time)
    }

    /// Whole seconds since the beginning of 1970, rounded down.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds within the second, below 1,000,000,000.
    #[must_use]
    pub fn subsec_nanos(self) -> u32 {
        self.nanos_and_one.get() - 1
    }

    /// The same as the standard library has it, or `None` if it cannot hold it.
    #[must_use]
    pub fn to_system_time(self) -> Option<SystemTime> {
        let whole = Duration::from_secs(self.seconds.unsigned_abs());
        let second = match self.seconds {
            0.. => UNIX_EPOCH.checked_add(whole),
            _ => UNIX_EPOCH.checked_sub(whole),
        };
        second?.checked_add(Duration::from_nanos(u64::from(self.subsec_nanos())))
    }
}

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (days, second) = (
            self.seconds.div_euclid(86_400),
            self.seconds.rem_euclid(86_400),
        );
        let (year, month, day) = crate::reclog::civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        let nanos = self.subsec_nanos();
        if nanos > 0 {
            let decimals = format!("{nanos:09}");
            write!(f, ".{}", decimals.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

/// When a commit was made, in the clock of whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitTime {
    /// The instant.
    pub time: Time,
    /// Seconds east of Greenwich, by [`zone`](Self::zone).
    pub offset: i32,
    /// The zone as the commit has it: `+0200`, mostly.
    pub zone: String,
}

/// Seconds east of Greenwich: two digits of hours and two of minutes behind a sign. What is no digit counts 0, and so does a
/// zone that is too short.
pub(crate) fn zone_offset(zone: &[u8]) -> i32 {
    let &[sign, h1, h2, m1, m2, ..] = zone else {
        return 0;
    };
    let two = |a: u8, b: u8| -> i32 {
        match (char::from(a).to_digit(10), char::from(b).to_digit(10)) {
            (Some(a), Some(b)) => (a * 10 + b).cast_signed(),
            _ => 0,
        }
    };
    let offset = two(h1, h2) * 3600 + two(m1, m2) * 60;
    if sign == b'-' { -offset } else { offset }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_displayed_as_rfc_3339_has_them() {
        for (seconds, nanos, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (-1, 999_999_999, "1969-12-31T23:59:59.999999999Z"),
            (1_451_747_040, 120_000_000, "2016-01-02T15:04:00.12Z"),
            (GO_ZERO, 1, "0001-01-01T00:00:00.000000001Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Time::new(seconds, nanos).to_string(), text);
        }
        assert_eq!(size_of::<Option<Time>>(), 16);
        // Years that no calendar has are still no panic.
        for seconds in [i64::MIN, i64::MAX] {
            assert!(!Time::new(seconds, u32::MAX).to_string().is_empty());
        }
    }

    #[test]
    fn nanoseconds_outside_of_a_second_are_carried() {
        let time = |seconds, nanos| Time::from_log(&Timestamp { seconds, nanos });
        assert_eq!(time(5, -1), Some(Time::new(4, 999_999_999)));
        assert_eq!(time(5, 2_000_000_001), Some(Time::new(7, 1)));
        assert_eq!(time(GO_ZERO, 0), None);
        assert_eq!(
            Time::new(1, 5).to_system_time(),
            Some(UNIX_EPOCH + Duration::new(1, 5))
        );
    }

    #[test]
    fn zones_that_make_no_sense_count_as_far_as_they_do() {
        for (zone, offset) in [
            ("+0200", 7200),
            ("-0830", -30_600),
            ("+0545", 20_700),
            ("-08", 0),
            ("", 0),
            ("+x230", 1800),
        ] {
            assert_eq!(zone_offset(zone.as_bytes()), offset, "{zone}");
        }
    }
}
