use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// The name of a repository, `owner/repo`, of characters that GitHub allows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepoName {
    full: String,
    /// Where the slash is.
    slash: usize,
}

impl RepoName {
    /// Who has it.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.full[..self.slash]
    }

    /// Its own name.
    #[must_use]
    pub fn repo(&self) -> &str {
        &self.full[self.slash + 1..]
    }

    /// Whether GitHub takes both for the same.
    pub(super) fn is(&self, owner: &str, repo: &str) -> bool {
        self.owner().eq_ignore_ascii_case(owner) && self.repo().eq_ignore_ascii_case(repo)
    }
}

impl FromStr for RepoName {
    type Err = ParseRepoNameError;

    fn from_str(text: &str) -> Result<Self, ParseRepoNameError> {
        let is_part = |part: &str| {
            (1..=100).contains(&part.len())
                && !matches!(part, "." | "..")
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        match text.split_once('/') {
            Some((owner, repo)) if is_part(owner) && is_part(repo) => Ok(Self {
                slash: owner.len(),
                full: text.to_owned(),
            }),
            _ => Err(ParseRepoNameError {
                text: text.to_owned(),
            }),
        }
    }
}

impl Display for RepoName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

/// A text that is no name of a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no repository: write it as owner/name")]
pub struct ParseRepoNameError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_can_stand_in_an_address() {
        let name: RepoName = "golang/vscode-go".parse().unwrap();
        assert_eq!((name.owner(), name.repo()), ("golang", "vscode-go"));
        assert!(name.is("Golang", "VSCode-Go"));
        for text in [
            "", "go", "/go", "go/", "a/b/c", "a/..", "a/b?x", "a/b c", "ä/b", "a/%2e",
        ] {
            assert!(text.parse::<RepoName>().is_err(), "{text}");
        }
    }
}
