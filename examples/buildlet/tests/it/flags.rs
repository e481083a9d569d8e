use std::fs;
use std::process::Output;

use crate::process::buildlet;

fn output(args: &[&str]) -> Output {
    buildlet().args(args).output().expect("the program starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_names_every_flag_of_upstream() {
    let help = output(&["-help"]);
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).unwrap();
    for flag in [
        "halt",
        "reboot",
        "workdir",
        "listen",
        "reverse-type",
        "coordinator",
        "hostname",
        "health-addr",
        "version",
    ] {
        assert!(
            help.contains(&format!("--{flag}")),
            "{flag} is missing in:\n{help}"
        );
    }
}

#[test]
fn version_is_that_of_the_protocol() {
    let version = output(&["-version"]);
    let version = String::from_utf8(version.stdout).unwrap();
    assert!(version.starts_with("buildlet version 29 ("), "{version}");
}

#[test]
fn a_flag_that_is_none_is_told() {
    let done = output(&["--workdri=/tmp"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(stderr(&done).contains("--workdir"), "{}", stderr(&done));
}

#[test]
fn a_missing_work_directory_is_told() {
    let done = output(&["-workdir=/does/not/exist", "-listen=127.0.0.1:0"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(
        stderr(&done).contains("invalid --workdir"),
        "{}",
        stderr(&done)
    );
    assert!(
        stderr(&done).contains("/does/not/exist"),
        "{}",
        stderr(&done)
    );
}

#[test]
fn a_configuration_file_that_is_wrong_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("buildlet.toml");
    fs::write(&file, "once = true\nreverse-typ = \"host-test\"\n").unwrap();
    let done = output(&["--config", file.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1));
    let message = stderr(&done);
    assert!(
        message.contains("buildlet.toml") && message.contains("line 2"),
        "{message}"
    );
    assert!(
        message.contains("reverse-type"),
        "it names what is known: {message}"
    );
}

#[test]
fn nobody_listens_to_the_world_without_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let workdir = folder.path().to_str().unwrap();
    let done = output(&["-listen=:0", "-workdir", workdir]);
    assert_eq!(done.status.code(), Some(1));
    assert!(
        stderr(&done).contains("--password-file"),
        "{}",
        stderr(&done)
    );
}

#[test]
fn half_a_key_pair_is_refused() {
    let done = output(&["-listen=127.0.0.1:0", "--tls-cert=cert.pem"]);
    assert_ne!(done.status.code(), Some(0));
    assert!(stderr(&done).contains("tls-key"), "{}", stderr(&done));
}

#[test]
fn a_missing_key_says_how_to_get_one() {
    let done = buildlet()
        .args([
            "-reverse-type=host-test",
            "-coordinator=build.example.org",
            "--once",
            "--insecure",
        ])
        .env("GO_BUILD_KEY_PATH", "/does/not/exist")
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(stderr(&done).contains("genbuilderkey"), "{}", stderr(&done));
}

#[test]
fn the_settings_to_begin_with_are_understood() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/buildlet.toml");
    let done = buildlet()
        .args(["--config", file, "--once", "--insecure"])
        .env("GO_BUILD_KEY_PATH", "/does/not/exist")
        .output()
        .unwrap();
    // It gets as far as the key, with the host type of the file.
    assert!(
        stderr(&done).contains("no key for the host type host-linux-bookworm"),
        "{}",
        stderr(&done)
    );
}
