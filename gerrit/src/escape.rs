use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in one segment of a path, besides letters and digits. Not `+`, although addresses may have it there and the Go
/// package leaves it: Gerrit reads it as a space.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// What stays as it is in a query; a space, which becomes `+`, is dealt with afterwards.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Escapes `text` so that it is one segment of a path. `.` and `..` would be steps of the path: their dots are escaped too.
pub(crate) fn segment(text: &str) -> String {
    match text {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => utf8_percent_encode(text, SEGMENT).to_string(),
    }
}

/// Escapes a key or a value of a query, as HTML forms do.
pub(crate) fn query(text: &str) -> String {
    // A `%20` of the text itself has become `%2520`, so every one that is left was a space.
    utf8_percent_encode(text, QUERY)
        .to_string()
        .replace("%20", "+")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_segment_keeps_what_upstream_keeps_but_plus_signs() {
        assert_eq!(segment("a dir/b+c.go"), "a%20dir%2Fb%2Bc.go");
        assert_eq!(segment("$&=:@-_.~"), "$&=:@-_.~");
        assert_eq!(segment("/;,?#%"), "%2F%3B%2C%3F%23%25");
        assert_eq!(segment(".."), "%2E%2E");
    }

    #[test]
    fn a_query_is_escaped_as_a_form() {
        assert_eq!(query("a b%20*/é"), "a+b%2520%2A%2F%C3%A9");
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_segment(text in ".*") {
            let escaped = segment(&text);
            prop_assert!(!escaped.contains(['/', '?', '#', ' ', '\r', '\n']));
            prop_assert!(escaped != "." && escaped != "..");
            let back = percent_encoding::percent_decode_str(&escaped).decode_utf8().unwrap();
            prop_assert_eq!(back, text);
        }
    }
}
