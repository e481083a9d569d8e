use std::fmt;

use super::Config;
use crate::model::{Builder, Mode, Otherwise, Policy, Rule};
use crate::text::{Glob, Version};

/// How many policies may stand behind each other; validation sees to it that none is behind itself.
const DEEPEST: usize = 64;

/// A commit to decide about: where it is, not which it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    repo: &'a str,
    branch: &'a str,
    base_branch: Option<&'a str>,
}

impl<'a> Change<'a> {
    /// A commit on this branch of this repository.
    #[must_use]
    pub fn new(repo: &'a str, branch: &'a str) -> Self {
        Self {
            repo,
            branch,
            base_branch: None,
        }
    }

    /// The branch of the repository that is built against; its main branch by default. For a repository that stands alone it is its own branch, whatever is
    /// said here.
    #[must_use]
    pub fn base_branch(mut self, branch: &'a str) -> Self {
        self.base_branch = Some(branch);
        self
    }
}

/// Whether something is built, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    allowed: bool,
    reason: Reason,
}

impl Decision {
    /// Whether it is built.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.allowed
    }

    /// What decided it.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

/// `builds it: …` or `does not build it: …`.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.allowed {
            "builds it"
        } else {
            "does not build it"
        };
        write!(f, "{verdict}: {}", self.reason)
    }
}

/// What decided whether something is built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The builder is off.
    Disabled,
    /// The builder runs only before a change is merged.
    TryOnly,
    /// The builder does not run before a change is merged.
    NoTry,
    /// The configuration has no such repository.
    UnknownRepository,
    /// The repository is never built.
    CannotBuild,
    /// A release branch is for another major version than the only one that is built.
    OtherMajor(Version),
    /// A release branch is for a version older than any builder builds.
    TooOld(Version),
    /// A release branch is for a version older than this builder builds.
    OlderThanMinimum(Version),
    /// The builder names other repositories.
    OtherRepositories,
    /// The builder names other branches.
    OtherBranches,
    /// A build in one step cannot be followed by one against it.
    OneStep,
    /// A rule of a policy matched.
    Rule {
        /// The policy.
        policy: String,
        /// Which of its rules, from 1.
        rule: usize,
    },
    /// No rule of a policy matched.
    NoRule {
        /// The policy.
        policy: String,
    },
    /// The builder names this repository and branch, and no policy.
    Named,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("the builder is disabled"),
            Self::TryOnly => f.write_str("the builder runs only before a change is merged"),
            Self::NoTry => f.write_str("the builder does not run before a change is merged"),
            Self::UnknownRepository => f.write_str("there is no such repository"),
            Self::CannotBuild => f.write_str("the repository says that it cannot be built"),
            Self::OtherMajor(version) => write!(
                f,
                "{version} is another major version than the one that is built"
            ),
            Self::TooOld(version) => write!(f, "{version} is older than any version that is built"),
            Self::OlderThanMinimum(version) => {
                write!(f, "{version} is older than the builder's minimum_version")
            }
            Self::OtherRepositories => f.write_str("the builder's repos do not match"),
            Self::OtherBranches => f.write_str("the builder's branches do not match"),
            Self::OneStep => {
                f.write_str("the builder tests all in one step, so nothing is built against it")
            }
            Self::Rule { policy, rule } => write!(f, "rule {rule} of policy {policy}"),
            Self::NoRule { policy } => write!(f, "no rule of policy {policy} matches"),
            Self::Named => f.write_str("its repos and branches match"),
        }
    }
}

impl Config {
    /// Whether a builder builds a commit in such a mode, and why.
    #[must_use]
    pub fn decide(&self, builder: &Builder, change: &Change<'_>, mode: Mode) -> Decision {
        let facts = match self.facts(builder, change) {
            Ok(facts) => facts,
            Err(reason) => return no(reason),
        };
        if builder.disabled {
            return no(Reason::Disabled);
        }
        match (mode, &builder.try_rule) {
            (Mode::PostSubmit, _) if builder.try_only => return no(Reason::TryOnly),
            (Mode::Try, None) => return no(Reason::NoTry),
            (Mode::Try, Some(rule)) => {
                if let Some(policy) = &rule.policy {
                    let decision = self.ask(policy, &facts, 0);
                    if !decision.allowed {
                        return decision;
                    }
                }
            }
            (Mode::PostSubmit | Mode::SlowBot, _) => {}
        }
        self.builds_at_all(builder, &facts)
    }

    /// Whether it builds such a commit in any mode: the part that is the same in all.
    fn builds_at_all(&self, builder: &Builder, facts: &Facts<'_>) -> Decision {
        let environment = self.environment();
        for version in facts.releases.into_iter().flatten() {
            if environment.only_major > 0 && u32::from(version.major) != environment.only_major {
                return no(Reason::OtherMajor(version));
            }
            if version < environment.oldest_version {
                return no(Reason::TooOld(version));
            }
            if version < builder.minimum_version {
                return no(Reason::OlderThanMinimum(version));
            }
        }
        if let Some(guard) = &environment.guard {
            let decision = self.ask(guard, facts, 0);
            if !decision.allowed {
                return decision;
            }
        }
        if facts.has_base && builder.go.is_some() && !builder.splits_make_and_run() {
            return no(Reason::OneStep);
        }
        if !any(&builder.repos, facts.repo) {
            return no(Reason::OtherRepositories);
        }
        if !any(&builder.branches, facts.branch) {
            return no(Reason::OtherBranches);
        }
        match &builder.builds {
            Some(policy) => self.ask(policy, facts, 0),
            None => Decision {
                allowed: true,
                reason: Reason::Named,
            },
        }
    }

