use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_A_DAY: u64 = 86_400;
/// From 0000-03-01 to 1970-01-01.
const DAYS_TO_EPOCH: i64 = 719_468;
const DAYS_IN_400_YEARS: i64 = 146_097;

/// The name of the file that Go's `DiskMutationLogger` appends to at this time: `maintner-YYYY-MM-DD.mutlog`, in UTC.
/// Times before 1970 count as 1970-01-01.
pub(super) fn file_name(now: SystemTime) -> String {
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (year, month, day) = civil((seconds / SECONDS_A_DAY).cast_signed());
    format!("maintner-{year:04}-{month:02}-{day:02}.mutlog")
}

/// Whether the file is named by a day.
pub(super) fn is_day_file(name: &str) -> bool {
    let day = name
        .strip_prefix("maintner-")
        .and_then(|name| name.strip_suffix(".mutlog"));
    day.is_some_and(|day| {
        day.len() == 10
            && day.bytes().enumerate().all(|(i, b)| match i {
                4 | 7 => b == b'-',
                _ => b.is_ascii_digit(),
            })
    })
}

/// Year, month and day of the Gregorian calendar, so many days after 1970-01-01. Years begin in March here, so that the
/// leap day comes last.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_EPOCH;
    let (era, day_of_era) = (
        days.div_euclid(DAYS_IN_400_YEARS),
        days.rem_euclid(DAYS_IN_400_YEARS),
    );
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn files_are_named_by_the_utc_day() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_577_923_200, "2020-01-02"),
            (1_735_689_599, "2024-12-31"),
            (4_107_542_400, "2100-03-01"),
        ] {
            let name = file_name(UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(name, format!("maintner-{day}.mutlog"));
            assert!(is_day_file(&name));
        }
        assert_eq!(
            file_name(UNIX_EPOCH - Duration::from_secs(1)),
            "maintner-1970-01-01.mutlog"
        );
        assert!(!is_day_file("maintner-0000.growing.mutlog"));
        assert!(!is_day_file("maintner-2020-01-0x.mutlog"));
    }
}
