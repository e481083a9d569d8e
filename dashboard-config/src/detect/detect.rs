use std::fmt;

/// The files that [`detect`] looks for, in a repository's top folder.
pub const LOOKED_FOR: [&str; 6] = [
    "Cargo.toml",
    "go.mod",
    "package.json",
    "pyproject.toml",
    "CMakeLists.txt",
    "Makefile",
];

/// Files beside those whose presence [`detect`] asks about; it reads nothing else.
pub const LOCK_FILES: [&str; 6] = [
    "Cargo.lock",
    "pnpm-lock.yaml",
    "yarn.lock",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "uv.lock",
];

/// A way to build and test a repository that was recognised by a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detected {
    /// The file, one of [`LOOKED_FOR`].
    pub file: &'static str,
    /// What a builder of this kind is called.
    pub builder: &'static str,
    /// What to run, in order; never empty.
    pub steps: Vec<DetectedStep>,
}

/// A command of a [`Detected`] way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DetectedStep {
    /// What people call it.
    pub name: &'static str,
    /// The program and its arguments.
    pub run: Vec<&'static str>,
}

/// `Cargo.toml: cargo build, then cargo test`.
impl fmt::Display for Detected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        for (i, step) in self.steps.iter().enumerate() {
            write!(
                f,
                "{}{}",
                if i == 0 { "" } else { ", then " },
                step.run.join(" ")
            )?;
        }
        Ok(())
    }
}

/// Recognises how a repository is built, by the files in its top folder.
///
/// `read` gives a file's text, from a working copy or from a commit, and `None` where there is none. What is found depends on nothing else. A Makefile counts only
/// where nothing else is found: beside another tool's file it mostly calls that tool.
pub fn detect(read: impl Fn(&str) -> Option<String>) -> Vec<Detected> {
    let has = |name: &str| read(name).is_some();
    let mut found = Vec::new();
    let mut add = |file, builder, steps| {
        found.push(Detected {
            file,
            builder,
            steps,
        });
    };
    if let Some(manifest) = read("Cargo.toml") {
        add("Cargo.toml", "rust", rust(&manifest, has("Cargo.lock")));
    }
    if has("go.mod") {
        add("go.mod", "go", go());
    }
    if let Some(package) = read("package.json") {
        add("package.json", "node", node(&package, has));
    }
    if let Some(project) = read("pyproject.toml") {
        add("pyproject.toml", "python", python(&project, has("uv.lock")));
    }
    if has("CMakeLists.txt") {
        add("CMakeLists.txt", "cmake", cmake());
    }
    if let Some(makefile) = read("Makefile").filter(|_| found.is_empty()) {
        found.push(Detected {
            file: "Makefile",
            builder: "make",
            steps: make(&makefile),
        });
    }
    found
}

fn step(name: &'static str, run: impl IntoIterator<Item = &'static str>) -> DetectedStep {
    DetectedStep {
        name,
        run: run.into_iter().collect(),
    }
}

fn rust(manifest: &str, locked: bool) -> Vec<DetectedStep> {
    let workspace = has_header(manifest, "[workspace]").then_some("--workspace");
    let locked = locked.then_some("--locked");
    let with =
        |words: &'static [&'static str]| words.iter().copied().chain(workspace).chain(locked);
    vec![
        step("build", with(&["cargo", "build", "--all-targets"])),
        step("test", with(&["cargo", "test"])),
    ]
}

fn go() -> Vec<DetectedStep> {
    vec![
        step("build", ["go", "build", "./..."]),
        step("vet", ["go", "vet", "./..."]),
        step("test", ["go", "test", "./..."]),
    ]
}

fn node(package: &str, has: impl Fn(&str) -> bool) -> Vec<DetectedStep> {
    let install: &[&str] = if has("pnpm-lock.yaml") {
        &["pnpm", "install", "--frozen-lockfile"]
    } else if has("yarn.lock") {
        &["yarn", "install", "--frozen-lockfile"]
    } else if has("package-lock.json") || has("npm-shrinkwrap.json") {
        &["npm", "ci"]
    } else {
        &["npm", "install"]
    };
    let mut steps = vec![
        step("install", install.iter().copied()),
        step("build", ["npm", "run", "build", "--if-present"]),
    ];
    // What `npm init` writes there, which always fails.
    if !package.contains("no test specified") {
        steps.push(step("test", ["npm", "run", "test", "--if-present"]));
    }
    steps
}

