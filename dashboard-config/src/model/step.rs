use std::borrow::Cow;
use std::time::Duration;

use toml::de::DeValue;

use crate::record::{Field, Node, Reader, Value, record, words};
use crate::schema;
use crate::text::{ByteSize, Env, Glob, Template, Values};

/// What runs a script: the script is its last argument.
pub const DEFAULT_SHELL: [&str; 3] = ["sh", "-e", "-c"];

/// The longest script, in bytes: Linux takes no argument beyond 128 KiB.
const LONGEST_SCRIPT: usize = 100 * 1024;
/// Characters of a command that serve as a step's name.
const TITLE_CHARS: usize = 60;

record! {
    /// One command of a build, run on its machine after the ones before it.
    pub struct Step {
        /// What people call it; the start of the command, if not given.
        pub name: Option<String> = None,
        /// What runs: a list is a program and its arguments, each of which may contain `{workdir}`, `{repo}`, `{rev}`, `{branch}`, `{base_rev}` or `{builder}`;
        /// a string is a script for the shell, which finds the same values in `CI_WORKDIR`, `CI_REPO`, `CI_REVISION`, `CI_BRANCH`, `CI_BASE_REVISION` and `CI_BUILDER`.
        pub command as "run": Command,
        /// The program that runs a script, and its arguments before the script: sh -e -c, if not given.
        pub shell: Vec<String> = Vec::new(),
        /// The directory to run in, below the source of the repository; may contain the same words in braces.
        pub dir: Option<Template> = None,
        /// Environment variables, besides those of the host and the builder.
        pub env: Env = Env::default(),
        /// How long it may run; only the builder's time limit counts, if not given.
        pub timeout: Option<Duration> = None,
        /// How far it is kept from the rest of the machine; as the builder says, if not given.
        pub isolation: Option<Isolation> = None,
        /// Whether it may use the network, where the machine can take that from it.
        pub network: bool = true,
        /// Whether it runs if a step before it failed.
        pub when: When = When::Success,
        /// Whether the build succeeds even if this fails.
        pub allow_failure: bool = false,
        /// Whether the steps after it run even if this fails; the build has failed nevertheless.
        pub continue_on_failure: bool = false,
        /// Exit codes that mean success.
        pub success_codes: Vec<i32> = vec![0],
    }
}

impl Step {
    /// Its name, or the start of its command: one line without control characters.
    #[must_use]
    pub fn title(&self) -> Cow<'_, str> {
        if let Some(name) = &self.name {
            return Cow::Borrowed(name);
        }
        let command = match &self.command {
            Command::Argv(argv) => argv
                .iter()
                .map(Template::as_str)
                .collect::<Vec<_>>()
                .join(" "),
            Command::Script(script) => script
                .trim_start()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
        };
        let printable = command
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c });
        Cow::Owned(
            printable
                .take(TITLE_CHARS)
                .collect::<String>()
                .trim_end()
                .to_owned(),
        )
    }

    /// The program and its arguments: the list with its places filled, or the shell with the script, which is no template.
    #[must_use]
    pub fn argv(&self, values: &Values<'_>) -> Vec<String> {
        match &self.command {
            Command::Argv(argv) => argv.iter().map(|arg| arg.fill(values)).collect(),
            Command::Script(script) => {
                let mut argv = self.shell.clone();
                if argv.is_empty() {
                    argv.extend(DEFAULT_SHELL.map(str::to_owned));
                }
                argv.push(script.clone());
                argv
            }
        }
    }

    /// Whether this exit code means success.
    #[must_use]
    pub fn succeeds_with(&self, code: i32) -> bool {
        self.success_codes.contains(&code)
    }
}

/// What a step runs: in a file a list or a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A program and its arguments; at least the program.
    Argv(Vec<Template>),
    /// A script for the shell. It is no template: a branch's name put into a script would be run as part of it.
    Script(String),
}

impl Field for Command {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        match node.get_ref() {
            DeValue::Array(items) if items.is_empty() => {
                reader.error(
                    node.span(),
                    "there is no program to run",
                    "write run = [\"program\", \"argument\"]",
                );
                None
            }
            DeValue::Array(_) => Vec::read(node, reader).map(Self::Argv),
            DeValue::String(script) if script.trim().is_empty() => {
                reader.error(
                    node.span(),
                    "the script is empty",
                    "write run = \"make test\"",
                );
                None
            }
            DeValue::String(script) if script.contains('\0') || script.len() > LONGEST_SCRIPT => {
                reader.error(
                    node.span(),
                    "a script has no NUL byte and at most 102400 bytes",
                    "keep a long script in the repository, and run it from there",
                );
                None
            }
            DeValue::String(script) => Some(Self::Script(script.to_string())),
            _ => {
                reader.wrong_type(
                    node,
                    "a script in quotes, or a list of a program and its arguments",
                );
                None
            }
        }
    }

    fn write(&self) -> Option<Value> {
        match self {
            Self::Argv(argv) => argv.write(),
            Self::Script(script) => script.write(),
        }
    }

    fn schema() -> Value {
        schema::any_of([String::schema(), Vec::<Template>::schema()])
    }
}

words! {
    /// How far a command is kept from the rest of its machine: the levels of the buildlet protocol.
    pub enum Isolation {
        /// Not at all. (What it started still ends with it.)
        None = "none",
        /// A session of its own and resource limits.
        Process = "process",
        /// Also limits of memory and processes for the whole tree, and writes confined to the work directory.
        Sandbox = "sandbox",
    }
}

words! {
    /// After what something happens.
    pub enum When {
        /// Only if everything before it succeeded.
        Success = "success",
        /// Only if something before it failed.
        Failure = "failure",
        /// In both cases.
        Always = "always",
    }
}

impl When {
    /// Whether it happens, given whether something failed.
    #[must_use]
    pub fn applies(self, failed: bool) -> bool {
        match self {
            Self::Success => !failed,
            Self::Failure => failed,
            Self::Always => true,
        }
    }
}

record! {
    /// Files of a build that are kept.
    pub struct Artifact {
        /// Patterns of their paths below the source of the repository; a star matches slashes too.
        pub paths: Vec<Glob>,
        /// What people call them; the patterns, if not given.
        pub name: Option<String> = None,
        /// After what results they are fetched.
        pub when: When = When::Success,
        /// The most that is kept of all files together; beyond it the attempt says so and keeps none of them.
        pub max_size: ByteSize = ByteSize(1 << 30),
        /// Whether a build that leaves no such file has failed.
        pub required: bool = false,
    }
}
