//! The JSON Schema: what it says of files that are good and bad. The files are given to a validator as JSON.

use dashboard_config::json_schema;
use serde_json::Value;

fn valid(text: &str) -> Result<(), String> {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("schema.json", schema).unwrap();
    let index = compiler.compile("schema.json", &mut schemas).unwrap();
    let file: Value = toml::from_str(text).unwrap();
    schemas
        .validate(&file, index)
        .map_err(|error| error.to_string())
}

#[test]
fn good_files_are_valid() {
    for text in [
        crate::general::TEXT,
        include_str!("../../data/upstream-2022/production.toml"),
        include_str!("../../data/upstream-2022/hosts.toml"),
        include_str!("../../data/upstream-2022/builders.toml"),
        include_str!("../../data/upstream-2022/policies.toml"),
        include_str!("../../data/upstream-2022/repositories.toml"),
        include_str!("../../data/upstream-2022/aliases.toml"),
    ] {
        valid(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
}

#[test]
fn what_the_reader_refuses_the_schema_refuses() {
    for bad in [
        "[builder.b]\nhost_tpye = 'x'",
        "[builder.b]\ntimeout = '1h'",
        "[builder.b]\nhost_type = 1",
        "[builder.b]\nhost_type = 'x'\ntimeout = 'soon'",
        "[builder.b]\nhost_type = 'x'\nsupersede = 'often'",
        "[builder.b]\nhost_type = 'x'\nstep = [{ name = 'no run' }]",
        "[builder.b]\nhost_type = 'x'\nstep = [{ run = 1 }]",
        "[host.h]\nexpect_num = -1\npool = 'reverse'",
        "unknown = 1",
    ] {
        assert!(valid(bad).is_err(), "{bad}");
    }
}

#[test]
fn every_key_is_explained() {
    fn check(path: &str, schema: &Value, count: &mut usize) {
        if let Some(properties) = schema["properties"].as_object() {
            for (key, property) in properties {
                let explained = property["description"]
                    .as_str()
                    .is_some_and(|text| text.len() > 8);
                assert!(explained, "{path}/{key}: {property}");
                *count += 1;
                check(&format!("{path}/{key}"), property, count);
            }
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                check(path, &schema[inner], count);
            }
        }
    }
    let mut count = 0;
    check(
        "",
        &serde_json::from_str(&json_schema()).unwrap(),
        &mut count,
    );
    assert!(count > 120, "{count}");
}
