use std::fs;
use std::path::Path;

use crate::{coordinator, repository, stderr, stdout};

#[test]
fn init_writes_a_file_that_check_finds_good() {
    let dir = repository();
    fs::write(dir.path().join("Cargo.toml"), "[workspace]\n").unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();

    let init = coordinator(&dir.path().join("sub"), &["init"]);
    assert!(init.status.success(), "{init:?}");
    assert!(stdout(&init).contains(
        "Cargo.toml: cargo build --all-targets --workspace, then cargo test --workspace"
    ));
    let written = fs::read_to_string(dir.path().join("builders.toml")).unwrap();
    assert!(written.contains("clone_url = \".\""), "{written}");

    let check = coordinator(dir.path(), &["check"]);
    assert_eq!(
        stdout(&check),
        "good: 1 host type, 1 repository, 1 builder\n",
        "{check:?}"
    );

    let again = coordinator(dir.path(), &["init"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        stderr(&again).contains("is there already; --force overwrites it"),
        "{again:?}"
    );
    fs::write(dir.path().join("builders.toml"), "").unwrap();
    assert!(
        coordinator(dir.path(), &["init", "--force"])
            .status
            .success()
    );
    assert_eq!(
        fs::read_to_string(dir.path().join("builders.toml")).unwrap(),
        written
    );
    assert_eq!(
        stdout(&coordinator(dir.path(), &["init", "--print"])),
        written
    );
}

#[test]
fn init_says_when_nothing_is_recognised() {
    let dir = repository();
    let init = coordinator(dir.path(), &["init"]);
    assert!(
        stdout(&init).contains("there is none of Cargo.toml, go.mod"),
        "{init:?}"
    );
    assert!(coordinator(dir.path(), &["check"]).status.success());
    let outside = tempfile::tempdir().unwrap();
    let init = coordinator(outside.path(), &["init"]);
    assert_eq!(init.status.code(), Some(1));
    assert!(
        stderr(&init).contains("is in no git repository"),
        "{init:?}"
    );
}

#[test]
fn check_names_every_problem_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    fs::write(
        &path,
        "[builder.a]\nhost_type = 'x'\nstpe = 1\n[builder.b]\n",
    )
    .unwrap();
    let check = coordinator(dir.path(), &["check", "mine.toml"]);
    assert_eq!(check.status.code(), Some(1));
    let problems = stderr(&check);
    assert!(
        problems.contains("mine.toml:3:1: error: unknown key `stpe`"),
        "{problems}"
    );
    assert!(problems.contains("did you mean `step`?"), "{problems}");
    assert!(
        problems.contains("mine.toml:4:1: error: `host_type` is missing in `b`"),
        "{problems}"
    );

    let none = coordinator(dir.path(), &["check"]);
    assert!(
        stderr(&none).contains("there is no builders.toml here; `coordinator init` writes one"),
        "{none:?}"
    );
}

#[test]
fn check_says_why_a_branch_is_built() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[repo.r]\nclone_url = '/r'\n[host.h]\npool = 'reverse'\n\
                [builder.all]\nhost_type = 'h'\nstep = [{ run = 'true' }]\n\
                [builder.main-only]\nhost_type = 'h'\nbranches = ['main']\nstep = [{ run = 'true' }]\n";
    fs::write(dir.path().join("builders.toml"), text).unwrap();
    let why = coordinator(dir.path(), &["check", "--why", "r@wip"]);
    assert_eq!(
        stdout(&why),
        "+ all        builds it: its repos and branches match\n\
         - main-only  does not build it: the builder's branches do not match\n"
    );
    let unknown = coordinator(dir.path(), &["check", "--why", "x@main"]);
    assert!(
        stderr(&unknown).contains("there is no repository x; there are: r"),
        "{unknown:?}"
    );
}

#[test]
fn the_schema_is_json() {
    let schema = stdout(&coordinator(Path::new("."), &["schema"]));
    assert!(
        schema.starts_with("{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\""),
        "{schema}"
    );
}

#[test]
fn a_configuration_may_be_named_in_two_ways_and_not_in_both() {
    let dir = repository();
    fs::write(dir.path().join("builders.toml"), "[host.local]\n").unwrap();
    for words in [
        &["check", "other.toml"][..],
        &["check", "--config", "other.toml"],
    ] {
        let check = coordinator(dir.path(), words);
        assert!(
            stderr(&check).contains("cannot read other.toml"),
            "{check:?}"
        );
    }
    let both = coordinator(dir.path(), &["check", "a.toml", "--config", "b.toml"]);
    assert!(stderr(&both).contains("name the files once"), "{both:?}");
}

#[test]
fn the_readme_names_what_builds_on_this_machine_inherit() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let everywhere = buildlet_pool::INHERITED_VARIABLES.iter();
    for name in everywhere.take_while(|name| **name != "SystemRoot") {
        let name = match name.strip_suffix("_PROXY") {
            Some(_) => &name.to_lowercase(),
            None => *name,
        };
        assert!(readme.contains(&format!("`{name}`")), "{name} is missing");
    }
}
