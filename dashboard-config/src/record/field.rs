use std::collections::BTreeMap;

use toml::de::DeValue;

use super::reader::type_name;
use super::{Node, Reader, Value};
use crate::schema;

/// What can be the value of a key.
pub(crate) trait Field: Sized {
    /// Reads it; `None` when that failed, and the reader was told why.
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self>;

    /// What `read` makes the same of; `None` where the key is left out.
    fn write(&self) -> Option<Value>;

    /// JSON Schema of what `read` accepts.
    fn schema() -> Value;
}

/// A table whose own key is its name.
pub(crate) trait Named {
    fn set_name(&mut self, name: &str);
}

impl Field for String {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        reader.str(node).map(str::to_owned)
    }

    fn write(&self) -> Option<Value> {
        Some(Value::Str(self.clone()))
    }

    fn schema() -> Value {
        schema::string("")
    }
}

impl Field for bool {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        let read = node.get_ref().as_bool();
        if read.is_none() {
            reader.wrong_type(node, "true or false");
        }
        read
    }

    fn write(&self) -> Option<Value> {
        Some(Value::Bool(*self))
    }

    fn schema() -> Value {
        Value::object([("type", "boolean".into())])
    }
}

macro_rules! integer {
    ($type:ty) => {
        impl Field for $type {
            fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
                let Some(text) = node.get_ref().as_integer() else {
                    reader.wrong_type(node, "a whole number");
                    return None;
                };
                let number = Self::from_str_radix(text.as_str(), text.radix()).ok();
                if number.is_none() {
                    reader.error(
                        node.span(),
                        format!("{text} is out of range"),
                        format!("write a number from {} to {}", Self::MIN, Self::MAX),
                    );
                }
                number
            }

            fn write(&self) -> Option<Value> {
                Some(Value::Int(i64::from(*self)))
            }

            fn schema() -> Value {
                Value::object([
                    ("type", "integer".into()),
                    ("minimum", Value::Int(i64::from(Self::MIN))),
                    ("maximum", Value::Int(i64::from(Self::MAX))),
                ])
            }
        }
    };
}

integer!(i32);
integer!(u32);
integer!(i64);

impl<T: Field> Field for Option<T> {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        T::read(node, reader).map(Some)
    }

    fn write(&self) -> Option<Value> {
        self.as_ref().and_then(Field::write)
    }

    fn schema() -> Value {
        T::schema()
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        let Some(array) = node.get_ref().as_array() else {
            reader.wrong_type(node, "a list in brackets");
            return None;
        };
        let mut all = Self::new();
        for (i, item) in array.iter().enumerate() {
            all.extend(reader.within(&i.to_string(), item.span(), |reader| T::read(item, reader)));
        }
        Some(all)
    }

    fn write(&self) -> Option<Value> {
        Some(Value::List(self.iter().filter_map(Field::write).collect()))
    }

    fn schema() -> Value {
        Value::object([("type", "array".into()), ("items", T::schema())])
    }
}

impl<T: Field + Named> Field for BTreeMap<String, T> {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        let DeValue::Table(table) = node.get_ref() else {
            reader.wrong_type(node, "a table of tables");
            return None;
        };
        let mut all = Self::new();
        for (key, item) in table {
            let name: &str = key.get_ref();
            let read = reader.within(name, key.span(), |reader| {
                reader.check_name(name, key.span());
                T::read(item, reader)
            });
            if let Some(mut read) = read {
                read.set_name(name);
                all.insert(name.to_owned(), read);
            }
        }
        Some(all)
    }

    fn write(&self) -> Option<Value> {
        let tables = self
            .iter()
            .filter_map(|(name, item)| Some((name.clone(), item.write()?)));
        Some(Value::Table(tables.collect()))
    }

    fn schema() -> Value {
        Value::object([
            ("type", "object".into()),
            ("additionalProperties", T::schema()),
        ])
    }
}

/// Plain text under any key: aliases.
impl Field for BTreeMap<String, String> {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        let DeValue::Table(table) = node.get_ref() else {
            let found = type_name(node.get_ref());
            reader.error(
                node.span(),
                format!("this should be a table of strings, not {found}"),
                "write: name = \"value\"",
            );
            return None;
        };
        let mut all = Self::new();
        for (key, item) in table {
            let name: &str = key.get_ref();
            let read = reader.within(name, key.span(), |reader| String::read(item, reader));
            all.extend(read.map(|text| (name.to_owned(), text)));
        }
        Some(all)
    }

    fn write(&self) -> Option<Value> {
        let entries = self
            .iter()
            .map(|(name, text)| (name.clone(), Value::Str(text.clone())));
        Some(Value::Table(entries.collect()))
    }

    fn schema() -> Value {
        Value::object([
            ("type", "object".into()),
            ("additionalProperties", String::schema()),
        ])
    }
}
