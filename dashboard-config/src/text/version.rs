use std::fmt;
use std::str::FromStr;

use crate::record::parsed;

/// The version of a release branch, ordered by major, then minor number; each is at most 999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (major, minor) = text.split_once('.').ok_or(ParseVersionError::Version)?;
        Ok(Self {
            major: number(major).ok_or(ParseVersionError::Version)?,
            minor: number(minor).ok_or(ParseVersionError::Version)?,
        })
    }
}

/// How release branches are named: `release-branch.go{major}.{minor}`, for example.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReleaseBranch {
    /// Before the major number.
    prefix: String,
    /// Between the two.
    between: String,
    /// After the minor number.
    suffix: String,
}

impl ReleaseBranch {
    /// The version that `branch` is for, when it is a release branch.
    ///
    /// As upstream's: the numbers are in canonical decimal form, at most 999, the major one at least 1; the minor number may be left out together with
    /// what stands before it, and is then 0, but `0` itself is not written.
    #[must_use]
    pub fn version(&self, branch: &str) -> Option<Version> {
        let numbers = branch
            .strip_prefix(&*self.prefix)?
            .strip_suffix(&*self.suffix)?;
        let (major, minor) = match numbers.split_once(&*self.between) {
            Some((major, minor)) => (number(major)?, number(minor).filter(|minor| *minor > 0)?),
            None => (number(numbers)?, 0),
        };
        (major > 0).then_some(Version { major, minor })
    }
}

impl fmt::Display for ReleaseBranch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{{major}}{}{{minor}}{}",
            self.prefix, self.between, self.suffix
        )
    }
}

impl FromStr for ReleaseBranch {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let split = || {
            let (prefix, rest) = text.split_once("{major}")?;
            let (between, suffix) = rest.split_once("{minor}")?;
            let plain = |part: &str| !part.contains(['{', '}']);
            (!between.is_empty() && plain(prefix) && plain(between) && plain(suffix)).then(|| {
                Self {
                    prefix: prefix.to_owned(),
                    between: between.to_owned(),
                    suffix: suffix.to_owned(),
                }
            })
        };
        split().ok_or(ParseVersionError::Pattern)
    }
}

/// Why a text is no version, or no pattern of release branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseVersionError {
    /// It is not two numbers up to 999 with a dot between.
    #[error("not a version")]
    Version,
    /// It has not `{major}` and, after something, `{minor}`.
    #[error("not a pattern of release branches")]
    Pattern,
}

parsed!(Version, "a version such as \"1.17\"");
parsed!(
    ReleaseBranch,
    "a pattern such as \"release-{major}.{minor}\""
);

/// A number up to 999 without leading zeros.
fn number(text: &str) -> Option<u16> {
    let canonical = (1..=3).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_branches_are_read_as_upstream_reads_them() {
        let pattern: ReleaseBranch = "release-branch.go{major}.{minor}".parse().unwrap();
        let version = |major, minor| Some(Version { major, minor });
        for (branch, expected) in [
            ("release-branch.go1", version(1, 0)),
            ("release-branch.go1.2", version(1, 2)),
            ("release-branch.go1.999", version(1, 999)),
            ("release-branch.go1.0", None),
            ("release-branch.go1.02", None),
            ("release-branch.go0.1", None),
            ("release-branch.go1.1000", None),
            ("release-branch.go1.17-bundle", None),
            ("release-branch.go1.2.3", None),
            ("release-branch.go1.", None),
            ("release-branch.go", None),
            ("master", None),
        ] {
            assert_eq!(pattern.version(branch), expected, "{branch}");
        }
        assert_eq!(pattern.to_string(), "release-branch.go{major}.{minor}");
    }

    #[test]
    fn other_patterns_have_what_they_need() {
        let pattern: ReleaseBranch = "v{major}_{minor}-lts".parse().unwrap();
        assert_eq!(
            pattern.version("v2_1-lts"),
            Some(Version { major: 2, minor: 1 })
        );
        for bad in [
            "x",
            "{major}{minor}",
            "{minor}.{major}",
            "{a}{major}.{minor}",
        ] {
            assert!(bad.parse::<ReleaseBranch>().is_err(), "{bad}");
        }
    }
}
