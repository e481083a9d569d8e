use std::fmt::Write as _;

use super::{Detected, LOOKED_FOR};
use crate::record::Value;
use crate::text::is_name;

/// A first configuration for one or more repositories: what [`Config::parse`](crate::Config::parse) takes, with comments for who edits it.
///
/// ```
/// use dashboard_config::{Config, Starter, detect};
///
/// let found = detect(|name| (name == "go.mod").then(|| "module example.org/site".to_owned()));
/// let text = Starter::new(2).repository("site", "/home/me/site", &found).to_toml();
/// let config = Config::parse("builders.toml", &text)?;
/// assert_eq!(config.builds("site", "main")[0].name, "site-go");
/// # Ok::<(), dashboard_config::Diagnostics>(())
/// ```
#[derive(Clone, Debug)]
pub struct Starter {
    buildlets: u32,
    repositories: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    clone_url: String,
    /// The only branch that is built.
    branch: Option<String>,
    found: Vec<Detected>,
}

impl Starter {
    /// Without a repository yet; at most `buildlets` builds run at a time, each in a process beside the coordinator.
    #[must_use]
    pub fn new(buildlets: u32) -> Self {
        Self {
            buildlets,
            repositories: Vec::new(),
        }
    }

    /// Adds a repository, with a builder for each way to build it. The name is made one that is allowed and that no other has.
    ///
    /// Without any way there is one builder that fails and says that somebody must write what to run.
    #[must_use]
    pub fn repository(self, name: &str, clone_url: &str, found: &[Detected]) -> Self {
        self.add(name, clone_url, None, found)
    }

    /// Adds a repository of which one branch is built, its main one: a stranger's has many, and most are nobody's concern.
    #[must_use]
    pub fn repository_at(
        self,
        name: &str,
        clone_url: &str,
        branch: &str,
        found: &[Detected],
    ) -> Self {
        self.add(name, clone_url, Some(branch.to_owned()), found)
    }

    fn add(
        mut self,
        name: &str,
        clone_url: &str,
        branch: Option<String>,
        found: &[Detected],
    ) -> Self {
        let wanted = repository_name(name);
        let taken = |name: &str| self.repositories.iter().any(|entry| entry.name == name);
        let mut name = wanted.clone();
        for number in 2_u32.. {
            if !taken(&name) {
                break;
            }
            name = format!("{wanted}-{number}");
        }
        self.repositories.push(Entry {
            name,
            clone_url: clone_url.to_owned(),
            branch,
            found: found.to_vec(),
        });
        self
    }

    /// The file's text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::from(HEADER);
        for entry in &self.repositories {
            let url = inline(Value::Str(entry.clone_url.clone()));
            let name = &entry.name;
            let branches = match &entry.branch {
                None => {
                    "# branches = [\"main\", \"release-*\"]  # all of them, if not given".to_owned()
                }
                Some(branch) => {
                    let branch = inline(Value::Str(branch.clone()));
                    format!("branches = [{branch}]\nmain_branch = {branch}")
                }
            };
            _ = write!(
                text,
                "\n[repo.{name}]\nclone_url = {url}\n{branches}\n\
                 # history = 10  # so many older commits are built too, once the newest is done\n"
            );
        }
        _ = write!(
            text,
            "\n# A kind of machine. \"process\" is a buildlet that the coordinator starts itself; \"reverse\" is one that dials in.\n\
             [host.local]\npool = \"process\"\nexpect_num = {}  # so many at a time\n",
            self.buildlets
        );
        for entry in &self.repositories {
            for way in &entry.found {
                let steps: Vec<(&str, Value)> = way
                    .steps
                    .iter()
                    .map(|step| {
                        (
                            step.name,
                            Value::List(step.run.iter().map(|word| Value::from(*word)).collect()),
                        )
                    })
                    .collect();
                let why = format!("# {} is there.", way.file);
                write_builder(
                    &mut text,
                    &why,
                    &format!("{}-{}", entry.name, way.builder),
                    &entry.name,
                    steps,
                );
            }
            if entry.found.is_empty() {
                let why = format!(
                    "# None of {} is there: write here what builds and tests it.",
                    LOOKED_FOR.join(", ")
                );
                let script = "echo 'builders.toml does not say yet what to run'; exit 1";
                write_builder(
                    &mut text,
                    &why,
                    &entry.name,
                    &entry.name,
                    vec![("build", Value::from(script))],
                );
            }
        }
        text
    }
}

const HEADER: &str = "\
# What the coordinator builds. `coordinator check` says whether it is good, and what is wrong where.
# Whatever is not said here is as it is by default; every key: `coordinator schema`, for editors.
";

