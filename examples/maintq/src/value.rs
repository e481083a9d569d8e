use std::borrow::Cow;

use maintner::Time;

/// What a field of a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Int,
    Bool,
    Time,
    /// Texts.
    List,
}

impl Type {
    /// The word for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int => "number",
            Self::Bool => "yes or no",
            Self::Time => "time",
            Self::List => "list",
        }
    }
}

/// One field of one row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'v> {
    /// Nothing is known, or there is nothing.
    None,
    Text(Cow<'v, str>),
    Int(i64),
    Bool(bool),
    Time(Time),
    List(Vec<Cow<'v, str>>),
}

impl<'v> Value<'v> {
    /// A text; an empty one is none.
    pub(crate) fn text(text: impl Into<Cow<'v, str>>) -> Self {
        match text.into() {
            text if text.is_empty() => Self::None,
            text => Self::Text(text),
        }
    }

    /// A text that need not be UTF-8.
    pub(crate) fn bytes(bytes: &'v [u8]) -> Self {
        Self::text(String::from_utf8_lossy(bytes))
    }

    /// A number of things.
    pub(crate) fn count(count: usize) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(crate) fn list(list: impl Iterator<Item = impl Into<Cow<'v, str>>>) -> Self {
        Self::List(list.map(Into::into).collect())
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Value<'_> {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<Time> for Value<'_> {
    fn from(value: Time) -> Self {
        Self::Time(value)
    }
}

impl<'v, T: Into<Self>> From<Option<T>> for Value<'v> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

/// A field that rows of a kind have: what filters name, columns show and exports write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldDef {
    pub(crate) name: &'static str,
    pub(crate) ty: Type,
    pub(crate) help: &'static str,
}
