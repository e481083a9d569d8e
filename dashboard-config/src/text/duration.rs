use std::time::Duration;

use crate::record::{Field, Node, Reader, Value};
use crate::schema;

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
const EXPECTED: &str = "a duration such as \"45m\", \"1h30m\" or \"10s\"";

/// Reads `1h30m`: whole numbers with `d`, `h`, `m`, `s` or `ms`, the larger units first.
///
/// # Errors
///
/// When it is something else, or longer than 365 days.
pub fn parse_duration(text: &str) -> Result<Duration, ParseDurationError> {
    const LONGEST: u64 = 365 * 86_400_000;
    let mut rest = text;
    let mut millis: u64 = 0;
    let mut smaller = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let at = UNITS[smaller..]
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or(ParseDurationError::NotADuration)?;
        let number: u64 = number
            .parse()
            .map_err(|_| ParseDurationError::NotADuration)?;
        millis = number
            .checked_mul(UNITS[smaller + at].1)
            .and_then(|part| part.checked_add(millis))
            .filter(|millis| *millis <= LONGEST)
            .ok_or(ParseDurationError::TooLong)?;
        smaller += at + 1;
        rest = tail;
    }
    if smaller == 0 {
        return Err(ParseDurationError::NotADuration);
    }
    Ok(Duration::from_millis(millis))
}

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseDurationError {
    /// It is not of the form `1h30m`.
    #[error("not a duration")]
    NotADuration,
    /// It is longer than a year.
    #[error("longer than 365 days")]
    TooLong,
}

/// In the largest units that say it exactly; what is below a millisecond is not kept.
pub(crate) fn format_duration(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, size) in UNITS {
        if millis >= size {
            text.push_str(&format!("{}{unit}", millis / size));
            millis %= size;
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

impl Field for Duration {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        let Some(text) = node.get_ref().as_str() else {
            reader.wrong_type(node, EXPECTED);
            return None;
        };
        match parse_duration(text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                reader.error(
                    node.span(),
                    format!("{text:?}: {error}"),
                    format!("write {EXPECTED}"),
                );
                None
            }
        }
    }

    fn write(&self) -> Option<Value> {
        Some(Value::Str(format_duration(*self)))
    }

    fn schema() -> Value {
        schema::pattern(EXPECTED, r"^([0-9]+(d|h|m|s|ms))+$")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, seconds) in [
            ("45m", 2700),
            ("1h30m", 5400),
            ("10s", 10),
            ("0s", 0),
            ("2d", 172_800),
        ] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(parse_duration(text), Ok(duration));
            assert_eq!(format_duration(duration), text);
        }
        assert_eq!(
            parse_duration("90m").map(format_duration),
            Ok("1h30m".to_owned())
        );
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for bad in [
            "",
            "5",
            "m",
            "5x",
            "1m1h",
            "1m1m",
            " 1m",
            "-1m",
            "1.5h",
            "99999999999999999999s",
        ] {
            assert_eq!(
                parse_duration(bad),
                Err(ParseDurationError::NotADuration),
                "{bad}"
            );
        }
        assert_eq!(parse_duration("400d"), Err(ParseDurationError::TooLong));
    }
}
