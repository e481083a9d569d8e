use std::fmt;

use serde_json::{Map, Value};

use super::ext::{Extension, KeptCommand};

/// The reply of `/status`.
///
/// ```
/// use buildlet_proto::types::Status;
/// let status = Status::from_json(br#"{"version":29,"Impl":"buildlet-proto/0.1.0","Extensions":["tar"]}"#)?;
/// assert_eq!(status.version(), 29);
/// assert_eq!(Status::new(29).to_json(), r#"{"Version":29}"#);
/// # Ok::<(), buildlet_proto::types::ParseStatusError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    version: i64,
    implementation: Option<String>,
    extensions: Vec<Extension>,
    kept: Vec<KeptCommand>,
}

impl Status {
    /// The version whose behaviour this crate has. Coordinators of 2024 and later want at least 23.
    pub const VERSION: i64 = 29;

    /// What an upstream buildlet of this version answers.
    #[must_use]
    pub fn new(version: i64) -> Self {
        Self {
            version,
            implementation: None,
            extensions: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// What a buildlet of this crate answers: [`VERSION`](Self::VERSION), its own name, and the extensions that it offers.
    #[must_use]
    pub fn ours(extensions: impl IntoIterator<Item = Extension>) -> Self {
        Self {
            version: Self::VERSION,
            implementation: Some(concat!("buildlet-proto/", env!("CARGO_PKG_VERSION")).to_owned()),
            extensions: extensions.into_iter().collect(),
            kept: Vec::new(),
        }
    }

    /// With commands that the buildlet keeps; see [`Extension::Resume`].
    #[must_use]
    pub fn with_kept(mut self, kept: impl IntoIterator<Item = KeptCommand>) -> Self {
        self.kept = kept.into_iter().collect();
        self
    }

    /// Reads the JSON object as Go does: letter case of keys does not matter, unknown keys do not, a missing version is 0.
    ///
    /// # Errors
    ///
    /// When it is no JSON object, or a value has the wrong type.
    pub fn from_json(json: &[u8]) -> Result<Self, ParseStatusError> {
        let object: Map<String, Value> = serde_json::from_slice(json)
            .map_err(|source| ParseStatusError(Problem::Json(source.to_string())))?;
        let mut status = Self::new(0);
        for (key, value) in object {
            if key.eq_ignore_ascii_case("version") {
                status.version = value.as_i64().ok_or(ParseStatusError(Problem::Version))?;
            } else if key == IMPLEMENTATION {
                status.implementation = value.as_str().map(str::to_owned);
            } else if key == EXTENSIONS {
                let names = value.as_array().into_iter().flatten();
                status.extensions = names
                    .filter_map(Value::as_str)
                    .filter_map(Extension::from_name)
                    .collect();
            } else if key == KEPT {
                let kept = value.as_array().into_iter().flatten();
                status.kept = kept.filter_map(kept_of).collect();
            }
        }
        Ok(status)
    }

    /// The JSON object, without a line feed.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut object = Map::new();
        object.insert("Version".into(), self.version.into());
        if let Some(name) = &self.implementation {
            object.insert(IMPLEMENTATION.into(), name.as_str().into());
            let extensions = self.extensions.iter().map(|extension| extension.as_str());
            object.insert(EXTENSIONS.into(), extensions.collect());
            if !self.kept.is_empty() {
                object.insert(KEPT.into(), self.kept.iter().map(json_of).collect());
            }
        }
        Value::Object(object).to_string()
    }

    /// The buildlet's version.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Name and version of a buildlet that is not upstream's.
    #[must_use]
    pub fn implementation(&self) -> Option<&str> {
        self.implementation.as_deref()
    }

    /// The commands that it keeps; see [`Extension::Resume`].
    #[must_use]
    pub fn kept(&self) -> &[KeptCommand] {
        &self.kept
    }

    /// Whether the buildlet offers this extension.
    #[must_use]
    pub fn supports(&self, extension: Extension) -> bool {
        self.extensions.contains(&extension)
    }
}

fn kept_of(value: &Value) -> Option<KeptCommand> {
    let name = value.get(NAME)?.as_str()?.parse().ok()?;
    let part = value.get(PART)?.as_u64()?.try_into().ok()?;
    Some(KeptCommand::new(name, part, value.get(RUNNING)?.as_bool()?))
}

fn json_of(kept: &KeptCommand) -> Value {
    let mut object = Map::new();
    object.insert(NAME.into(), kept.name.to_string().into());
    object.insert(PART.into(), kept.part.into());
    object.insert(RUNNING.into(), kept.running.into());
    Value::Object(object)
}

const IMPLEMENTATION: &str = "Impl";
const EXTENSIONS: &str = "Extensions";
const KEPT: &str = "Kept";
const NAME: &str = "Name";
const PART: &str = "Part";
const RUNNING: &str = "Running";

/// A body is no status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseStatusError(Problem);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Json(String),
    Version,
}

impl fmt::Display for ParseStatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Problem::Json(text) => write!(f, "status is no JSON object: {text}"),
            Problem::Version => f.write_str("version in status is no number"),
        }
    }
}

impl std::error::Error for ParseStatusError {}
