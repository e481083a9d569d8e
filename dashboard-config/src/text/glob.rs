use std::fmt;
use std::str::FromStr;

use crate::record::parsed;

/// A pattern in which `*` stands for any characters, also none and also `/`; everything else stands for itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob(String);

impl Glob {
    /// The pattern that matches everything.
    #[must_use]
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// Whether the whole of `text` matches. Takes time in proportion to the lengths of both, multiplied.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut p, mut t) = (0, 0);
        // The last star, and where the text after what it stands for begins.
        let mut star: Option<(usize, usize)> = None;
        while t < text.len() {
            if pattern.get(p) == Some(&b'*') {
                star = Some((p, t));
                p += 1;
            } else if pattern.get(p) == Some(&text[t]) {
                p += 1;
                t += 1;
            } else if let Some((at, from)) = star {
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|b| *b == b'*')
    }

    /// The pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, where the pattern matches only itself.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(&*self.0)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Glob {
    type Err = ParseGlobError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ParseGlobError::Empty);
        }
        if text.len() > 256 {
            return Err(ParseGlobError::TooLong);
        }
        match text
            .chars()
            .find(|c| "?[]!{}".contains(*c) || c.is_control())
        {
            Some(c) => Err(ParseGlobError::Unsupported(c)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseGlobError {
    /// It would match only an empty name, which nothing has.
    #[error("the pattern is empty")]
    Empty,
    /// It is longer than 256 bytes.
    #[error("the pattern is longer than 256 bytes")]
    TooLong,
    /// It has a character that means more in other patterns, and never occurs in what is matched.
    #[error("{0:?} has no meaning in a pattern")]
    Unsupported(char),
}

parsed!(
    Glob,
    "a pattern in which * stands for any characters, such as \"release-*\""
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        pattern.parse::<Glob>().unwrap().matches(text)
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "a/b"),
            ("a*", "a"),
            ("*b*", "abc"),
            ("a*c*e", "abcde"),
            ("**a", "a"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a*", "ba"), ("a*c", "acb"), ("*aab", "aaaba")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn what_other_patterns_have_is_refused() {
        assert_eq!("".parse::<Glob>(), Err(ParseGlobError::Empty));
        assert_eq!(
            "v[0-9]".parse::<Glob>(),
            Err(ParseGlobError::Unsupported('['))
        );
        assert_eq!("!x".parse::<Glob>(), Err(ParseGlobError::Unsupported('!')));
    }

    proptest! {
        #[test]
        fn it_agrees_with_trying_every_split(pattern in "[ab*]{1,8}", text in "[ab]{0,8}") {
            fn naive(pattern: &[u8], text: &[u8]) -> bool {
                match pattern.split_first() {
                    None => text.is_empty(),
                    Some((b'*', rest)) => (0..=text.len()).any(|n| naive(rest, &text[n..])),
                    Some((b, rest)) => text.first() == Some(b) && naive(rest, &text[1..]),
                }
            }
            prop_assert_eq!(matches(&pattern, &text), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
