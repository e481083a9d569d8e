//! What defines the structures of answers and requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The fields of an answer that this crate has no name for.
pub type Unknown = BTreeMap<String, Value>;

/// Reads `null` as if the field were absent.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Defines a structure of answers: every field may be absent or `null`, and fields of other names are kept in `unknown`.
macro_rules! answer {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "fields are named and explained as in Gerrit's documentation")]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[serde(
                    default,
                    deserialize_with = "crate::types::macros::or_default",
                    skip_serializing_if = "crate::types::macros::is_default"
                )]
                pub $field: $type,
            )*
            #[serde(flatten)]
            pub unknown: crate::types::macros::Unknown,
        }
    };
}

/// Defines a structure that is sent: fields that are not set are left out, unless they stand in `always`.
macro_rules! input {
    (
        $(#[$meta:meta])* $name:ident {
            $(always { $($(#[$always_meta:meta])* $always:ident: $always_type:ty $(=> $always_how:ident)?,)+ })?
            $(optional { $($(#[$field_meta:meta])* $field:ident: $type:ty $(=> $how:ident)?,)+ })?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "fields are named and explained as in Gerrit's documentation")]
        pub struct $name {
            $($($(#[$always_meta])* pub $always: $always_type,)+)?
            $($(
                $(#[$field_meta])*
                #[serde(skip_serializing_if = "crate::types::macros::is_default")]
                pub $field: $type,
            )+)?
        }

        impl $name {
            $($(input!(@setter $always $always_type $(, $always_how)?);)+)?
            $($(input!(@setter $field $type $(, $how)?);)+)?
        }
    };
    (@setter $field:ident $type:ty) => {
        #[doc = concat!("Sets `", stringify!($field), "`.")]
        #[must_use]
        pub fn $field(mut self, value: $type) -> Self {
            self.$field = value;
            self
        }
    };
    (@setter $field:ident $type:ty, into) => {
        #[doc = concat!("Sets `", stringify!($field), "`.")]
        #[must_use]
        pub fn $field(mut self, value: impl Into<$type>) -> Self {
            self.$field = value.into();
            self
        }
    };
}

/// Defines a choice of words that servers may extend: words of tomorrow are kept as `Other`.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "variants are named and explained as in Gerrit's documentation")]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
            /// A word that this crate does not know.
            Other(String),
        }

        impl $name {
            /// The word, as Gerrit writes it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)*
                    _ => Self::Other(word.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = std::borrow::Cow::<str>::deserialize(deserializer)?;
                Ok(Self::from(&*word))
            }
        }
    };
}

pub(crate) use {answer, input, words};
