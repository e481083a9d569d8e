use std::ops::Range;

use crate::filter::FilterError;

/// A word of a filter, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) place: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    /// A field, a keyword or a value.
    Word(String),
    /// A value.
    Quoted(String),
    /// `=`, `!=`, `~`, `!~`, `<`, `<=`, `>` or `>=`.
    Op(&'static str),
    Open,
    Close,
    Comma,
}

const OPERATORS: [&str; 8] = ["!=", "!~", "<=", ">=", "=", "~", "<", ">"];

/// Cuts a filter into its words.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let rest = &text[at..];
        let (kind, len) = match first {
            '(' => (TokenKind::Open, 1),
            ')' => (TokenKind::Close, 1),
            ',' => (TokenKind::Comma, 1),
            '"' | '\'' => match rest[1..].find(first) {
                Some(end) => (TokenKind::Quoted(rest[1..=end].to_owned()), end + 2),
                None => {
                    let message = "this quotation has no end";
                    return Err(FilterError::new(text, at..text.len(), message));
                }
            },
            _ => match OPERATORS.into_iter().find(|op| rest.starts_with(op)) {
                Some(op) => (TokenKind::Op(op), op.len()),
                None if first == '!' => {
                    let message =
                        "this is no operator; != and !~ are, and `not` stands before a test";
                    return Err(FilterError::new(text, at..at + 1, message));
                }
                None => {
                    let len = rest.find(ends_word).unwrap_or(rest.len());
                    (TokenKind::Word(rest[..len].to_owned()), len)
                }
            },
        };
        tokens.push(Token {
            kind,
            place: at..at + len,
        });
        at += len;
    }
    Ok(tokens)
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || "(),=!<>~\"'".contains(c)
}
