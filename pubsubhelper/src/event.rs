use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time::Time;

/// One event, as `/waitevent` and `/recent` send it and as clients read it.
///
/// It is a hint that something happened: who gets it looks at GitHub or Gerrit for what that was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// When it came. Later events have later times, so it is also the place in the stream: pass it as `after`.
    #[serde(
        rename = "Time",
        alias = "time",
        default,
        deserialize_with = "time_or_none"
    )]
    pub time: Option<Time>,
    /// Nothing happened as long as the server waits; ask again with [`time`](Self::time).
    #[serde(
        rename = "LongPollTimeout",
        alias = "longpolltimeout",
        default,
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub long_poll_timeout: bool,
    /// What happened, if it was in Gerrit.
    #[serde(
        rename = "Gerrit",
        alias = "gerrit",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub gerrit: Option<GerritEvent>,
    /// What happened, if it was on GitHub.
    #[serde(
        rename = "GitHub",
        alias = "github",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub github: Option<GithubEvent>,
}

/// Something happened to a change in Gerrit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct GerritEvent {
    /// The change's page: `https://go-review.googlesource.com/c/net/+/39551`.
    #[serde(rename = "URL", alias = "url")]
    pub url: String,
    /// The project's name in git: `net`.
    #[serde(rename = "Project", alias = "project")]
    pub project: String,
    /// The commit of the patch set, in hex; empty if it is not known.
    #[serde(rename = "CommitHash", alias = "commithash")]
    pub commit_hash: String,
    /// The change's number, 0 if it is not known.
    #[serde(
        rename = "ChangeNumber",
        alias = "changenumber",
        skip_serializing_if = "is_zero"
    )]
    pub change_number: i64,
}

/// Something happened to an issue or a pull request on GitHub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct GithubEvent {
    /// What happened, in GitHub's words: `opened`.
    #[serde(rename = "Action", alias = "action")]
    pub action: String,
    /// `golang` of `golang/go`.
    #[serde(rename = "RepoOwner", alias = "repoowner")]
    pub repo_owner: String,
    /// `go` of `golang/go`.
    #[serde(rename = "Repo", alias = "repo")]
    pub repo: String,
    /// 0 if it is no issue's.
    #[serde(
        rename = "IssueNumber",
        alias = "issuenumber",
        skip_serializing_if = "is_zero"
    )]
    pub issue_number: i64,
    /// 0 if it is no pull request's.
    #[serde(
        rename = "PullRequestNumber",
        alias = "pullrequestnumber",
        skip_serializing_if = "is_zero"
    )]
    pub pull_request_number: i64,
}

/// What happened, before the hub gives it a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// A Gerrit server sent a mail.
    Gerrit(GerritEvent),
    /// GitHub called the webhook.
    Github(GithubEvent),
}

/// Why bytes are no event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeEventError {
    /// They are no JSON, or a field is of another type.
    #[error("not an event in JSON")]
    Json(#[from] serde_json::Error),
}

impl Event {
    /// An event at a time.
    #[must_use]
    pub fn new(time: Time, signal: Signal) -> Self {
        let mut event = Self {
            time: Some(time),
            ..Self::default()
        };
        match signal {
            Signal::Gerrit(gerrit) => event.gerrit = Some(gerrit),
            Signal::Github(github) => event.github = Some(github),
        }
        event
    }

    /// The answer when nothing happened.
    #[must_use]
    pub fn timeout(time: Time) -> Self {
        Self {
            time: Some(time),
            long_poll_timeout: true,
            ..Self::default()
        }
    }

    /// What it is about, as maintner's sources are called: `github:golang/go`, `gerrit:go.googlesource.com/net`. `None` if nothing
    /// happened, and if the change's page is no address.
    #[must_use]
    pub fn topic(&self) -> Option<String> {
        if let Some(github) = &self.github {
            return Some(format!("github:{}/{}", github.repo_owner, github.repo));
        }
        let gerrit = self.gerrit.as_ref()?;
        let (_, rest) = gerrit.url.split_once("://")?;
        let host = rest.split('/').next()?;
        let host = match host.strip_suffix("-review.googlesource.com") {
            Some(name) => format!("{name}.googlesource.com"),
            None => host.to_owned(),
        };
        Some(format!("gerrit:{host}/{}", gerrit.project))
    }

