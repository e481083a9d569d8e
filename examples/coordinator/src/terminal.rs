//! Text for people: what strangers wrote cannot do anything to their terminal.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

/// Without what would move the cursor, colour the line or hide text.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| {
        // Control characters, and those that change the direction of text.
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(harmful) {
        Cow::Owned(
            text.chars()
                .map(|c| if harmful(c) { '\u{fffd}' } else { c })
                .collect(),
        )
    } else {
        Cow::Borrowed(text)
    }
}

/// `1h05m`, `3m20s`, `4.2s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{}.{}s", seconds, time.subsec_millis() / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Rows in columns, each as wide as its widest cell; the last one is as long as it is.
pub(crate) fn table(out: &mut impl Write, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Lets a log's colours through to a terminal and nothing else that is no text: no titles, no questions that the terminal would answer by typing, no cursor movements.
#[derive(Debug, Default)]
pub(crate) struct ColoursOnly {
    state: Inside,
    /// What was seen of an escape sequence; at most [`LONGEST_COLOUR`] bytes.
    sequence: Vec<u8>,
}

/// The longest sequence that sets colours: a few numbers of three digits.
const LONGEST_COLOUR: usize = 64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC [.
    Control,
    /// After what begins a string for the terminal: to its end, or that of the line.
    String,
}

impl ColoursOnly {
    /// What of the next bytes a terminal may see. Sequences may be cut anywhere between calls.
    pub(crate) fn filter(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.next(byte, &mut out);
        }
        out
    }

    fn next(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.state = match (self.state, byte) {
            (_, 0x1b) => Inside::Escape,
            (Inside::Text, b'\n' | b'\r' | b'\t' | 0x20..=0x7e | 0x80..) => {
                out.push(byte);
                Inside::Text
            }
            (Inside::Text, _) => Inside::Text,
            (Inside::Escape, b'[') => {
                self.sequence.clear();
                Inside::Control
            }
            (Inside::Escape, b']' | b'P' | b'X' | b'^' | b'_') => Inside::String,
            (Inside::Escape, b'\n') => {
                out.push(byte);
                Inside::Text
            }
            // Intermediate bytes; the next one ends it.
            (Inside::Escape, 0x20..0x30) => Inside::Escape,
            (Inside::Escape, _) => Inside::Text,
            (Inside::Control, b'm') if self.sequence.len() < LONGEST_COLOUR => {
                out.extend_from_slice(b"\x1b[");
                out.append(&mut self.sequence);
                out.push(b'm');
                Inside::Text
            }
            (Inside::Control, b'0'..=b'9' | b';' | b':') => {
                if self.sequence.len() < LONGEST_COLOUR {
                    self.sequence.push(byte);
                }
                Inside::Control
            }
            // Any other sequence of this kind, which a byte from @ to ~ ends.
            (Inside::Control, 0x20..0x40) => {
                self.sequence.resize(LONGEST_COLOUR, b'0');
                Inside::Control
            }
            (Inside::Control | Inside::String, b'\n') => {
                out.push(byte);
                Inside::Text
            }
            (Inside::Control, _) => Inside::Text,
            (Inside::String, 0x07) => Inside::Text,
            (Inside::String, _) => Inside::String,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(log: &str) -> String {
        let whole = ColoursOnly::default().filter(log.as_bytes());
        let mut filter = ColoursOnly::default();
        let cut: Vec<u8> = log
            .bytes()
            .flat_map(|byte| filter.filter(&[byte]))
            .collect();
        assert_eq!(whole, cut, "the same however it is cut");
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn colours_pass_and_nothing_else() {
        assert_eq!(
            shown("\x1b[1;31merror\x1b[0m: é\r\n\tx"),
            "\x1b[1;31merror\x1b[0m: é\r\n\tx"
        );
        assert_eq!(shown("a\x1b[2Jb\x1b[10;20Hc\x1b[?1049hd\x1b[6ne"), "abcde");
        assert_eq!(shown("a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c"), "abc");
        assert_eq!(shown("a\x1bPquestion\nb\x1b(0c\x08\x00"), "a\nbc");
        assert_eq!(shown(&format!("\x1b[{}mx", "1;".repeat(100))), "x");
    }

    #[test]
    fn strangers_text_is_one_harmless_line() {
        assert_eq!(
            printable("fix\x1b[31m \u{202e}evil\n"),
            "fix\u{fffd}[31m \u{fffd}evil\u{fffd}"
        );
        assert!(matches!(printable("plain ä"), Cow::Borrowed(_)));
    }

    #[test]
    fn durations_are_short() {
        let shown =
            [0, 4_200, 200_000, 3_900_000].map(|millis| duration(Duration::from_millis(millis)));
        assert_eq!(shown, ["0.0s", "4.2s", "3m20s", "1h05m"]);
    }

    #[test]
    fn columns_are_as_wide_as_they_must() {
        let mut out = Vec::new();
        let row = |cells: &[&str]| cells.iter().map(ToString::to_string).collect();
        table(&mut out, &[row(&["id", "x"]), row(&["1000", "é", "end"])]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "id    x\n1000  é  end\n");
    }
}
