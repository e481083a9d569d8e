use std::fmt;
use std::str::FromStr;

use crate::escape::segment;

/// An id is empty, or has characters that no such id has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {kind}")]
pub struct IdError {
    kind: &'static str,
    text: String,
}

fn refuse(kind: &'static str, text: &str) -> IdError {
    let text = text.chars().take(200).collect();
    IdError { kind, text }
}

/// Defines a name that is kept as people write it and escaped when it is sent.
macro_rules! name {
    ($(#[$meta:meta])* $name:ident, $kind:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Takes a name as people write it, not escaped.
            ///
            /// # Errors
            ///
            /// When it is empty: Gerrit would take it for something else.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                if text.trim().is_empty() || text.contains('\0') {
                    return Err(refuse($kind, &text));
                }
                Ok(Self(text))
            }

            /// As people write it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub(crate) fn escaped(&self) -> String {
                segment(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = IdError;

            fn try_from(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of a project, such as `tools/build`.
    ProjectName, "name of a project"
}
name! {
    /// The name of a branch, with or without `refs/heads/`.
    BranchName, "name of a branch"
}
name! {
    /// The name of a tag, with or without `refs/tags/`.
    TagName, "name of a tag"
}
name! {
    /// A group's UUID, number or name; the UUID never changes.
    GroupId, "id of a group"
}
name! {
    /// The path of a file, or one of Gerrit's own: `/COMMIT_MSG`, `/MERGE_LIST`, `/PATCHSET_LEVEL`.
    FilePath, "path of a file"
}
name! {
    /// An account: its number, its name, an e-mail address, `Name <email>`, or `self`. The number never changes.
    AccountId, "id of an account"
}

impl AccountId {
    /// Whoever the client is.
    #[must_use]
    pub fn me() -> Self {
        Self("self".to_owned())
    }
}

impl From<u64> for AccountId {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

/// Which change, as it stands in a path: escaped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(String);

impl ChangeId {
    /// A project and a number: the form that is never ambiguous and needs no index.
    #[must_use]
    pub fn new(project: &ProjectName, number: u64) -> Self {
        Self(format!("{}~{number}", project.escaped()))
    }

    /// A project, a branch (without `refs/heads/`) and the footer `Change-Id`.
    ///
    /// # Errors
    ///
    /// When `change_id` is not an `I` and 40 hexadecimal digits.
    pub fn triplet(
        project: &ProjectName,
        branch: &BranchName,
        change_id: &str,
    ) -> Result<Self, IdError> {
        let digits = change_id.strip_prefix('I').unwrap_or_default();
        if digits.len() != 40 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse("Change-Id", change_id));
        }
        let (project, branch) = (project.escaped(), branch.escaped());
        Ok(Self(format!("{project}~{branch}~{change_id}")))
    }

    /// Takes an id of any form, escaped already, such as the field `id` of an answer.
    ///
    /// # Errors
    ///
    /// When it is empty, or holds characters that must be escaped.
    pub fn from_escaped(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+=:@%".contains(&byte);
        let is_step = matches!(text.as_str(), "." | "..");
        if text.is_empty() || is_step || !text.bytes().all(is_plain) {
            return Err(refuse("id of a change", &text));
        }
        Ok(Self(text))
    }

    /// As it stands in a path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A number alone: short, but it has to be looked up in an index.
impl From<u64> for ChangeId {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

impl FromStr for ChangeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::from_escaped(text)
    }
}

impl TryFrom<&str> for ChangeId {
    type Error = IdError;

    fn try_from(text: &str) -> Result<Self, IdError> {
        Self::from_escaped(text)
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which revision (patch set) of a change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevisionId(String);

impl RevisionId {
    /// The newest one.
    #[must_use]
    pub fn current() -> Self {
        Self("current".to_owned())
    }

    /// The edit of a change that is not published yet.
    #[must_use]
    pub fn edit() -> Self {
        Self("edit".to_owned())
    }

    /// A commit's hash, or a beginning of it that is unique and has at least four digits.
    ///
    /// # Errors
    ///
    /// When it is too short or long, or not hexadecimal.
    pub fn commit(hash: &str) -> Result<Self, IdError> {
        let is_hex = hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || !(4..=64).contains(&hash.len()) {
            return Err(refuse("hash of a commit", hash));
        }
        Ok(Self(hash.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The number of a patch set, from 1.
impl From<u32> for RevisionId {
    fn from(number: u32) -> Self {
        Self(number.to_string())
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_changes_are_escaped_once() {
        let project = ProjectName::new("a/b c").unwrap();
        assert_eq!(ChangeId::new(&project, 7).as_str(), "a%2Fb%20c~7");
        let footer = format!("I{}", "0f".repeat(20));
        let branch = BranchName::new("x/y").unwrap();
        let id = ChangeId::triplet(&project, &branch, &footer).unwrap();
        assert_eq!(id.as_str(), format!("a%2Fb%20c~x%2Fy~{footer}"));
        assert_eq!(ChangeId::from_escaped(id.as_str()), Ok(id));
    }

    #[test]
    fn empty_ids_and_ids_that_would_leave_their_place_are_refused() {
        assert!(AccountId::new("").is_err());
        assert!(AccountId::new(" ").is_err());
        for text in ["", ".", "..", "a/b", "1?x", "1#", "1 2", "é"] {
            assert!(ChangeId::from_escaped(text).is_err(), "{text}");
        }
        assert!(RevisionId::commit("abc").is_err());
        assert!(RevisionId::commit("current").is_err());
    }
}
