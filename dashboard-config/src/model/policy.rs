use toml::de::DeValue;

use crate::record::{Field, Node, Reader, Value, record, words};
use crate::schema;
use crate::text::{Glob, Version};

record! {
    /// Says for which repository and branch something is built: the first rule that matches decides.
    pub struct Policy named name {
        /// A policy that must allow it too; the name of a policy table.
        pub base: Option<String> = None,
        /// Rules, the first that matches decides.
        pub rules as "rule": Vec<Rule> = Vec::new(),
        /// What holds when no rule matches: true, false, or the name of a policy that then decides.
        pub otherwise as "default": Otherwise = Otherwise::Deny,
    }
}

record! {
    /// A rule matches when everything that it says holds; an empty list never does.
    pub struct Rule {
        /// The repository is one of these; patterns.
        pub repo: Option<Vec<Glob>> = None,
        /// The branch is one of these; patterns.
        pub branch: Option<Vec<Glob>> = None,
        /// The branch of the repository that is built against is one of these; for a repository that stands alone its own branch.
        pub base_branch: Option<Vec<Glob>> = None,
        /// The builder is one of these; patterns.
        pub builder: Option<Vec<Glob>> = None,
        /// The branch is for this version or a newer one; main and development branches are the newest, others are of no version.
        pub version_min: Option<Version> = None,
        /// The branch is a release branch for this version or an older one.
        pub version_max: Option<Version> = None,
        /// As `version_min`, of the branch of the repository that is built against.
        pub base_version_min: Option<Version> = None,
        /// As `version_max`, of the branch of the repository that is built against.
        pub base_version_max: Option<Version> = None,
        /// Whether the branch, or that of the repository that is built against, is a release branch.
        pub release: Option<bool> = None,
        /// Whether both branches are main branches.
        pub tip_only: Option<bool> = None,
        /// Whether it is built.
        pub allow: bool,
    }
}

/// What a policy says when no rule of it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// It is not built.
    Deny,
    /// It is built.
    Allow,
    /// Another policy decides.
    Policy(String),
}

impl Field for Otherwise {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        match node.get_ref() {
            DeValue::Boolean(false) => Some(Self::Deny),
            DeValue::Boolean(true) => Some(Self::Allow),
            DeValue::String(name) => Some(Self::Policy(name.to_string())),
            _ => {
                reader.wrong_type(node, "true, false or the name of a policy");
                None
            }
        }
    }

    fn write(&self) -> Option<Value> {
        Some(match self {
            Self::Deny => false.into(),
            Self::Allow => true.into(),
            Self::Policy(name) => Value::Str(name.clone()),
        })
    }

    fn schema() -> Value {
        schema::any_of([bool::schema(), String::schema()])
    }
}

record! {
    /// Says which tests run: the first rule that matches decides, and without one the test runs.
    pub struct TestPolicy named name {
        /// Rules, the first that matches decides.
        pub rules as "rule": Vec<TestRule> = Vec::new(),
        /// A test policy that decides when no rule matches; the name of a test policy table.
        pub base: Option<String> = None,
    }
}

record! {
    /// Matches tests by name.
    pub struct TestRule {
        /// In which builds it holds.
        pub when: TestWhen = TestWhen::Always,
        /// Names of tests; patterns.
        pub test: Vec<Glob>,
        /// Whether they run.
        pub run: bool,
    }
}

words! {
    /// In which builds a rule about tests holds.
    pub enum TestWhen {
        /// In all.
        Always = "always",
        /// Before a change is merged, unless somebody asked for the builder by name.
        NormalTry = "normal-try",
        /// Before a change is merged.
        Try = "try",
        /// After.
        PostSubmit = "post-submit",
    }
}

/// Why a build is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// A commit was merged.
    PostSubmit,
    /// A change waits to be merged, and this builder belongs to the usual ones.
    Try,
    /// A change waits to be merged, and somebody asked for this builder by name.
    SlowBot,
}

impl TestWhen {
    /// Whether it holds in such a build.
    #[must_use]
    pub fn holds(self, mode: Mode) -> bool {
        match self {
            Self::Always => true,
            Self::NormalTry => mode == Mode::Try,
            Self::Try => mode != Mode::PostSubmit,
            Self::PostSubmit => mode == Mode::PostSubmit,
        }
    }
}

impl Rule {
    /// Whether it says nothing that could fail.
    pub(crate) fn is_unconditional(&self) -> bool {
        *self
            == Self {
                repo: None,
                branch: None,
                base_branch: None,
                builder: None,
                version_min: None,
                version_max: None,
                base_version_min: None,
                base_version_max: None,
                release: None,
                tip_only: None,
                allow: self.allow,
            }
    }
}
