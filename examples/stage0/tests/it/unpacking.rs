use std::fs;

use crate::machine::{Machine, text};

/// `tar` makes the archives: the program is for machines that have none, not the tests.
fn archive(machine: &Machine, args: &[&str]) {
    let status = std::process::Command::new("tar")
        .current_dir(machine.path(""))
        .args(["-czf", "a.tgz"])
        .args(args)
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn an_archive_is_unpacked() {
    let machine = Machine::new();
    fs::create_dir(machine.path("dir")).unwrap();
    fs::write(machine.path("dir/file"), "text").unwrap();
    archive(&machine, &["dir"]);
    let output = machine.run(&["--untar-file", "a.tgz", "--untar-dest-dir", "new/place"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        fs::read_to_string(machine.path("new/place/dir/file")).unwrap(),
        "text"
    );
}

#[test]
fn links_are_refused_as_upstream_does() {
    let machine = Machine::new();
    std::os::unix::fs::symlink("/etc/passwd", machine.path("link")).unwrap();
    archive(&machine, &["link"]);
    let output = machine.run(&["-untar-file=a.tgz", "-untar-dest-dir=out"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("cannot unpack a.tgz: "),
        "{}",
        text(&output.stderr)
    );
    assert!(!machine.path("out/link").exists());
}
