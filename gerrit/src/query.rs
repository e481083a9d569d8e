use std::fmt;

/// A search for changes or accounts, in Gerrit's language, put together so that no value can become part of the language.
///
/// ```
/// # fn main() -> Result<(), gerrit::QueryError> {
/// use gerrit::Query;
///
/// let query = Query::is("open")?.and(Query::field("project", "go")?)
///     .and(Query::field("owner", "self")?.or(Query::text("fixes \u{7b}bug")?))
///     .and(Query::field("label", "Code-Review=+2")?.not());
/// assert_eq!(query.to_string(), r#"is:open project:go (owner:self OR "fixes {bug") -label:"Code-Review=+2""#);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query {
    text: String,
    /// What holds it together: a part of another query is put into parentheses unless it is one word.
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    Word,
    And,
    Or,
    Raw,
}

/// A text cannot be a part of a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum QueryError {
    /// An operator has other characters than letters, digits, `-` and `_`.
    #[error("{operator:?} is no operator of a query")]
    Operator { operator: String },
    /// Nothing to search for.
    #[error("an empty text cannot be searched for")]
    Empty,
    /// Gerrit's language has two kinds of quotes, and the text needs a third.
    #[error("{value:?} cannot be quoted: it has braces as well as double quotes or backslashes")]
    Unquotable { value: String },
}

impl Query {
    /// `operator:value`, such as `owner:self`, the value quoted if needed.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    pub fn field(operator: &str, value: &str) -> Result<Self, QueryError> {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let begins = operator
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphabetic());
        if !begins || !operator.bytes().all(is_letter) {
            return Err(QueryError::Operator {
                operator: operator.to_owned(),
            });
        }
        Ok(Self::word(format!("{operator}:{}", quoted(value)?)))
    }

    /// `is:value`, such as `is:open`.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    pub fn is(value: &str) -> Result<Self, QueryError> {
        Self::field("is", value)
    }

    /// What Gerrit's search finds by a text alone: numbers, ids, hashes, e-mail addresses, words of messages.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    pub fn text(text: &str) -> Result<Self, QueryError> {
        quoted(text).map(Self::word)
    }

    /// A query as somebody wrote it, sent as it is. Nothing in it is quoted: never put values of others into it.
    #[must_use]
    pub fn raw(query: impl Into<String>) -> Self {
        let (text, form) = (query.into(), Form::Raw);
        Self { text, form }
    }

    /// What both find.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let text = format!("{} {}", self.part(Form::And), other.part(Form::And));
        let form = Form::And;
        Self { text, form }
    }

    /// What either finds.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let text = format!("{} OR {}", self.part(Form::Or), other.part(Form::Or));
        let form = Form::Or;
        Self { text, form }
    }

    /// What this does not find.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "it reads as the others do")]
    pub fn not(self) -> Self {
        Self::word(format!("-{}", self.part(Form::Word)))
    }

    fn word(text: String) -> Self {
        let form = Form::Word;
        Self { text, form }
    }

    /// As a part of a query of the form `of`. What is negated already is put into parentheses, as `--` means nothing.
    fn part(self, of: Form) -> String {
        let is_negated = of == Form::Word && self.text.starts_with('-');
        if (self.form == Form::Word || self.form == of) && !is_negated {
            self.text
        } else {
            format!("({})", self.text)
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The value as one word of the language.
///
/// Between double quotes, newer servers take backslashes for escapes and older ones do not; between braces nobody does. A value goes where
/// every server reads it alike.
fn quoted(value: &str) -> Result<String, QueryError> {
    if value.trim().is_empty() {
        return Err(QueryError::Empty);
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./@".contains(&byte);
    let is_operator = matches!(value.to_ascii_uppercase().as_str(), "AND" | "OR" | "NOT");
    if value.bytes().all(is_plain) && !value.starts_with('-') && !is_operator {
        Ok(value.to_owned())
    } else if !value.contains(['"', '\\']) {
        Ok(format!("\"{value}\""))
    } else if !value.contains(['{', '}']) {
        Ok(format!("{{{value}}}"))
    } else {
        Err(QueryError::Unquotable {
            value: value.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> String {
        Query::text(text).unwrap().to_string()
    }

    #[test]
    fn values_are_quoted_where_they_need_it() {
        assert_eq!(text("a@b.c"), "a@b.c");
        assert_eq!(
            text("GitHub-Pull-Request: golang/go#42"),
            "\"GitHub-Pull-Request: golang/go#42\""
        );
        assert_eq!(text("OR"), "\"OR\"");
        assert_eq!(text("-owner"), "\"-owner\"");
        assert_eq!(text("say \"hi\""), "{say \"hi\"}");
        assert_eq!(text("end\\"), "{end\\}");
        assert!(matches!(
            Query::text("\"{"),
            Err(QueryError::Unquotable { .. })
        ));
        assert_eq!(Query::text(" "), Err(QueryError::Empty));
        assert!(Query::field("a b", "c").is_err());
    }

    #[test]
    fn parts_are_kept_together() {
        let word = |text: &str| Query::text(text).unwrap();
        let either = word("a").or(word("b")).or(word("c"));
        assert_eq!(either.to_string(), "a OR b OR c");
        let query = either.clone().and(word("d")).and(either.not());
        assert_eq!(query.to_string(), "(a OR b OR c) d -(a OR b OR c)");
        assert_eq!(
            Query::raw("x OR y").and(word("z")).to_string(),
            "(x OR y) z"
        );
        assert_eq!(word("a").not().not().to_string(), "-(-a)");
    }

    proptest! {
        #[test]
        fn no_value_ends_its_own_quotes(value in "[a-z \"{}\\\\():-]{1,12}") {
            if let Ok(query) = Query::text(&value) {
                let query = query.to_string();
                let inner = match query.as_bytes()[0] {
                    b'"' => query[1..query.len() - 1].contains(['"', '\\']),
                    b'{' => query[1..query.len() - 1].contains(['{', '}']),
                    _ => query.contains([' ', '(', ')', ':', '"', '{', '}', '\\']),
                };
                prop_assert!(!inner, "{query}");
            }
        }
    }
}
