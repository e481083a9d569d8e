use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time as file systems keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp {
    /// Since 1970.
    pub(crate) seconds: i64,
    /// Added to the seconds, below 1,000,000,000.
    pub(crate) nanos: u32,
}

impl Timestamp {
    pub(crate) fn new(seconds: i64, nanos: u32) -> Self {
        Self { seconds, nanos }
    }

    pub(crate) fn now() -> Self {
        Self::of(SystemTime::now())
    }

    pub(crate) fn of(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self::new(
                after.as_secs().try_into().unwrap_or(i64::MAX),
                after.subsec_nanos(),
            ),
            Err(before) => {
                let before = before.duration();
                let seconds = i64::try_from(before.as_secs()).map_or(i64::MIN, |seconds| -seconds);
                match before.subsec_nanos() {
                    0 => Self::new(seconds, 0),
                    nanos => Self::new(seconds.saturating_sub(1), 1_000_000_000 - nanos),
                }
            }
        }
    }

    /// Reads seconds with a decimal fraction, as pax writes times; what is finer than nanoseconds is dropped.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let negative = whole.starts_with('-');
        let seconds: i64 = whole.parse().ok()?;
        if whole.starts_with('+') || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
        let nanos = digits.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
        Some(match (negative, nanos) {
            (true, 1..) => Self::new(seconds.checked_sub(1)?, 1_000_000_000 - nanos),
            _ => Self::new(seconds, nanos),
        })
    }
}

impl From<Timestamp> for SystemTime {
    /// What the system's clock cannot show becomes its beginning.
    fn from(time: Timestamp) -> Self {
        let whole = Duration::from_secs(time.seconds.unsigned_abs());
        let seconds = if time.seconds < 0 {
            UNIX_EPOCH.checked_sub(whole)
        } else {
            UNIX_EPOCH.checked_add(whole)
        };
        seconds
            .and_then(|seconds| seconds.checked_add(Duration::from_nanos(time.nanos.into())))
            .unwrap_or(UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_fractions() {
        let time = |seconds, nanos| Some(Timestamp::new(seconds, nanos));
        assert_eq!(Timestamp::parse(b"12"), time(12, 0));
        assert_eq!(Timestamp::parse(b"12.5"), time(12, 500_000_000));
        assert_eq!(Timestamp::parse(b"12.0000000019"), time(12, 1));
        assert_eq!(Timestamp::parse(b"-1.25"), time(-2, 750_000_000));
        for bad in [
            &b""[..],
            b".",
            b"+1",
            b"1.-5",
            b"1.5x",
            b"x",
            b"99999999999999999999",
        ] {
            assert_eq!(Timestamp::parse(bad), None);
        }
    }

    #[test]
    fn times_before_1970_count_down() {
        let before = UNIX_EPOCH - Duration::from_millis(1250);
        assert_eq!(Timestamp::of(before), Timestamp::new(-2, 750_000_000));
    }
}
