use std::fmt::{self, Write as _};

/// Displays bytes in double quotes, escaped as Go's `%q` does.
///
/// Printable Unicode is kept; `"` and `\` get a backslash; the rest becomes `\n`-like escapes, `\x7f`, `\u200b`, `\U000e0001`,
/// or `\xff` for a byte that is no UTF-8. So the text is one line, whatever the bytes are. Error texts and the `:: Running`
/// line of `/exec` are written with it.
///
/// ```
/// use buildlet_proto::types::GoQuoted;
/// assert_eq!(GoQuoted(b"tab\t\"\xc3\xa9\" \xff").to_string(), r#""tab\t\"é\" \xff""#);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct GoQuoted<'a>(pub &'a [u8]);

impl fmt::Display for GoQuoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                write_escaped(f, c)?;
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_char('"')
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '"' | '\\' => {
            f.write_char('\\')?;
            f.write_char(c)
        }
        '\x07' => f.write_str("\\a"),
        '\x08' => f.write_str("\\b"),
        '\x0c' => f.write_str("\\f"),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\x0b' => f.write_str("\\v"),
        '\0'..=' ' | '\x7f' if c != ' ' => write!(f, "\\x{:02x}", u32::from(c)),
        _ if is_printable(c) => f.write_char(c),
        '\0'..='\u{ffff}' => write!(f, "\\u{:04x}", u32::from(c)),
        _ => write!(f, "\\U{:08x}", u32::from(c)),
    }
}

/// Whether `c` is a letter, mark, number, punctuation, symbol or the ASCII blank: what Go prints as it is.
///
/// The standard library escapes the same characters, and combining ones at the beginning of a text, hence the `a`.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    let mut text = [b'a'; 5];
    let len = 1 + c.encode_utf8(&mut text[1..]).len();
    let text = std::str::from_utf8(&text[..len]).expect("an ASCII letter and one character");
    text.escape_debug().nth(1) == Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(bytes: &[u8]) -> String {
        GoQuoted(bytes).to_string()
    }

    #[test]
    fn control_characters_have_their_names_or_numbers() {
        assert_eq!(
            quoted(b"\x07\x08\x0c\n\r\t\x0b\0\x1f\x7f "),
            r#""\a\b\f\n\r\t\v\x00\x1f\x7f ""#
        );
    }

    #[test]
    fn printable_unicode_is_kept_and_the_rest_numbered() {
        assert_eq!(
            quoted("é中a\u{301}\u{301}🦀".as_bytes()),
            "\"é中a\u{301}\u{301}🦀\""
        );
        assert_eq!(
            quoted("\u{80}\u{a0}\u{200b}\u{2028}\u{e000}\u{e0001}\u{fffd}".as_bytes()),
            "\"\\u0080\\u00a0\\u200b\\u2028\\ue000\\U000e0001\u{fffd}\""
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_numbered_one_by_one() {
        assert_eq!(quoted(b"a\xff\xe2\x82b"), r#""a\xff\xe2\x82b""#);
    }

    #[test]
    fn combining_characters_are_printable_at_the_beginning_too() {
        assert_eq!(quoted("\u{301}".as_bytes()), "\"\u{301}\"");
    }
}
