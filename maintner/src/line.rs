//! Lines of commit messages.

use memchr::{memchr, memchr_iter, memchr2, memrchr_iter};

/// Without white space at both ends.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    match (text.first(), text.last()) {
        // White space of other alphabets begins with bytes that ASCII does not have.
        (Some(first), Some(last)) if !first.is_ascii() || !last.is_ascii() => {
            match std::str::from_utf8(text) {
                Ok(text) => text.trim().as_bytes(),
                Err(_) => trim_ascii(text),
            }
        }
        _ => trim_ascii(text),
    }
}

/// Of ASCII, and with the vertical tab, which Rust does not count among it.
fn trim_ascii(mut text: &[u8]) -> &[u8] {
    let is_space = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0b;
    while let [first, rest @ ..] = text
        && is_space(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    text
}

/// The value of the first line that begins with `key`, trimmed, and what follows that line. Lines begin at the start and after
/// `\n` and `\r`, and end with `\n`.
pub(crate) fn value_and_rest<'a>(text: &'a [u8], key: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    // Line by line, which for texts as short as these is faster than a search for the key.
    let mut line = text;
    while !line.starts_with(key) {
        line = &line[memchr2(b'\n', b'\r', line)? + 1..];
    }
    let value = &line[key.len()..];
    let (value, rest) = match memchr(b'\n', value) {
        Some(end) => (&value[..end], &value[end + 1..]),
        None => (value, &[][..]),
    };
    Some((trim(value), rest))
}

/// What stands before the first blank line; all if there is none.
pub(crate) fn first_paragraph(text: &[u8]) -> &[u8] {
    let blank = memchr_iter(b'\n', text).find(|&end| text.get(end + 1) == Some(&b'\n'));
    &text[..blank.unwrap_or(text.len())]
}

/// What stands behind the last blank line; empty if there is none.
pub(crate) fn last_paragraph(text: &[u8]) -> &[u8] {
    let blank = memrchr_iter(b'\n', text).find(|&end| end > 0 && text[end - 1] == b'\n');
    blank.map_or(&[], |end| &text[end + 1..])
}

/// The value of the first line that begins with `key`.
pub(crate) fn value<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    value_and_rest(text, key).map(|(value, _)| value)
}

/// The e-mail address of `Name <mail>`: between the first `<` and the first `>`; empty if there is none.
pub(crate) fn email(person: &str) -> &str {
    match (person.find('<'), person.find('>')) {
        (Some(open), Some(close)) if open < close => &person[open + 1..close],
        _ => "",
    }
}

/// The name of `Name <mail>`: what stands before the first `<`, trimmed.
pub(crate) fn name(person: &str) -> &str {
    person.split('<').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_with_the_key_counts_wherever_lines_begin() {
        let found = value_and_rest(b"Foo: bar\nLabel: A=+1\nLabel: A=+2\n", b"Label: ");
        assert_eq!(
            found,
            Some((b"A=+1".as_slice(), b"Label: A=+2\n".as_slice()))
        );
        assert_eq!(
            value(b"Label:  x \t\r\n", b"Label: "),
            Some(b"x".as_slice())
        );
        assert_eq!(value(b"a\rLabel: y", b"Label: "), Some(b"y".as_slice()));
        assert_eq!(value(b"XLabel: y\n Label: z", b"Label: "), None);
        assert_eq!(value(b"", b"Label: "), None);
    }

    #[test]
    fn paragraphs_are_divided_by_blank_lines() {
        assert_eq!(first_paragraph(b"a\nb\n\nc\n\nd"), b"a\nb");
        assert_eq!(first_paragraph(b"a\n"), b"a\n");
        assert_eq!(last_paragraph(b"a\n\nb\n\nc\nd\n"), b"c\nd\n");
        assert_eq!(last_paragraph(b"a\n\n\nb"), b"b");
        assert_eq!(last_paragraph(b"a\nb"), b"");
        assert_eq!(last_paragraph(b"a\n\n"), b"");
    }

    #[test]
    fn persons_have_a_name_and_an_address() {
        for (person, its_name, its_email) in [
            ("Foo Bar <foo@bar.com>", "Foo Bar", "foo@bar.com"),
            ("NoEmail", "NoEmail", ""),
            ("a > b < c", "a > b", ""),
            ("<x><y>", "", "x"),
        ] {
            assert_eq!((name(person), email(person)), (its_name, its_email));
        }
    }
}
