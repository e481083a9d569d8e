use std::io::{self, IsTerminal as _};

use maintner::Time;
use unicode_width::UnicodeWidthChar as _;

use crate::value::Value;

/// Whether a character does something to a terminal or a reader's eyes, rather than to be seen: control characters, those that change the
/// direction of text, and ends of lines.
pub(super) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A text on one line, without anything harmful.
pub(crate) fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            '\n' | '\t' => line.push(' '),
            '\r' => {}
            c if is_harmful(c) => line.push('\u{fffd}'),
            c => line.push(c),
        }
    }
    line
}

/// How many columns of a terminal a text takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// The beginning of a text that takes so many columns at most, with an ellipsis if that is not all.
pub(super) fn fitted(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut fitted = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += char_width(c);
        if used > columns {
            break;
        }
        fitted.push(c);
    }
    if columns > 0 {
        fitted.push('…');
    }
    fitted
}

/// A value as a cell of a table has it.
pub(super) fn cell(value: &Value<'_>) -> String {
    match value {
        Value::None => String::new(),
        Value::Text(text) => line(text),
        Value::Int(number) => number.to_string(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Time(time) => minute(*time),
        Value::List(list) => line(&list.join(", ")),
    }
}

/// `2026-01-31 12:00`, in UTC.
fn minute(time: Time) -> String {
    let time = time.to_string();
    match time.match_indices(':').nth(1) {
        Some((end, _)) => time[..end].replace('T', " "),
        None => time,
    }
}

/// How wide the terminal is that standard output goes to, if it is one.
pub(crate) fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_text_is_one_harmless_line() {
        assert_eq!(
            line(" a\x1b[31m\r\nb\u{202e}c\u{9b}31m\u{2028}d\0 "),
            "a\u{fffd}[31m b\u{fffd}c\u{fffd}31m\u{fffd}d\u{fffd}"
        );
        assert_eq!(line("日本 ä"), "日本 ä");
    }

    #[test]
    fn what_is_too_wide_ends_in_an_ellipsis() {
        assert_eq!(fitted("abcdef", 6), "abcdef");
        assert_eq!(fitted("abcdefg", 6), "abcde…");
        // Each of these takes two columns.
        assert_eq!(fitted("日本語", 5), "日本…");
        assert_eq!(fitted("日本語", 4), "日…");
        assert_eq!(fitted("ab", 1), "…");
        assert_eq!(fitted("ab", 0), "");
    }

    #[test]
    fn times_are_shown_to_the_minute() {
        let time = Value::Time(Time::new(1_773_144_000, 5));
        assert_eq!(cell(&time), "2026-03-10 12:00");
    }
}
