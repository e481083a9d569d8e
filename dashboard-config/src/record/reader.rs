use std::collections::HashMap;
use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::Field;
use crate::diagnostic::{Collector, Place, SourceFile};
use crate::text::{is_name, nearest};

/// A value of a file, and where it stands there.
pub(crate) type Node<'i> = toml::Spanned<DeValue<'i>>;

/// Reads one file: knows where it is, and keeps what is wrong and where every key stood.
pub(crate) struct Reader<'c> {
    file: Arc<SourceFile>,
    path: String,
    places: &'c mut Places,
    found: &'c mut Collector,
}

/// Where each key of all files stood, by its path: `builder/linux-amd64/step/0/name`.
#[derive(Debug, Default)]
pub(crate) struct Places {
    by_path: HashMap<String, Place>,
}

impl<'c> Reader<'c> {
    pub(crate) fn new(
        file: Arc<SourceFile>,
        places: &'c mut Places,
        found: &'c mut Collector,
    ) -> Self {
        Self {
            file,
            path: String::new(),
            places,
            found,
        }
    }

    /// The table, when it is one; keys that it should not have are reported.
    pub(crate) fn table<'n, 'i>(
        &mut self,
        node: &'n Node<'i>,
        keys: &[&str],
    ) -> Option<Table<'n, 'i>> {
        let DeValue::Table(entries) = node.get_ref() else {
            self.wrong_type(node, "a table");
            return None;
        };
        for key in entries.keys() {
            let word: &str = key.get_ref();
            if !keys.contains(&word) {
                let hint = match nearest(word, keys.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here: {}", keys.join(", ")),
                };
                self.error(key.span(), format!("unknown key `{word}`"), hint);
            }
        }
        Some(Table {
            entries,
            span: node.span(),
        })
    }

    pub(crate) fn required<T: Field>(&mut self, table: &Table<'_, '_>, key: &str) -> Option<T> {
        if !table.entries.contains_key(key) {
            let owner = self.path.rsplit('/').next().unwrap_or_default();
            let message = if owner.is_empty() || owner.bytes().all(|b| b.is_ascii_digit()) {
                format!("`{key}` is missing")
            } else {
                format!("`{key}` is missing in `{owner}`")
            };
            self.error(table.span.clone(), message, format!("add: {key} = …"));
            return None;
        }
        self.optional(table, key)
    }

    /// `None` when it is not there, or wrong and reported.
    pub(crate) fn optional<T: Field>(&mut self, table: &Table<'_, '_>, key: &str) -> Option<T> {
        let value = table.entries.get(key)?;
        self.within(key, value.span(), |reader| T::read(value, reader))
    }

    /// Reads what stands below `key`.
    pub(crate) fn within<T>(
        &mut self,
        key: &str,
        span: Range<usize>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let before = self.path.len();
        if before > 0 {
            self.path.push('/');
        }
        self.path.push_str(key);
        let place = Place {
            file: Arc::clone(&self.file),
            span,
        };
        if let Some(first) = self.places.by_path.insert(self.path.clone(), place.clone())
            && self.path.matches('/').count() <= 1
            && (self.path.starts_with("environment") || self.path.contains('/'))
        {
            let hint = format!(
                "it stands in {} too: remove one of the two",
                first.file.name()
            );
            self.found
                .error(Some(&place), format!("`{key}` stands in two files"), hint);
        }
        let read = read(self);
        self.path.truncate(before);
        read
    }

    pub(crate) fn str<'n>(&mut self, node: &'n Node<'_>) -> Option<&'n str> {
        let text = node.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(node, "a string in quotes");
        }
        text
    }

    pub(crate) fn parsed<T: FromStr<Err: Display>>(
        &mut self,
        node: &Node<'_>,
        expected: &str,
    ) -> Option<T> {
        let Some(text) = node.get_ref().as_str() else {
            self.wrong_type(node, expected);
            return None;
        };
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(
                    node.span(),
                    format!("{text:?}: {error}"),
                    format!("write {expected}"),
                );
                None
            }
        }
    }

    pub(crate) fn word<T: Copy>(&mut self, node: &Node<'_>, words: &[(&str, T)]) -> Option<T> {
        let text = self.str(node)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let hint = match nearest(text, words.iter().map(|(word, _)| *word)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => {
                    let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                    format!("one of: {}", all.join(", "))
                }
            };
            self.error(
                node.span(),
                format!("{text:?} is not a word that is known here"),
                hint,
            );
        }
        found.map(|(_, value)| *value)
    }

    pub(crate) fn check_name(&mut self, name: &str, span: Range<usize>) {
        if !is_name(name) {
            self.error(
                span,
                format!("{name:?} cannot be a name: it goes into addresses and file names"),
                "use a lower-case letter or digit, then up to 127 of a-z 0-9 . _ -",
            );
        }
    }

    pub(crate) fn wrong_type(&mut self, node: &Node<'_>, expected: &str) {
        let found = type_name(node.get_ref());
        let hint = match node.get_ref() {
            DeValue::String(text) if expected.starts_with("a list") => format!("write [{text:?}]"),
            DeValue::Integer(_) | DeValue::Boolean(_) if expected.contains("string") => {
                "put it in quotes".to_owned()
            }
            _ => format!("write {expected}"),
        };
        self.error(
            node.span(),
            format!("this should be {expected}, not {found}"),
            hint,
        );
    }

    pub(crate) fn error(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let place = Place {
            file: Arc::clone(&self.file),
            span,
        };
        self.found.error(Some(&place), message, hint);
    }
}

impl Places {
    /// Where the key stood, or else the nearest table around it that stood anywhere.
    pub(crate) fn find(&self, path: &str) -> Option<&Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.by_path.get(path) {
                return Some(place);
            }
            path = path.rsplit_once('/')?.0;
        }
    }
}

/// An open table.
pub(crate) struct Table<'n, 'i> {
    pub(crate) entries: &'n DeTable<'i>,
    span: Range<usize>,
}

/// With its article.
pub(crate) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
