//! Mutations as JSON, by the names that their definition gives to fields; what it does not know is shown too.

use std::collections::HashMap;
use std::sync::LazyLock;

use maintner::Time;
use prost::bytes::Buf as _;
use prost::encoding::{WireType, decode_key, decode_varint};
use serde_json::{Map, Value, json};

/// The definition of what is in a log.
const DEFINITION: &str = include_str!("../../../../maintner/proto/maintner.proto");

/// Messages by name, and their fields by number.
type Schema = HashMap<&'static str, HashMap<u32, Field>>;

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| parse(DEFINITION));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    name: &'static str,
    ty: &'static str,
    repeated: bool,
}

/// The payload of a record as JSON; if it is none, an object that says so and how far it could be read.
pub(super) fn mutation(payload: &[u8]) -> Value {
    message("Mutation", payload).0
}

/// A message, and whether all of it could be read.
fn message(name: &str, mut bytes: &[u8]) -> (Value, bool) {
    let mut object = Map::new();
    let fields = &SCHEMA[name];
    let mut whole = true;
    while bytes.has_remaining() {
        let Some((number, wire)) = take_field(&mut bytes) else {
            object.insert("malformed".into(), text(bytes));
            whole = false;
            break;
        };
        let known = fields.get(&number).and_then(|field| {
            let values = wire.read_as(field.ty)?;
            Some((field, values))
        });
        let (key, values, repeated) = match known {
            Some((field, values)) => (field.name.to_owned(), values, field.repeated),
            None => (format!("field_{number}"), vec![wire.as_it_is()], false),
        };
        match object.get_mut(&key) {
            Some(Value::Array(before)) => before.extend(values),
            // Pieces of one message, or a field that was sent again.
            Some(before) => {
                let first = before.take();
                *before = std::iter::once(first).chain(values).collect();
            }
            None if repeated => {
                object.insert(key, values.into());
            }
            None => {
                let value = values.into_iter().next_back();
                object.insert(key, value.unwrap_or_default());
            }
        }
    }
    (Value::Object(object), whole)
}

/// A value, as it is encoded.
enum Wire<'a> {
    Varint(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

impl Wire<'_> {
    /// `None` if the type is never encoded so.
    fn read_as(&self, ty: &str) -> Option<Vec<Value>> {
        let number = |number: u64| match ty {
            // As protobuf has it, the upper half is ignored.
            "int32" => json!(number as i32),
            _ => json!(number.cast_signed()),
        };
        match (self, ty) {
            (Self::Varint(value), "bool") => Some(vec![json!(*value != 0)]),
            (Self::Varint(value), "int32" | "int64") => Some(vec![number(*value)]),
            (Self::Bytes(bytes), "string" | "bytes") => Some(vec![text(bytes)]),
            // Packed.
            (&Self::Bytes(mut bytes), "int32" | "int64") => {
                let mut numbers = Vec::new();
                while !bytes.is_empty() {
                    numbers.push(number(decode_varint(&mut bytes).ok()?));
                }
                Some(numbers)
            }
            (Self::Bytes(bytes), "Timestamp") => Some(vec![timestamp(bytes)]),
            (Self::Bytes(bytes), name) if SCHEMA.contains_key(name) => {
                Some(vec![message(name, bytes).0])
            }
            _ => None,
        }
    }

    fn as_it_is(&self) -> Value {
        match self {
            Self::Varint(value) | Self::Fixed(value) => json!(value),
            Self::Bytes(bytes) => text(bytes),
        }
    }
}

fn take_field<'a>(bytes: &mut &'a [u8]) -> Option<(u32, Wire<'a>)> {
    let before = *bytes;
    let taken = try_take_field(bytes);
    if taken.is_none() {
        *bytes = before;
    }
    taken
}

