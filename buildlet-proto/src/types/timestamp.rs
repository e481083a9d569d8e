use std::time::{Duration, SystemTime};

const DAY: i64 = 24 * 60 * 60;

/// `2001-09-09T01:46:40Z`: RFC 3339 in UTC, cut to whole seconds; the year has more digits where it must.
pub(super) fn format(time: SystemTime) -> String {
    let seconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_secs().cast_signed(),
        Err(before) => {
            let before = before.duration();
            -before.as_secs().cast_signed() - i64::from(before.subsec_nanos() > 0)
        }
    };
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let second = seconds.rem_euclid(DAY);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z",
        second % 60
    )
}

/// Reads what [`format`] writes, for years from 0 to 9999.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let digits = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = text.get(range)?;
        let all = part.bytes().all(|byte| byte.is_ascii_digit());
        all.then(|| part.parse().ok()).flatten()
    };
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    let offset = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(offset)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(offset)
    }?;
    // The 30th of February and the like are written otherwise than they were read.
    (format(time) == text).then_some(time)
}

/// Year, month and day of the `days`th day since 1970 in the Gregorian calendar.
///
/// Counted in eras of 400 years that begin on the first of March, so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let day_from_march_0000 = days + 719_468;
    let era = day_from_march_0000.div_euclid(146_097);
    let day = day_from_march_0000.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (
        era * 400 + year + i64::from(month <= 2),
        month,
        day_of_month,
    )
}

/// The inverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_000_000_000, "2001-09-09T01:46:40Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(format(time), text);
            assert_eq!(parse(text), Some(time));
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_millis(1);
        assert_eq!(format(before), "1969-12-31T23:59:59Z");
        let second = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(parse("1969-12-31T23:59:59Z"), Some(second));
    }

    #[test]
    fn every_day_of_four_centuries_goes_both_ways() {
        for day in -146_097..146_097 {
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year, month, of_month), day);
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "2001-09-09T01:46:40",
            "2001-09-09T01:46:40z",
            "2001-02-29T01:46:40Z",
            "2001-09-09T24:00:00Z",
            "2001-09-09T01:46:60Z",
            "2001-09-09 01:46:40Z",
            "+001-09-09T01:46:40Z",
            "2001-09-09T01:46:40.5Z",
            "20010-09-09T01:46:40Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