fn python(project: &str, uv: bool) -> Vec<DetectedStep> {
    let pytest = project.contains("pytest");
    if uv {
        let test: &[&str] = if pytest {
            &["uv", "run", "pytest"]
        } else {
            &["uv", "run", "python", "-m", "unittest", "discover"]
        };
        return vec![
            step("install", ["uv", "sync"]),
            step("test", test.iter().copied()),
        ];
    }
    let mut steps = vec![step("environment", ["python3", "-m", "venv", ".venv"])];
    // A project without a build backend's table is configuration of tools only.
    if has_header(project, "[project]") || has_header(project, "[build-system]") {
        steps.push(step(
            "install",
            ["./.venv/bin/python", "-m", "pip", "install", "."],
        ));
    }
    if pytest {
        steps.push(step(
            "pytest",
            ["./.venv/bin/python", "-m", "pip", "install", "pytest"],
        ));
        steps.push(step("test", ["./.venv/bin/python", "-m", "pytest"]));
    } else {
        steps.push(step(
            "test",
            ["./.venv/bin/python", "-m", "unittest", "discover"],
        ));
    }
    steps
}

fn cmake() -> Vec<DetectedStep> {
    vec![
        step("configure", ["cmake", "-S", ".", "-B", "build"]),
        step("build", ["cmake", "--build", "build", "--parallel"]),
        step(
            "test",
            ["ctest", "--test-dir", "build", "--output-on-failure"],
        ),
    ]
}

fn make(makefile: &str) -> Vec<DetectedStep> {
    let has_target = |target: &str| {
        makefile
            .lines()
            .filter_map(|line| line.split_once(':'))
            // Neither a recipe nor an assignment: `test := ...`.
            .filter(|(names, rest)| {
                !names.starts_with(['\t', ' ', '.', '#']) && !rest.starts_with('=')
            })
            .any(|(names, _)| names.split_whitespace().any(|name| name == target))
    };
    let mut steps = vec![step("build", ["make"])];
    if has_target("test") {
        steps.push(step("test", ["make", "test"]));
    } else if has_target("check") {
        steps.push(step("test", ["make", "check"]));
    }
    steps
}

fn has_header(toml: &str, header: &str) -> bool {
    toml.lines().any(|line| line.trim() == header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let read = |name: &str| {
            let file = files.iter().find(|(file, _)| *file == name)?;
            Some(file.1.to_owned())
        };
        detect(read).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_tool_is_recognised_by_its_file() {
        assert_eq!(
            found(&[("Cargo.toml", "[package]\nname = 'x'")]),
            ["Cargo.toml: cargo build --all-targets, then cargo test"]
        );
        assert_eq!(
            found(&[("Cargo.toml", "[workspace]"), ("Cargo.lock", "")]),
            [
                "Cargo.toml: cargo build --all-targets --workspace --locked, then cargo test --workspace --locked"
            ]
        );
        assert_eq!(
            found(&[("go.mod", "module x")]),
            ["go.mod: go build ./..., then go vet ./..., then go test ./..."]
        );
        assert_eq!(
            found(&[("package.json", "{}"), ("package-lock.json", "{}")]),
            [
                "package.json: npm ci, then npm run build --if-present, then npm run test --if-present"
            ]
        );
        assert_eq!(
            found(&[
                (
                    "package.json",
                    r#""test": "echo \"Error: no test specified\" && exit 1""#
                ),
                ("yarn.lock", "")
            ]),
            ["package.json: yarn install --frozen-lockfile, then npm run build --if-present"]
        );
        assert_eq!(
            found(&[("pyproject.toml", "[tool.pytest.ini_options]")]),
            [
                "pyproject.toml: python3 -m venv .venv, then ./.venv/bin/python -m pip install pytest, then ./.venv/bin/python -m pytest"
            ]
        );
        assert_eq!(
            found(&[("pyproject.toml", "[project]"), ("uv.lock", "")]),
            ["pyproject.toml: uv sync, then uv run python -m unittest discover"]
        );
        assert_eq!(
            found(&[("CMakeLists.txt", "")]),
            [
                "CMakeLists.txt: cmake -S . -B build, then cmake --build build --parallel, then ctest --test-dir build --output-on-failure"
            ]
        );
    }

    #[test]
    fn nothing_is_asked_for_that_is_not_named() {
        detect(|name| {
            assert!(
                LOOKED_FOR.contains(&name) || LOCK_FILES.contains(&name),
                "{name}"
            );
            LOOKED_FOR.contains(&name).then(String::new)
        });
    }

    #[test]
    fn a_makefile_says_how_it_tests() {
        let makefile = |text| found(&[("Makefile", text)]);
        assert_eq!(
            makefile("all:\n\tcc\ncheck test: all\n"),
            ["Makefile: make, then make test"]
        );
        assert_eq!(makefile("check:\n"), ["Makefile: make, then make check"]);
        assert_eq!(
            makefile("test := 1\n\ttest: no\n.PHONY: test\n# test: no\n"),
            ["Makefile: make"]
        );
    }

    #[test]
    fn several_tools_are_several_ways_and_a_makefile_beside_them_is_none() {
        assert_eq!(
            found(&[("Makefile", "test:"), ("go.mod", ""), ("package.json", "")]).len(),
            2
        );
        assert!(found(&[("README.md", "")]).is_empty());
    }
}
