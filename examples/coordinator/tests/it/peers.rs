//! Repositories in Go.

use std::fs;
use std::process::Command;

use harness::Program;
use serde_json::Value;

use crate::running::Project;
use crate::{stderr, stdout};

/// One of those that `interop/go.mod` names: it has tests, and needs nothing but Go.
const SOMEBODY_ELSES: &str = "github.com/go-logr/logr";

#[test]
fn a_go_module_is_built_and_tested_at_two_revisions() {
    let Some(go) = harness::go_or_skip() else {
        return;
    };
    let cache = output(go.command().args(["env", "GOCACHE"]));
    let project = Project::empty();
    let test = |expected| {
        format!(
            "package add\n\nimport \"testing\"\n\nfunc TestAdd(t *testing.T) {{\n\tif Add(1, 2) != {expected} {{\n\t\tt.Fatal(\"wrong sum\")\n\t}}\n}}\n"
        )
    };
    let builders = format!(
        "[repo.add]\nclone_url = '.'\n[host.local]\npool = 'process'\nexpect_num = 1\n[builder.go]\nhost_type = 'local'\nisolation = 'none'\n\
         env = {{ GOCACHE = '{}', GOTOOLCHAIN = 'local' }}\n\
         [[builder.go.step]]\nname = 'vet'\nrun = ['{1}', 'vet', './...']\n[[builder.go.step]]\nname = 'test'\nrun = ['{1}', 'test', '-v', './...']\n",
        cache.trim(),
        go.path().display()
    );
    project.write("builders.toml", &builders);
    project.write("go.mod", "module example.org/add\n\ngo 1.21\n");
    project.write(
        "add.go",
        "package add\n\nfunc Add(a, b int) int { return a + b }\n",
    );
    project.write("add_test.go", &test(3));
    project.commit_all("right");
    project.write("add_test.go", &test(4));
    project.commit_all("wrong");

    let wrong = project.command(&["run", "--once"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    let log = stdout(&wrong);
    assert!(
        log.contains("--- FAIL: TestAdd") && log.contains("wrong sum"),
        "{log}"
    );
    let right = project
        .command(&["run", "--once", "--rev", "HEAD~1"])
        .output()
        .unwrap();
    assert!(right.status.success(), "{right:?}");
    assert!(stdout(&right).contains("--- PASS: TestAdd"), "{right:?}");
}

#[test]
fn a_repository_that_nobody_here_wrote_is_recognised_and_tested() {
    let Some(go) = harness::go_or_skip() else {
        return;
    };
    let module = module(&go, SOMEBODY_ELSES);
    let project = Project::empty();
    let copied = Command::new("cp")
        .args(["-R", "--no-preserve=mode"])
        .arg(format!("{module}/."))
        .arg(project.path())
        .status()
        .unwrap();
    assert!(copied.success());
    project.commit_all("as it is published");
    // It needs nothing from the network, and would not get it.
    let built = project
        .command(&["run", "--once"])
        .env("GOPROXY", "off")
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    assert!(stderr(&built).contains("go.mod: go "), "{built:?}");
    let log = stdout(&built);
    assert!(
        log.lines()
            .any(|line| line.starts_with(&format!("ok  \t{SOMEBODY_ELSES}\t"))),
        "{log}"
    );
}

/// Where the module cache has a module of those that `interop/go.mod` names.
fn module(go: &Program, path: &str) -> String {
    let mut download = go.command();
    download
        .args(["mod", "download", "-json", path])
        .current_dir(harness::interop_dir());
    let told: Value = serde_json::from_str(&output(&mut download)).unwrap();
    let dir = told["Dir"].as_str().unwrap().to_owned();
    assert!(fs::exists(&dir).unwrap(), "{told}");
    dir
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    stdout(&output)
}