/// The first builder shows what else could be said.
const MORE: &str = "\
# branches = [\"main\"]          # patterns; all of the repository's, if not given
# timeout = \"1h\"               # for all steps together
# supersede = \"waiting\"        # a newer commit replaces older ones that wait; \"running\" stops those that run too
# max_at_once = 1              # builds of it at a time
# env = { RUST_BACKTRACE = \"1\" }
# artifact = [{ paths = [\"out/*\"] }]  # files to keep
";

fn write_builder(text: &mut String, why: &str, name: &str, repo: &str, steps: Vec<(&str, Value)>) {
    let first = !text.contains("[builder.");
    _ = write!(
        text,
        "\n{why}\n[builder.{name}]\nhost_type = \"local\"\nrepos = [\"{repo}\"]\n"
    );
    if first {
        text.push_str(MORE);
    }
    for (i, (step, run)) in steps.into_iter().enumerate() {
        _ = write!(text, "\n[[builder.{name}.step]]\nname = \"{step}\"\n");
        if first && i == 0 {
            text.push_str(
                "# A list is a program and its arguments, which may contain {workdir}, {rev}, {branch} and so on; a string is a script for sh.\n",
            );
        }
        _ = writeln!(text, "run = {}", inline(run));
        if first && i == 0 {
            text.push_str("# timeout = \"10m\"\n# allow_failure = true\n");
        }
    }
}

fn inline(value: Value) -> String {
    let line = Value::object([("v", value)]).to_toml();
    line.trim_start_matches("v = ").trim_end().to_owned()
}

/// A repository's name out of its path or address: the last part, in letters that a name may have.
#[must_use]
pub fn repository_name(path: &str) -> String {
    let trimmed = path.trim_end_matches(['/', '\\']);
    let last = trimmed.rsplit(['/', '\\', ':']).next().unwrap_or_default();
    let last = last.strip_suffix(".git").unwrap_or(last);
    let mut name = String::new();
    for c in last.chars().take(64).flat_map(char::to_lowercase) {
        let allowed = c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
        // One dash for any number of others, and no two dots in a row.
        match if allowed { c } else { '-' } {
            '-' if name.ends_with('-') => {}
            '.' if name.ends_with('.') => {}
            c => name.push(c),
        }
    }
    let name = name.trim_matches(['-', '.', '_']);
    if is_name(name) {
        name.to_owned()
    } else {
        "repository".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Command, Config, detect};

    #[test]
    fn names_come_from_paths_and_addresses() {
        for (path, name) in [
            ("/home/me/My Site/", "my-site"),
            ("https://git.example.org/a/tools.git", "tools"),
            ("git@example.org:tools.git", "tools"),
            ("C:\\src\\x", "x"),
            ("/", "repository"),
            ("...", "repository"),
            ("/a/..b..c", "b.c"),
            ("/a/ÄÖ", "repository"),
        ] {
            assert_eq!(repository_name(path), name, "{path}");
        }
    }

    #[test]
    fn every_starter_is_a_good_configuration() {
        let files = |name: &str| LOOKED_FOR.contains(&name).then(String::new);
        let text = Starter::new(3)
            .repository("a", "/x/\"a\\", &detect(files))
            .repository("a", "https://example.org/a", &[])
            .to_toml();
        let config =
            Config::parse("builders.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(config.warnings(), []);
        assert_eq!(config.repository("a").unwrap().clone_url, "/x/\"a\\");
        let names: Vec<&str> = config
            .builds("a", "main")
            .iter()
            .map(|builder| &*builder.name)
            .collect();
        assert_eq!(names, ["a-cmake", "a-go", "a-node", "a-python", "a-rust"]);
        let empty = &config.builds("a-2", "main")[0].steps[0];
        assert!(matches!(&empty.command, Command::Script(script) if script.ends_with("exit 1")));
    }

    #[test]
    fn of_a_strangers_repository_one_branch_is_built() {
        let found = detect(|name| (name == "go.mod").then(String::new));
        let text = Starter::new(1)
            .repository_at("a", "https://example.org/a", "trunk\"\\", &found)
            .to_toml();
        let config = Config::parse("builders.toml", &text).unwrap();
        let repository = config.repository("a").unwrap();
        assert_eq!(config.main_branch(repository), "trunk\"\\");
        let matches = |name: &str| repository.branches.iter().any(|glob| glob.matches(name));
        assert!(matches("trunk\"\\") && !matches("main"));
    }

    #[test]
    fn what_is_commented_out_is_good_too() {
        let found = detect(|name| (name == "go.mod").then(String::new));
        let text = Starter::new(1).repository("a", "/a", &found).to_toml();
        let uncommented: Vec<&str> = text
            .lines()
            .map(|line| {
                line.strip_prefix("# ")
                    .filter(|rest| rest.contains(" = "))
                    .unwrap_or(line)
            })
            .collect();
        let config = Config::parse("builders.toml", &uncommented.join("\n"))
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.builder("a-go").unwrap().max_at_once, 1);
    }
}
