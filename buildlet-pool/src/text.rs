/// The first `max` bytes of `text`, or a few less, so that no character is cut in two.
pub(crate) fn cut(mut text: String, max: usize) -> String {
    let mut ends = (0..=max.min(text.len())).rev();
    let end = ends.find(|&at| text.is_char_boundary(at));
    text.truncate(end.unwrap_or(0));
    text
}

/// An error with its causes, as programs print it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stay_whole() {
        assert_eq!(cut("aéb".into(), 2), "a");
        assert_eq!(cut("aéb".into(), 3), "aé");
        assert_eq!(cut("aéb".into(), 9), "aéb");
        assert_eq!(cut("é".into(), 1), "");
    }
}
