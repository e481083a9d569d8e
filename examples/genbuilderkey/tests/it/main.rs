//! The program as its users start it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs it with nothing of this process's environment that it looks at, and `home` as its home.
fn run_in(home: &Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_genbuilderkey"))
        .args(args)
        .env_remove("GO_BUILDER_MASTER_KEY_FILE")
        .env("HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It need not read its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn run(args: &[&str], input: &str) -> Output {
    run_in(tempfile::tempdir().unwrap().path(), args, input)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn keys_are_those_of_upstream() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../buildlet-proto/tests/data/builderkey.json"
    );
    let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let rows = vectors["rows"].as_array().unwrap();
    assert!(rows.len() > 3);
    for row in rows {
        let [master, principal, key] =
            ["master_key", "principal", "key"].map(|field| row[field].as_str().unwrap());
        let output = run(
            &["--master-key", "-", "--", principal],
            &format!("\n {master}\n"),
        );
        if master.trim().is_empty() {
            assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
            assert!(
                text(&output.stderr).contains("master key is empty"),
                "{output:?}"
            );
        } else if principal.is_empty() {
            assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
        } else {
            assert_eq!(
                (output.status.code(), text(&output.stdout)),
                (Some(0), &*format!("{key}\n")),
                "{principal}"
            );
        }
    }
}

#[test]
fn the_master_key_is_looked_for_at_home() {
    let home = tempfile::tempdir().unwrap();
    let missing = run_in(home.path(), &["user-gopher"], "");
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        text(&missing.stderr).contains("keys/gobuilder-master.key"),
        "{missing:?}"
    );
    std::fs::create_dir(home.path().join("keys")).unwrap();
    std::fs::write(
        home.path().join("keys/gobuilder-master.key"),
        "gophers rule\n",
    )
    .unwrap();
    let found = run_in(home.path(), &["host-linux-bullseye", "user-bradfitz"], "");
    assert_eq!(
        text(&found.stdout),
        "9322a0f46b098a3218073b0711fbdccd\n2232b7f5ef5d435c05ddf6405760f365\n"
    );
    assert_eq!(
        run(
            &["--development", "host-linux-bullseye", "user-bradfitz"],
            ""
        )
        .stdout,
        found.stdout
    );
}

#[test]
fn one_dash_is_enough_as_for_upstreams_program() {
    let output = run(&["-master-key=-", "host-linux-bullseye"], "gophers rule");
    assert_eq!(text(&output.stdout), "9322a0f46b098a3218073b0711fbdccd\n");
}

#[test]
fn a_file_that_is_no_key_is_refused() {
    let output = run(&["--master-key", "/dev/zero", "user-gopher"], "");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    assert!(text(&output.stderr).contains("too long"), "{output:?}");
}

#[test]
fn a_command_line_without_sense_exits_with_2() {
    for args in [
        &[][..],
        &[""],
        &["--nope", "x"],
        &["--development", "--master-key", "f", "x"],
    ] {
        assert_eq!(run(args, "gophers rule").status.code(), Some(2), "{args:?}");
    }
    let help = run(&["--help"], "");
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("Examples:"));
}