    /// What a policy says.
    fn ask(&self, policy: &str, facts: &Facts<'_>, depth: usize) -> Decision {
        let Some(rules) = self.file.policies.get(policy).filter(|_| depth < DEEPEST) else {
            return no(Reason::NoRule {
                policy: policy.to_owned(),
            });
        };
        if let Some(base) = &rules.base {
            let decision = self.ask(base, facts, depth + 1);
            if !decision.allowed {
                return decision;
            }
        }
        self.ask_own(rules, facts, depth)
    }

    fn ask_own(&self, policy: &Policy, facts: &Facts<'_>, depth: usize) -> Decision {
        for (i, rule) in policy.rules.iter().enumerate() {
            if facts.match_rule(rule) {
                return Decision {
                    allowed: rule.allow,
                    reason: Reason::Rule {
                        policy: policy.name.clone(),
                        rule: i + 1,
                    },
                };
            }
        }
        let allowed = match &policy.otherwise {
            Otherwise::Policy(name) => return self.ask(name, facts, depth + 1),
            Otherwise::Allow => true,
            Otherwise::Deny => false,
        };
        Decision {
            allowed,
            reason: Reason::NoRule {
                policy: policy.name.clone(),
            },
        }
    }

    fn facts<'a>(&'a self, builder: &'a Builder, change: &Change<'a>) -> Result<Facts<'a>, Reason> {
        let repo = self
            .repository(change.repo)
            .ok_or(Reason::UnknownRepository)?;
        if !repo.can_build {
            return Err(Reason::CannotBuild);
        }
        let base = repo.base.as_deref().and_then(|base| self.repository(base));
        let base_branch = match (base, change.base_branch) {
            (None, _) => change.branch,
            (Some(_), Some(branch)) => branch,
            (Some(base), None) => self.main_branch(base),
        };
        let own = Branch::new(self, repo, change.branch);
        let of_base = Branch::new(self, base.unwrap_or(repo), base_branch);
        Ok(Facts {
            repo: change.repo,
            branch: change.branch,
            base_branch,
            builder: &builder.name,
            has_base: base.is_some(),
            releases: [own.release, of_base.release],
            own,
            of_base,
        })
    }

    /// The branch that others start from: the repository's, or the environment's first main branch that is no pattern.
    #[must_use]
    pub fn main_branch<'a>(&'a self, repo: &'a crate::Repository) -> &'a str {
        let by_environment = || {
            let mut patterns = self.environment().main_branches.iter();
            patterns.find_map(Glob::literal)
        };
        repo.main_branch
            .as_deref()
            .or_else(by_environment)
            .unwrap_or("main")
    }
}

/// What rules look at.
struct Facts<'a> {
    repo: &'a str,
    branch: &'a str,
    base_branch: &'a str,
    builder: &'a str,
    has_base: bool,
    own: Branch,
    of_base: Branch,
    releases: [Option<Version>; 2],
}

struct Branch {
    release: Option<Version>,
    main: bool,
    /// Main, or a development branch.
    newest: bool,
}

impl Branch {
    fn new(config: &Config, repo: &crate::Repository, branch: &str) -> Self {
        let environment = config.environment();
        let pattern = repo
            .release_branch
            .as_ref()
            .or(environment.release_branch.as_ref());
        let main = match &repo.main_branch {
            Some(main) => main == branch,
            None => any(&environment.main_branches, branch),
        };
        Self {
            release: pattern.and_then(|pattern| pattern.version(branch)),
            main,
            newest: main || any(&environment.development_branches, branch),
        }
    }

    fn at_least(&self, version: Version) -> bool {
        self.newest || self.release.is_some_and(|release| release >= version)
    }

    fn at_most(&self, version: Version) -> bool {
        self.release.is_some_and(|release| release <= version)
    }
}

impl Facts<'_> {
    fn match_rule(&self, rule: &Rule) -> bool {
        let named = |patterns: &Option<Vec<Glob>>, name: &str| {
            patterns.as_ref().is_none_or(|patterns| any(patterns, name))
        };
        named(&rule.repo, self.repo)
            && named(&rule.branch, self.branch)
            && named(&rule.base_branch, self.base_branch)
            && named(&rule.builder, self.builder)
            && rule
                .version_min
                .is_none_or(|version| self.own.at_least(version))
            && rule
                .version_max
                .is_none_or(|version| self.own.at_most(version))
            && rule
                .base_version_min
                .is_none_or(|version| self.of_base.at_least(version))
            && rule
                .base_version_max
                .is_none_or(|version| self.of_base.at_most(version))
            && rule
                .release
                .is_none_or(|is| is == self.releases.iter().any(Option::is_some))
            && rule
                .tip_only
                .is_none_or(|is| is == (self.own.main && self.of_base.main))
    }
}

fn any(patterns: &[Glob], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}

fn no(reason: Reason) -> Decision {
    Decision {
        allowed: false,
        reason,
    }
}
