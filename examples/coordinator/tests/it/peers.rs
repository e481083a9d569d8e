//! Repositories in Go.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use harness::Program;
use serde_json::Value;
use tempfile::TempDir;

use crate::running::Project;
use crate::{stderr, stdout};

/// One of those that `interop/go.mod` names: it has tests, and needs nothing but Go.
const SOMEBODY_ELSES: &str = "github.com/go-logr/logr";

#[test]
fn a_go_module_is_built_and_tested_at_two_revisions() {
    let Some(go) = harness::go_or_skip() else {
        return;
    };
    let cached = CachedGo::new(&go);
    let project = Project::empty();
    let test = |expected| {
        format!(
            "package add\n\nimport \"testing\"\n\nfunc TestAdd(t *testing.T) {{\n\tif Add(1, 2) != {expected} {{\n\t\tt.Fatal(\"wrong sum\")\n\t}}\n}}\n"
        )
    };
    let builders = "[repo.add]\nclone_url = '.'\n[host.local]\npool = 'process'\nexpect_num = 1\n[builder.go]\nhost_type = 'local'\nisolation = 'none'\n\
         [[builder.go.step]]\nrun = ['go', 'vet', './...']\n[[builder.go.step]]\nrun = ['go', 'test', '-v', './...']\n";
    project.write("builders.toml", builders);
    project.write("go.mod", "module example.org/add\n\ngo 1.21\n");
    project.write(
        "add.go",
        "package add\n\nfunc Add(a, b int) int { return a + b }\n",
    );
    project.write("add_test.go", &test(3));
    project.commit_all("right");
    project.write("add_test.go", &test(4));
    project.commit_all("wrong");

    let wrong = project
        .command(&["run", "--once"])
        .env("PATH", cached.path())
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    let log = stdout(&wrong);
    assert!(
        log.contains("--- FAIL: TestAdd") && log.contains("wrong sum"),
        "{log}"
    );
    let right = project
        .command(&["run", "--once", "--rev", "HEAD~1"])
        .env("PATH", cached.path())
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
    let cached = CachedGo::new(&go);
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
        .env("PATH", cached.path())
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

/// A command `go` that keeps what it compiles in the user's cache. In a build it would be the build's own, which is empty.
struct CachedGo(TempDir);

impl CachedGo {
    fn new(go: &Program) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache = output(go.command().args(["env", "GOCACHE"]));
        let script = format!(
            "#!/bin/sh\nGOCACHE='{}' exec '{}' \"$@\"\n",
            cache.trim(),
            go.path().display()
        );
        let file = dir.path().join("go");
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    /// A search path on which it comes first.
    fn path(&self) -> OsString {
        let path = env::var_os("PATH").unwrap_or_default();
        let rest = env::split_paths(&path);
        env::join_paths([self.0.path().to_owned()].into_iter().chain(rest)).unwrap()
    }
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
