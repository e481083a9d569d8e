//! Facts of ours beside those of others.

use serde_json::{Value, json};

/// Differing facts are told one by one, as a whole corpus is long.
pub(crate) fn assert_same(case: &str, actual: &Value, expected: &Value) {
    fn differences(path: &str, actual: &Value, expected: &Value, found: &mut Vec<String>) {
        match (actual, expected) {
            (Value::Object(a), Value::Object(b)) => {
                let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
                for key in keys {
                    let (a, b) = (a.get(key), b.get(key));
                    differences(
                        &format!("{path}/{key}"),
                        a.unwrap_or(&json!("absent")),
                        b.unwrap_or(&json!("absent")),
                        found,
                    );
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (i, (a, b)) in a.iter().zip(b).enumerate() {
                    differences(&format!("{path}/{i}"), a, b, found);
                }
            }
            (a, b) if a != b => found.push(format!("{path}: {a} instead of {b}")),
            _ => {}
        }
    }
    let mut found = Vec::new();
    differences("", actual, expected, &mut found);
    found.truncate(20);
    assert!(found.is_empty(), "{case}:\n{}", found.join("\n"));
}

/// What of our facts Go's interface can tell, in its form.
pub(crate) fn public(mut facts: Value, go: &Value) -> Value {
    for project in facts["gerrit"]["projects"].as_array_mut().unwrap() {
        project["cls"]
            .as_array_mut()
            .unwrap()
            .retain(|cl| cl["complete"] == json!(true));
    }
    keep(&mut facts, go);
    facts
}

/// Drops the keys that the other does not have.
fn keep(facts: &mut Value, other: &Value) {
    match (facts, other) {
        // What an issue has that is gone is nobody's business, and differs.
        (Value::Object(facts), Value::Object(other)) => {
            facts.retain(|key, _| other.contains_key(key));
            for (key, value) in facts {
                keep(value, &other[key]);
            }
        }
        (Value::Array(facts), Value::Array(other)) => {
            facts.iter_mut().zip(other).for_each(|(a, b)| keep(a, b));
        }
        _ => {}
    }
}
