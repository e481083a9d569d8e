use std::fmt::Write as _;

/// A tree of data on its way out: to TOML, or to JSON as Go's encoder writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// JSON only.
    Null,
    Bool(bool),
    Int(i64),
    Str(String),
    List(Vec<Self>),
    Table(Vec<(String, Self)>),
}

impl Value {
    pub(crate) fn object<const N: usize>(entries: [(&str, Self); N]) -> Self {
        Self::Table(
            entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        )
    }

    /// A TOML document, of a table.
    pub(crate) fn to_toml(&self) -> String {
        let mut out = String::new();
        if let Self::Table(entries) = self {
            write_table(&mut out, &mut Vec::new(), entries);
        }
        out
    }

    /// JSON indented by `indent`, with the characters that Go's encoder escapes written as it does.
    pub(crate) fn to_json(&self, indent: &str) -> String {
        let mut out = String::new();
        self.write_json(&mut out, indent, 0);
        out
    }

    fn write_json(&self, out: &mut String, indent: &str, depth: usize) {
        let line = |out: &mut String, depth: usize| {
            out.push('\n');
            out.extend(std::iter::repeat_n(indent, depth));
        };
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => _ = write!(out, "{value}"),
            Self::Int(value) => _ = write!(out, "{value}"),
            Self::Str(text) => quote_json(out, text),
            Self::List(items) if items.is_empty() => out.push_str("[]"),
            Self::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { "," });
                    line(out, depth + 1);
                    item.write_json(out, indent, depth + 1);
                }
                line(out, depth);
                out.push(']');
            }
            Self::Table(entries) if entries.is_empty() => out.push_str("{}"),
            Self::Table(entries) => {
                out.push('{');
                for (i, (key, value)) in entries.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { "," });
                    line(out, depth + 1);
                    quote_json(out, key);
                    out.push_str(": ");
                    value.write_json(out, indent, depth + 1);
                }
                line(out, depth);
                out.push('}');
            }
        }
    }

    /// Whether it needs headers of its own rather than one line.
    fn is_section(&self) -> bool {
        match self {
            Self::Table(_) => true,
            Self::List(items) => {
                !items.is_empty() && items.iter().all(|item| matches!(item, Self::Table(_)))
            }
            _ => false,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

fn write_table(out: &mut String, path: &mut Vec<String>, entries: &[(String, Value)]) {
    for (key, value) in entries.iter().filter(|(_, value)| !value.is_section()) {
        write_key(out, key);
        out.push_str(" = ");
        write_inline(out, value);
        out.push('\n');
    }
    for (key, value) in entries.iter().filter(|(_, value)| value.is_section()) {
        path.push(key.clone());
        match value {
            Value::Table(entries) => {
                // A table of nothing but tables is there by their headers.
                if entries.is_empty() || entries.iter().any(|(_, value)| !value.is_section()) {
                    write_header(out, "[", path, "]");
                }
                write_table(out, path, entries);
            }
            Value::List(items) => {
                for item in items {
                    write_header(out, "[[", path, "]]");
                    if let Value::Table(entries) = item {
                        write_table(out, path, entries);
                    }
                }
            }
            _ => {}
        }
        path.pop();
    }
}

fn write_header(out: &mut String, open: &str, path: &[String], close: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(open);
    for (i, key) in path.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { "." });
        write_key(out, key);
    }
    out.push_str(close);
    out.push('\n');
}

fn write_key(out: &mut String, key: &str) {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !key.is_empty() && key.bytes().all(bare) {
        out.push_str(key);
    } else {
        quote_toml(out, key);
    }
}

fn write_inline(out: &mut String, value: &Value) {
    match value {
        Value::Null => {}
        Value::Bool(value) => _ = write!(out, "{value}"),
        Value::Int(value) => _ = write!(out, "{value}"),
        Value::Str(text) => quote_toml(out, text),
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_inline(out, item);
            }
            out.push(']');
        }
        Value::Table(entries) => {
            out.push_str("{ ");
            for (i, (key, value)) in entries.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_key(out, key);
                out.push_str(" = ");
                write_inline(out, value);
            }
            out.push_str(" }");
        }
    }
}

/// A basic string, on several lines where the text has them.
fn quote_toml(out: &mut String, text: &str) {
    let lines = text.contains('\n') && !text.contains('\r');
    out.push_str(if lines { "\"\"\"\n" } else { "\"" });
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' if lines => out.push('\n'),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => _ = write!(out, "\\u{:04X}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push_str(if lines { "\"\"\"" } else { "\"" });
}

fn quote_json(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c if c < ' ' => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_get_headers_and_what_is_on_one_line_comes_first() {
        let value = Value::object([
            (
                "a",
                Value::object([("b", Value::object([("x", Value::Int(1))]))]),
            ),
            ("top", Value::List(vec!["q\"".into(), "two\nlines".into()])),
            ("s", Value::List(vec![Value::object([("k", true.into())])])),
        ]);
        assert_eq!(
            value.to_toml(),
            "top = [\"q\\\"\", \"\"\"\ntwo\nlines\"\"\"]\n\n[a.b]\nx = 1\n\n[[s]]\nk = true\n"
        );
    }

    #[test]
    fn json_is_escaped_as_go_does() {
        let value = Value::from("A <a@b> & \u{2028}");
        assert_eq!(value.to_json("\t"), r#""A \u003ca@b\u003e \u0026 \u2028""#);
    }
}
