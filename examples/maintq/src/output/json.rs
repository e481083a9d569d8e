use std::io::{self, Write};

use serde::Serialize as _;
use serde::ser::{SerializeMap as _, Serializer as _};
use serde_json::Value as Json;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use crate::output::text::is_harmful;
use crate::value::Value;

/// An object on a line. What is not known is `null`; times are texts as RFC 3339 has them.
pub(super) fn write_row(
    out: &mut impl Write,
    columns: &[&str],
    values: &[Value<'_>],
) -> io::Result<()> {
    let mut serializer = Serializer::with_formatter(&mut *out, Harmless);
    let mut object = serializer.serialize_map(Some(values.len()))?;
    for (column, value) in columns.iter().zip(values) {
        object.serialize_entry(column, &json(value))?;
    }
    object.end()?;
    out.write_all(b"\n")
}

/// JSON on a line, harmless on a terminal, and the same for whoever parses it.
pub(crate) fn write_line(out: &mut impl Write, json: &Json) -> io::Result<()> {
    json.serialize(&mut Serializer::with_formatter(&mut *out, Harmless))?;
    out.write_all(b"\n")
}

fn json(value: &Value<'_>) -> Json {
    match value {
        Value::None => Json::Null,
        Value::Text(text) => Json::from(text.as_ref()),
        Value::Int(number) => Json::from(*number),
        Value::Bool(value) => Json::from(*value),
        Value::Time(time) => Json::from(time.to_string()),
        Value::List(list) => list.iter().map(AsRef::<str>::as_ref).collect(),
    }
}

/// Escapes more than it must.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_harmful) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let mut chars = rest[at..].chars();
            for unit in chars.next().unwrap_or_default().encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = chars.as_str();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_see_no_control_characters_and_parsers_all_of_them() {
        let text = "a\x1b\u{9b}31m\u{202e}\"\n日本";
        let mut out = Vec::new();
        let values = [
            Value::text(text),
            Value::None,
            Value::list(["x"].into_iter()),
        ];
        write_row(&mut out, &["title", "owner", "labels"], &values).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert!(!line.trim_end_matches('\n').contains(is_harmful), "{line}");
        let parsed: Json = serde_json::from_str(&line).unwrap();
        assert_eq!(
            parsed,
            serde_json::json!({"title": text, "owner": null, "labels": ["x"]})
        );
    }
}
