use std::fmt;
use std::str::FromStr;

use toml::de::DeValue;

use crate::record::{Field, Node, Reader, Value};
use crate::schema;

/// Environment variables in order; a later one of the same name replaces an earlier one.
///
/// In a file either a table, `{ RUST_BACKTRACE = "1" }`, or a list in upstream's form, `["RUST_BACKTRACE=1"]`, which keeps its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Env(Vec<EnvVar>);

/// One variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvVar {
    name: String,
    value: String,
}

impl Env {
    /// Each variable, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, EnvVar> {
        self.0.iter()
    }

    /// The value that counts: the last of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let var = self.0.iter().rev().find(|var| var.name == name)?;
        Some(&var.value)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one at the end.
    pub fn push(&mut self, var: EnvVar) {
        self.0.push(var);
    }

    /// Without those that a later one of the same name replaces; the order is that of the last of each.
    #[must_use]
    pub fn deduplicated(&self) -> Self {
        let mut kept: Vec<EnvVar> = Vec::new();
        for var in self.0.iter().rev() {
            if !kept.iter().any(|later| later.name == var.name) {
                kept.push(var.clone());
            }
        }
        kept.reverse();
        Self(kept)
    }
}

impl EnvVar {
    /// A variable.
    ///
    /// # Errors
    ///
    /// When the name is empty or has `=`, or either has a NUL byte: no system takes those.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Result<Self, ParseEnvError> {
        let (name, value) = (name.into(), value.into());
        if name.is_empty() || name.contains('=') {
            return Err(ParseEnvError::Name);
        }
        if name.contains('\0') || value.contains('\0') {
            return Err(ParseEnvError::Nul);
        }
        Ok(Self { name, value })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl FromStr for EnvVar {
    type Err = ParseEnvError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or(ParseEnvError::Form)?;
        Self::new(name, value)
    }
}

/// Why a text is no environment variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseEnvError {
    /// It is not of the form `NAME=value`.
    #[error("an environment variable has the form NAME=value")]
    Form,
    /// The name is empty or has `=`.
    #[error("the name of an environment variable is neither empty nor has =")]
    Name,
    /// A NUL byte ends strings in every system's calls.
    #[error("an environment variable has no NUL byte")]
    Nul,
}

impl FromIterator<EnvVar> for Env {
    fn from_iter<I: IntoIterator<Item = EnvVar>>(vars: I) -> Self {
        Self(vars.into_iter().collect())
    }
}

impl Extend<EnvVar> for Env {
    fn extend<I: IntoIterator<Item = EnvVar>>(&mut self, vars: I) {
        self.0.extend(vars);
    }
}

impl<'a> IntoIterator for &'a Env {
    type Item = &'a EnvVar;
    type IntoIter = std::slice::Iter<'a, EnvVar>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Field for Env {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        let mut env = Self::default();
        let mut add =
            |reader: &mut Reader, item: &Node<'_>, var: Result<EnvVar, ParseEnvError>| match var {
                Ok(var) => env.push(var),
                Err(error) => reader.error(
                    item.span(),
                    error.to_string(),
                    "write env = { NAME = \"value\" } or [\"NAME=value\"]",
                ),
            };
        match node.get_ref() {
            DeValue::Array(items) => {
                for item in items {
                    let Some(text) = reader.str(item) else {
                        continue;
                    };
                    add(reader, item, text.parse());
                }
            }
            DeValue::Table(entries) => {
                for (key, item) in entries {
                    let Some(text) = reader.str(item) else {
                        continue;
                    };
                    add(reader, item, EnvVar::new(key.get_ref().as_ref(), text));
                }
            }
            _ => {
                reader.wrong_type(node, "a table of environment variables");
                return None;
            }
        }
        Some(env)
    }

    fn write(&self) -> Option<Value> {
        let vars = self.0.iter().map(|var| Value::Str(var.to_string()));
        Some(Value::List(vars.collect()))
    }

    fn schema() -> Value {
        schema::any_of([
            Value::object([
                ("type", "object".into()),
                ("additionalProperties", schema::string("")),
            ]),
            Value::object([
                ("type", "array".into()),
                ("items", schema::pattern("NAME=value", "^[^=]+=")),
            ]),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_name_counts() {
        let env: Env = ["A=1", "B=2", "A=3=4"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        assert_eq!(env.get("A"), Some("3=4"));
        let left: Vec<String> = env.deduplicated().iter().map(ToString::to_string).collect();
        assert_eq!(left, ["B=2", "A=3=4"]);
    }

    #[test]
    fn what_no_system_takes_is_refused() {
        assert_eq!("A".parse::<EnvVar>(), Err(ParseEnvError::Form));
        assert_eq!("=1".parse::<EnvVar>(), Err(ParseEnvError::Name));
        assert_eq!("A=\0".parse::<EnvVar>(), Err(ParseEnvError::Nul));
    }
}
