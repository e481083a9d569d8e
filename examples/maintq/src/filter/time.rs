use std::time::Duration;

use jiff::civil::{self, Date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use maintner::Time;

/// From the first to the last moment of what a time names: a year, a month, a day, or a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: Time,
    pub(crate) last: Time,
}

/// Parses a time: a year, a month, a day (all in UTC), a moment as RFC 3339 writes it, or how long before `now` it was.
pub(crate) fn span(text: &str, now: Time) -> Option<Span> {
    if let Some(age) = age(text) {
        let seconds = i64::try_from(age.as_secs()).ok()?;
        let then = Time::new(now.unix_seconds().checked_sub(seconds)?, 0);
        return Some(Span {
            start: then,
            last: then,
        });
    }
    let is = |pattern: &[usize]| {
        let mut parts = text.split('-');
        pattern.iter().all(|len| {
            parts
                .next()
                .is_some_and(|part| part.len() == *len && part.bytes().all(|b| b.is_ascii_digit()))
        }) && parts.next().is_none()
    };
    let (first, next): (Date, Date) = if is(&[4]) {
        let first = date_of(text, "-01-01")?;
        (first, first.checked_add(1.year()).ok()?)
    } else if is(&[4, 2]) {
        let first = date_of(text, "-01")?;
        (first, first.checked_add(1.month()).ok()?)
    } else if is(&[4, 2, 2]) {
        let first = date_of(text, "")?;
        (first, first.checked_add(1.day()).ok()?)
    } else {
        let moment = moment(text.parse::<Timestamp>().ok()?);
        return Some(Span {
            start: moment,
            last: moment,
        });
    };
    let start = moment(midnight(first)?);
    let end = moment(midnight(next)?);
    Some(Span {
        start,
        last: Time::new(end.unix_seconds() - 1, 999_999_999),
    })
}

fn date_of(text: &str, rest: &str) -> Option<Date> {
    let date: Date = format!("{text}{rest}").parse().ok()?;
    // One more day must be there.
    (date.year() >= 1 && date.year() < 9999).then_some(date)
}

fn midnight(date: Date) -> Option<Timestamp> {
    let midnight = date.to_datetime(civil::Time::midnight());
    Some(midnight.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn moment(timestamp: Timestamp) -> Time {
    let nanos = timestamp.as_nanosecond();
    let second = 1_000_000_000;
    let seconds = i64::try_from(nanos.div_euclid(second)).expect("jiff's times have few seconds");
    Time::new(seconds, nanos.rem_euclid(second) as u32)
}

/// `90d`
fn age(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        // 365.25 days.
        'y' => 31_557_600,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(Duration::from_secs(count.checked_mul(seconds)?))
}