    /// Reads an event as Go's `encoding/json` does: names of fields in any case, unknown ones ignored, `""` or `null` for no time.
    ///
    /// # Errors
    ///
    /// When it is no JSON, or a field is of another type.
    pub fn from_json(json: &[u8]) -> Result<Self, DecodeEventError> {
        let value: Value = serde_json::from_slice(json)?;
        Ok(serde_json::from_value(lower_names(value))?)
    }

    /// The event as Go's server writes it: indented by tabs, without a final line feed.
    ///
    /// `<`, `>` and `&` in texts are escaped, so that no browser takes a piece of it for a page.
    #[must_use]
    pub fn to_json(&self) -> String {
        escape(&self.indented())
    }

    fn indented(&self) -> String {
        let mut json = Vec::with_capacity(256);
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut json, formatter);
        self.serialize(&mut serializer)
            .expect("texts and numbers are always JSON");
        String::from_utf8(json).expect("JSON is UTF-8")
    }

    /// The event as one line, for the journal.
    pub(crate) fn to_line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("texts and numbers are always JSON");
        line.push('\n');
        line
    }
}

/// Outside of texts JSON has none of these characters.
fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The names of fields in lower case, which each of them has as its alias; `null`s go, as they say what a missing field says.
fn lower_names(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            (fields.into_iter())
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.to_ascii_lowercase(), lower_names(value)))
                .collect::<Map<_, _>>(),
        ),
        // No field is a list, but serde would take one for an object's fields in their order.
        Value::Array(_) => Value::Bool(false),
        other => other,
    }
}

fn time_or_none<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Time>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        Some(text) if !text.is_empty() => text.parse().map(Some).map_err(serde::de::Error::custom),
        _ => Ok(None),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_as_go_writes_it() {
        let signal = Signal::Gerrit(GerritEvent {
            url: "https://h/<&>\u{2028}".to_owned(),
            project: "a\"b".to_owned(),
            ..GerritEvent::default()
        });
        let event = Event::new("2026-11-21T01:00:00Z".parse().unwrap(), signal);
        assert_eq!(
            event.to_json(),
            "{\n\t\"Time\": \"2026-11-21T01:00:00Z\",\n\t\"Gerrit\": {\n\t\t\"URL\": \"https://h/\\u003c\\u0026\\u003e\\u2028\",\n\
             \t\t\"Project\": \"a\\\"b\",\n\t\t\"CommitHash\": \"\"\n\t}\n}"
        );
        assert_eq!(Event::from_json(event.to_json().as_bytes()).unwrap(), event);
        assert_eq!(Event::default().to_json(), "{\n\t\"Time\": null\n}");
    }

    #[test]
    fn a_topic_is_a_source_of_maintner() {
        let gerrit = |url: &str| Event {
            gerrit: Some(GerritEvent {
                url: url.to_owned(),
                project: "net".to_owned(),
                ..GerritEvent::default()
            }),
            ..Event::default()
        };
        for (url, topic) in [
            (
                "https://go-review.googlesource.com/c/net/+/1",
                Some("gerrit:go.googlesource.com/net"),
            ),
            (
                "https://review.example.org/c/net/+/1",
                Some("gerrit:review.example.org/net"),
            ),
            ("review", None),
        ] {
            assert_eq!(gerrit(url).topic().as_deref(), topic);
        }
        let github = GithubEvent {
            repo_owner: "golang".to_owned(),
            repo: "go".to_owned(),
            ..GithubEvent::default()
        };
        let github = Some(github);
        let event = Event {
            github,
            ..Event::default()
        };
        assert_eq!(event.topic().as_deref(), Some("github:golang/go"));
        assert_eq!(Event::default().topic(), None);
    }

    #[test]
    fn names_match_in_any_case_and_unknown_fields_are_ignored() {
        let json = br#"{"TIME": "2026-01-01T01:00:00+01:00", "gITHUB": {"repoOWNER": "golang", "New": [1]}, "Later": {"x": 1}}"#;
        let event = Event::from_json(json).unwrap();
        assert_eq!(event.time.unwrap().to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(event.github.unwrap().repo_owner, "golang");
        for none in [&br#"{"Time": null}"#[..], br#"{"Time": ""}"#, b"{}"] {
            assert_eq!(Event::from_json(none).unwrap(), Event::default());
        }
        for bad in [
            &b"[]"[..],
            b"{",
            br#"{"Time": "soon"}"#,
            br#"{"GitHub": {"Repo": 1}}"#,
            br#"{"Gerrit": []}"#,
        ] {
            assert!(Event::from_json(bad).is_err());
        }
    }
}
