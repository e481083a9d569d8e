use super::{Change, Config};
use crate::model::{Builder, Mode, TestPolicy};

/// The longest message in which a request is looked for, in bytes.
const LONGEST_MESSAGE: usize = 1024;

/// What one word of a request for a try stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Term<'a> {
    /// A builder, by its name or an alias.
    Builder(&'a Builder),
    /// A word that is known and stands for no builder.
    NoBuilder(&'a str),
    /// A repository that is tried with the change, and on which builder, if that was said: `x/net` or `x/net@linux-amd64`.
    Repository {
        /// The repository's name.
        repo: &'a str,
        /// The builder's word, as it was written.
        builder: Option<&'a str>,
    },
    /// A word that stands for nothing: to be told to who wrote it.
    Unknown(&'a str),
}

impl Config {
    /// The builder that a word of a request stands for: a builder's name or an alias of one.
    #[must_use]
    pub fn builder_for_term(&self, term: &str) -> Option<&Builder> {
        self.builder(term).or_else(|| {
            let name = self.aliases().get(term)?;
            self.builder(name)
        })
    }

    /// What a comment asks for: the words after `TRY=` where a line begins with it.
    ///
    /// A word is of letters, digits, `-`, `_`, `/` and `@`, as upstream's. A message of more than 1024 bytes asks for nothing.
    #[must_use]
    pub fn try_terms<'a>(&'a self, message: &'a str) -> Vec<Term<'a>> {
        if message.len() > LONGEST_MESSAGE {
            return Vec::new();
        }
        message
            .lines()
            .filter_map(|line| line.strip_prefix("TRY="))
            .flat_map(|words| words.split(|c: char| !(c.is_alphanumeric() || "-_/@".contains(c))))
            .filter(|word| !word.is_empty())
            .map(|word| self.term(word))
            .collect()
    }

    /// The builders that try a change by themselves, by name.
    #[must_use]
    pub fn try_set(&self, change: &Change<'_>) -> Vec<&Builder> {
        self.builders()
            .filter(|builder| self.decide(builder, change, Mode::Try).allowed())
            .collect()
    }

    /// Whether a test of this name runs in a build of this kind.
    #[must_use]
    pub fn runs_test(&self, builder: &Builder, test: &str, mode: Mode) -> bool {
        let mut next = builder.test_policy.as_ref();
        // Validation sees to it that no policy is behind itself.
        while let Some(policy) = next.and_then(|name| self.file.test_policies.get(name)) {
            if let Some(run) = policy.decide(test, mode) {
                return run;
            }
            next = policy.base.as_ref();
        }
        true
    }

    fn term<'a>(&'a self, word: &'a str) -> Term<'a> {
        if let Some(rest) = word.strip_prefix("x/") {
            let (repo, builder) = match rest.split_once('@') {
                Some((repo, builder)) => (repo, Some(builder)),
                None => (rest, None),
            };
            return match self.repository(repo) {
                Some(_) => Term::Repository { repo, builder },
                None => Term::Unknown(word),
            };
        }
        match (self.builder_for_term(word), self.aliases().get(word)) {
            (Some(builder), _) => Term::Builder(builder),
            (None, Some(_)) => Term::NoBuilder(word),
            (None, None) => Term::Unknown(word),
        }
    }
}

impl TestPolicy {
    /// What its own rules say; `None` when none matches.
    fn decide(&self, test: &str, mode: Mode) -> Option<bool> {
        let rule = self.rules.iter().find(|rule| {
            rule.when.holds(mode) && rule.test.iter().any(|glob| glob.matches(test))
        })?;
        Some(rule.run)
    }
}
