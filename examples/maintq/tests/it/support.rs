//! What the tests share.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The folder of a log that Go's maintner wrote.
pub(crate) fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../maintner/tests/data")
        .join(name)
}

/// The program, with none of the caller's settings.
pub(crate) fn maintq() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maintq"));
    command
        .env_remove("MAINTQ_LOG")
        .env_remove("MAINTQ_SERVER")
        .env_remove("MAINTQ_SNAPSHOT")
        .env("XDG_CACHE_HOME", "/nonexistent");
    command
}

/// Runs it on a log.
pub(crate) fn on(log: &str, args: &[&str]) -> Output {
    maintq()
        .args(args)
        .env("MAINTQ_LOG", vector(log))
        .output()
        .unwrap()
}

/// The exit status, standard output and standard error.
pub(crate) fn ended(output: &Output) -> (i32, String, String) {
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout.clone()).unwrap(),
        String::from_utf8(output.stderr.clone()).unwrap(),
    )
}

/// Standard output of a run that succeeded and had nothing to say besides.
#[track_caller]
pub(crate) fn stdout(output: &Output) -> String {
    let (code, stdout, stderr) = ended(output);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    stdout
}

/// The rows of a run with `--format json`.
#[track_caller]
pub(crate) fn rows(output: &Output) -> Vec<Value> {
    stdout(output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
