//! The three macros that the data model is written in.

/// A struct that is a table in a file: `key: Type = default`, or `key: Type` where the key is required. `field as "key"` gives the key another name,
/// `struct T named name` is a table whose own key is its name, and `struct T with Default` has no required key.
macro_rules! record {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $type:ident with Default {
            $( $(#[doc = $field_doc:literal])* pub $field:ident $(as $key:literal)? : $ty:ty = $default:expr, )*
        }
    ) => {
        $crate::record::record! {
            $(#[doc = $doc])*
            $vis struct $type {
                $( $(#[doc = $field_doc])* pub $field $(as $key)? : $ty = $default, )*
            }
        }

        impl Default for $type {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }
    };
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $type:ident $(named $name:ident)? {
            $( $(#[doc = $field_doc:literal])* pub $field:ident $(as $key:literal)? : $ty:ty $(= $default:expr)?, )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        $vis struct $type {
            $(
                #[doc = "The key of its table."]
                pub $name: String,
            )?
            $( $(#[doc = $field_doc])* pub $field: $ty, )*
        }

        impl $crate::record::Field for $type {
            fn read(node: &$crate::record::Node<'_>, reader: &mut $crate::record::Reader) -> Option<Self> {
                const KEYS: &[&str] = &[$( $crate::record::record!(@key $field $($key)?) ),*];
                let table = reader.table(node, KEYS)?;
                $(
                    let $field = $crate::record::record!(
                        @read reader, table, $crate::record::record!(@key $field $($key)?), $ty $(, $default)?
                    );
                )*
                Some(Self {
                    $( $name: String::new(), )?
                    $( $field: $field?, )*
                })
            }

            fn write(&self) -> Option<$crate::record::Value> {
                let mut table = Vec::new();
                $(
                    let omitted = $crate::record::record!(@omitted &self.$field, $ty $(, $default)?);
                    if !omitted && let Some(value) = $crate::record::Field::write(&self.$field) {
                        table.push(($crate::record::record!(@key $field $($key)?).to_owned(), value));
                    }
                )*
                Some($crate::record::Value::Table(table))
            }

            fn schema() -> $crate::record::Value {
                $crate::schema::object(
                    concat!($($doc, "\n"),*),
                    vec![$( $crate::schema::Property {
                        key: $crate::record::record!(@key $field $($key)?),
                        doc: concat!($($field_doc, "\n"),*),
                        schema: <$ty as $crate::record::Field>::schema(),
                        required: $crate::record::record!(@required $($default)?),
                    } ),*],
                )
            }
        }

        $(
            impl $crate::record::Named for $type {
                fn set_name(&mut self, name: &str) {
                    self.$name = name.to_owned();
                }
            }
        )?
    };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (@read $reader:ident, $table:ident, $key:expr, $ty:ty) => { $reader.required::<$ty>(&$table, $key) };
    (@read $reader:ident, $table:ident, $key:expr, $ty:ty, $default:expr) => {
        Some($reader.optional::<$ty>(&$table, $key).unwrap_or_else(|| $default))
    };
    (@omitted $value:expr, $ty:ty) => { false };
    (@omitted $value:expr, $ty:ty, $default:expr) => {{
        let default: $ty = $default;
        *$value == default
    }};
    (@required) => { true };
    (@required $default:expr) => { false };
}

/// An enum that is a word in a file.
macro_rules! words {
    (
        $(#[doc = $doc:literal])*
        pub enum $type:ident {
            $( $(#[doc = $variant_doc:literal])* $variant:ident = $word:literal, )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $type {
            $( $(#[doc = $variant_doc])* $variant, )*
        }

        impl $type {
            /// The word that stands for it in a file.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )*
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::record::Field for $type {
            fn read(node: &$crate::record::Node<'_>, reader: &mut $crate::record::Reader) -> Option<Self> {
                reader.word(node, &[$( ($word, Self::$variant) ),*])
            }

            fn write(&self) -> Option<$crate::record::Value> {
                Some($crate::record::Value::from(self.as_str()))
            }

            fn schema() -> $crate::record::Value {
                $crate::schema::words(&[$($word),*])
            }
        }
    };
}

/// A type with `FromStr` and `Display` that is a string in a file.
macro_rules! parsed {
    ($type:ty, $description:literal) => {
        impl $crate::record::Field for $type {
            fn read(
                node: &$crate::record::Node<'_>,
                reader: &mut $crate::record::Reader,
            ) -> Option<Self> {
                reader.parsed(node, $description)
            }

            fn write(&self) -> Option<$crate::record::Value> {
                Some($crate::record::Value::from(self.to_string()))
            }

            fn schema() -> $crate::record::Value {
                $crate::schema::string($description)
            }
        }
    };
}

pub(crate) use {parsed, record, words};
