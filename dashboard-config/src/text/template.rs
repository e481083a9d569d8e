use std::fmt;
use std::str::FromStr;

use crate::record::parsed;

/// A text with places for what is known only when a build runs: `--out={workdir}/out-{rev}`.
///
/// A place is a [`Variable`] in braces. `{{rev}}` is the text `{rev}`; braces around anything but a word (`{}`, `{ print $1 }`, `${HOME}`) are text.
/// Values are put in as they are and not looked at again, so a value can never bring in another place, and an argument stays one argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Variable),
}

/// What a [`Template`] has places for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Variable {
    /// `{workdir}`: the folder of the build on its machine, absolute.
    Workdir,
    /// `{repo}`: the repository's name.
    Repo,
    /// `{rev}`: the commit id.
    Rev,
    /// `{branch}`: the branch the commit was found on.
    Branch,
    /// `{base_rev}`: the commit id of the repository that is built against; empty without one.
    BaseRev,
    /// `{builder}`: the builder's name.
    Builder,
}

impl Variable {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Workdir,
        Self::Repo,
        Self::Rev,
        Self::Branch,
        Self::BaseRev,
        Self::Builder,
    ];

    /// The word in the braces.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workdir => "workdir",
            Self::Repo => "repo",
            Self::Rev => "rev",
            Self::Branch => "branch",
            Self::BaseRev => "base_rev",
            Self::Builder => "builder",
        }
    }

    /// The environment variable with the same value that every step gets, scripts above all: they are no templates.
    #[must_use]
    pub const fn env_name(self) -> &'static str {
        match self {
            Self::Workdir => "CI_WORKDIR",
            Self::Repo => "CI_REPO",
            Self::Rev => "CI_REVISION",
            Self::Branch => "CI_BRANCH",
            Self::BaseRev => "CI_BASE_REVISION",
            Self::Builder => "CI_BUILDER",
        }
    }
}

/// What goes into the places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "who fills it in must see when a field is added"
)]
pub struct Values<'a> {
    /// The folder of the build on its machine.
    pub workdir: &'a str,
    /// The repository's name.
    pub repo: &'a str,
    /// The commit id.
    pub rev: &'a str,
    /// The branch.
    pub branch: &'a str,
    /// The commit id of the repository that is built against, or empty.
    pub base_rev: &'a str,
    /// The builder's name.
    pub builder: &'a str,
}

impl<'a> Values<'a> {
    /// The value of one place.
    #[must_use]
    pub fn get(&self, variable: Variable) -> &'a str {
        match variable {
            Variable::Workdir => self.workdir,
            Variable::Repo => self.repo,
            Variable::Rev => self.rev,
            Variable::Branch => self.branch,
            Variable::BaseRev => self.base_rev,
            Variable::Builder => self.builder,
        }
    }
}

impl Template {
    /// The text with its places filled.
    #[must_use]
    pub fn fill(&self, values: &Values<'_>) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text,
                Part::Place(variable) => values.get(*variable),
            })
            .collect()
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Template {
    type Err = ParseTemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('\0') {
            return Err(ParseTemplateError::Nul);
        }
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            plain.push_str(&rest[..at]);
            let inside = &rest[at + 1..];
            if let Some(word) = word_in_braces(inside.strip_prefix('{').unwrap_or_default())
                && inside[word.len() + 2..].starts_with('}')
            {
                // `{{word}}`
                plain.push_str(&format!("{{{word}}}"));
                rest = &inside[word.len() + 3..];
            } else if let Some(word) = word_in_braces(inside)
                && !plain.ends_with('$')
            {
                let variable = Variable::ALL
                    .into_iter()
                    .find(|variable| variable.as_str() == word)
                    .ok_or_else(|| ParseTemplateError::Unknown(word.to_owned()))?;
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Place(variable));
                rest = &inside[word.len() + 1..];
            } else {
                plain.push('{');
                rest = inside;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }
}

/// The word that `text` begins with, when a brace closes it.
fn word_in_braces(text: &str) -> Option<&str> {
    let len = text
        .bytes()
        .take_while(|b| b.is_ascii_lowercase() || *b == b'_')
        .count();
    (len > 0 && text[len..].starts_with('}')).then(|| &text[..len])
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseTemplateError {
    /// A word in braces is no variable.
    #[error(
        "{{{0}}} is unknown; there are {{workdir}}, {{repo}}, {{rev}}, {{branch}}, {{base_rev}} and {{builder}}, and {{{{{0}}}}} for the text itself"
    )]
    Unknown(String),
    /// A NUL byte ends strings in every system's calls.
    #[error("a text for a program has no NUL byte")]
    Nul,
}

parsed!(
    Template,
    "a text that may contain {workdir}, {repo}, {rev}, {branch}, {base_rev} or {builder}"
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALUES: Values<'static> = Values {
        workdir: "/w",
        repo: "net",
        rev: "abc",
        branch: "{rev}; rm",
        base_rev: "",
        builder: "b",
    };

    fn fill(text: &str) -> String {
        text.parse::<Template>().unwrap().fill(&VALUES)
    }

    #[test]
    fn places_are_filled_once() {
        assert_eq!(fill("--out={workdir}/{rev}"), "--out=/w/abc");
        assert_eq!(fill("{branch}"), "{rev}; rm", "a value brings in nothing");
        assert_eq!(fill("{base_rev}"), "");
    }

    #[test]
    fn other_braces_are_text() {
        for text in [
            "{}",
            "{ print $1 }",
            "${HOME}",
            "${rev}",
            "a{",
            "}",
            "{{",
            "{A}",
            "{rev",
            "é{ü}",
        ] {
            assert_eq!(fill(text), text);
        }
        assert_eq!(fill("{{rev}} {{other}}"), "{rev} {other}");
        assert_eq!(fill("{{rev}"), "{abc");
    }

    #[test]
    fn an_unknown_word_is_refused() {
        let error = "{revision}".parse::<Template>().unwrap_err();
        assert_eq!(error, ParseTemplateError::Unknown("revision".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_written_as_it_was(text in "[{}a-z$ rev]{0,20}") {
            if let Ok(template) = text.parse::<Template>() {
                prop_assert_eq!(template.to_string(), text);
                prop_assert!(template.fill(&VALUES).len() <= 100);
            }
        }
    }
}