fn try_take_field<'a>(bytes: &mut &'a [u8]) -> Option<(u32, Wire<'a>)> {
    let (number, wire_type) = decode_key(bytes).ok()?;
    let wire = match wire_type {
        WireType::Varint => Wire::Varint(decode_varint(bytes).ok()?),
        WireType::SixtyFourBit => Wire::Fixed(bytes.try_get_u64_le().ok()?),
        WireType::ThirtyTwoBit => Wire::Fixed(bytes.try_get_u32_le().ok()?.into()),
        WireType::LengthDelimited => {
            let len = usize::try_from(decode_varint(bytes).ok()?).ok()?;
            let (value, rest) = bytes.split_at_checked(len)?;
            *bytes = rest;
            Wire::Bytes(value)
        }
        // Nobody writes groups any more.
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    Some((number, wire))
}

fn text(bytes: &[u8]) -> Value {
    String::from_utf8_lossy(bytes).into()
}

/// As RFC 3339 has it.
fn timestamp(bytes: &[u8]) -> Value {
    let (value, whole) = message("Timestamp", bytes);
    let number = |name: &str| match value.get(name) {
        None => Some(0),
        Some(number) => number.as_i64(),
    };
    match (number("seconds"), number("nanos").map(u32::try_from)) {
        (Some(seconds), Some(Ok(nanos))) if whole => json!(Time::new(seconds, nanos).to_string()),
        _ => value,
    }
}

/// Reads what the definition uses of protobuf's language: messages that are not within others, with fields that are not maps.
fn parse(definition: &'static str) -> Schema {
    let mut schema = Schema::new();
    let mut current = "";
    for line in definition.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["message", name, "{"] => {
                current = name;
                schema.entry(name).or_default();
            }
            ["repeated", ty, name, "=", number] => {
                add(&mut schema, current, ty, name, number, true);
            }
            [ty, name, "=", number] => add(&mut schema, current, ty, name, number, false),
            _ => {}
        }
    }
    schema
}

fn add(
    schema: &mut Schema,
    message: &str,
    ty: &'static str,
    name: &'static str,
    number: &str,
    repeated: bool,
) {
    let number = number.trim_end_matches(';').parse();
    if let (Some(message), Ok(number)) = (schema.get_mut(message), number) {
        message.insert(number, Field { name, ty, repeated });
    }
}

#[cfg(test)]
mod tests {
    use maintner::pb;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    #[test]
    fn the_whole_definition_is_understood() {
        let fields: usize = SCHEMA.values().map(HashMap::len).sum();
        let written = DEFINITION
            .lines()
            .filter(|line| !line.trim_start().starts_with("//") && line.contains(" = "))
            .filter(|line| !line.starts_with("syntax"))
            .count();
        assert_eq!(fields, written);
        for field in SCHEMA.values().flat_map(HashMap::values) {
            let scalar = ["int32", "int64", "bool", "string", "bytes"].contains(&field.ty);
            assert!(scalar || SCHEMA.contains_key(field.ty), "{field:?}");
        }
    }

    #[test]
    fn mutations_have_the_names_of_their_fields() {
        let written = pb::Mutation {
            github_issue: Some(pb::GithubIssueMutation {
                owner: "golang".into(),
                number: -3,
                deleted_assignees: vec![5, 6],
                created: Some(pb::Timestamp {
                    seconds: 1,
                    nanos: 0,
                }),
                add_label: vec![pb::GithubLabel::default()],
                not_exist: true,
                ..Default::default()
            }),
            ..Default::default()
        };
        let mut bytes = written.encode_to_vec();
        // Field 99, a number; and what is none.
        bytes.extend([0x98, 0x06, 0x07, 0xff]);
        assert_eq!(
            mutation(&bytes),
            json!({
                "github_issue": {
                    "owner": "golang",
                    "number": -3,
                    "deleted_assignees": [5, 6],
                    "created": "1970-01-01T00:00:01Z",
                    "add_label": [{}],
                    "not_exist": true,
                },
                "field_99": 7,
                "malformed": "\u{fffd}",
            })
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            mutation(&bytes);
        }
    }
}
