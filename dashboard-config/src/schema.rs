//! JSON Schema, built from the fields of the tables.

use crate::config::File;
use crate::record::{Field as _, Value};

/// JSON Schema (2020-12) of a file, for editors: what each key means, and which there are.
///
/// It knows what stands in one place; what depends on another, such as the name of a host type, only [`Config::parse`](crate::Config::parse) finds.
#[must_use]
pub fn json_schema() -> String {
    let mut schema = vec![
        (
            "$schema".to_owned(),
            "https://json-schema.org/draft/2020-12/schema".into(),
        ),
        ("title".to_owned(), "builders.toml".into()),
    ];
    if let Value::Table(entries) = File::schema() {
        schema.extend(entries);
    }
    let mut text = Value::Table(schema).to_json("  ");
    text.push('\n');
    text
}

pub(crate) struct Property {
    pub(crate) key: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) schema: Value,
    pub(crate) required: bool,
}

pub(crate) fn object(doc: &str, properties: Vec<Property>) -> Value {
    let required: Vec<Value> = properties
        .iter()
        .filter(|property| property.required)
        .map(|property| property.key.into())
        .collect();
    let properties = properties.into_iter().map(|property| {
        let mut schema = vec![("description".to_owned(), Value::Str(one_line(property.doc)))];
        if let Value::Table(entries) = property.schema {
            // What is said about this key is worth more than what is said about its type, except for how to write it.
            let form = entries.iter().find(|(key, value)| {
                key == "description" && *value != Value::Str(String::new()) && !is_table(&entries)
            });
            if let (Some((_, Value::Str(form))), Value::Str(doc)) = (form, &mut schema[0].1) {
                doc.push_str(&format!(" Write {form}."));
            }
            schema.extend(entries.into_iter().filter(|(key, _)| key != "description"));
        }
        (property.key.to_owned(), Value::Table(schema))
    });
    Value::object([
        ("description", one_line(doc).into()),
        ("type", "object".into()),
        ("properties", Value::Table(properties.collect())),
        ("required", Value::List(required)),
        ("additionalProperties", false.into()),
    ])
}

pub(crate) fn string(description: &str) -> Value {
    Value::object([
        ("description", description.into()),
        ("type", "string".into()),
    ])
}

pub(crate) fn pattern(description: &str, pattern: &str) -> Value {
    Value::object([
        ("description", description.into()),
        ("type", "string".into()),
        ("pattern", pattern.into()),
    ])
}

pub(crate) fn words(words: &[&str]) -> Value {
    let words = words.iter().map(|word| Value::from(*word));
    Value::object([("enum", Value::List(words.collect()))])
}

pub(crate) fn any_of<const N: usize>(schemas: [Value; N]) -> Value {
    Value::object([("anyOf", Value::List(schemas.into()))])
}

fn is_table(entries: &[(String, Value)]) -> bool {
    entries.iter().any(|(key, _)| key == "properties")
}

fn one_line(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}
