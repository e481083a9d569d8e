//! The work directory itself.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use buildlet_proto::archive::{CreateOptions, Encoding, Policy};
use buildlet_proto::types::{FileMode, ListRequest};
use buildlet_proto::workdir::{Workdir, WriteError};

use super::raw::Raw;
use super::tree::{Outside, chmod, nodes, relative, write};

fn workdir() -> (tempfile::TempDir, Workdir) {
    let temp = super::tree::tempdir().unwrap();
    let path = temp.path().join("workdir");
    fs::create_dir(&path).unwrap();
    let workdir = Workdir::open(&path).unwrap();
    (temp, workdir)
}

const MODE: FileMode = FileMode::from_unix(0o644);

#[test]
fn a_directory_that_is_missing_is_not_made_at_the_start() {
    let temp = super::tree::tempdir().unwrap();
    let error = Workdir::open(temp.path().join("missing")).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("/missing: no such file or directory"),
        "{error}"
    );
    write(temp.path().join("file"), "");
    Workdir::open(temp.path().join("file")).unwrap_err();
}

#[test]
fn a_directory_that_a_command_removed_is_made_again_by_every_operation() {
    let (_temp, workdir) = workdir();
    let path = workdir.path().to_owned();
    let operations: [&dyn Fn(); 7] = [
        &|| workdir.ensure().unwrap(),
        &|| workdir.ensure_folders().unwrap(),
        &|| drop(workdir.list(&relative("."), &ListRequest::new("")).unwrap()),
        &|| {
            let written = workdir.write_file(&relative("a/b"), MODE, &b"x"[..], 10);
            assert_eq!(written.unwrap(), 1);
        },
        &|| {
            let tar = Raw::new().file("f", "x").end();
            workdir
                .extract(&relative("d"), &tar[..], Encoding::Tar, &Policy::upstream())
                .unwrap();
        },
        &|| {
            drop(
                workdir
                    .archive(&relative("."), CreateOptions::default())
                    .unwrap(),
            );
        },
        &|| workdir.remove_all(&[relative("x")]).unwrap(),
    ];
    for operation in operations {
        fs::remove_dir_all(&path).unwrap();
        operation();
        assert!(path.is_dir());
    }
}

#[test]
fn a_link_in_the_place_of_the_directory_is_not_followed() {
    let outside = Outside::new();
    let path = outside.beside("base");
    fs::create_dir(&path).unwrap();
    let workdir = Workdir::open(&path).unwrap();
    fs::remove_dir(&path).unwrap();
    symlink(outside.path(), &path).unwrap();
    workdir.ensure().unwrap_err();
    workdir
        .write_file(&relative("secret"), MODE, &b"evil"[..], 10)
        .unwrap_err();
    workdir.remove_all(&[relative("secret")]).unwrap_err();
    workdir.remove_all(&[relative(".")]).unwrap();
    outside.assert_untouched();
}

#[test]
fn writing_stays_inside_of_links_and_other_names() {
    let outside = Outside::new();
    let path = outside.beside("base");
    fs::create_dir(&path).unwrap();
    let workdir = Workdir::open(&path).unwrap();
    symlink(outside.path(), path.join("abs")).unwrap();
    symlink("../outside/secret", path.join("f")).unwrap();
    fs::hard_link(outside.secret(), path.join("h")).unwrap();
    for name in ["abs/secret", "abs/new", "f"] {
        let error = workdir
            .write_file(&relative(name), MODE, &b"evil"[..], 10)
            .unwrap_err();
        assert_eq!(error.status(), 500, "{error}");
    }
    workdir
        .write_file(
            &relative("h"),
            FileMode::from_unix(0o4777),
            &b"mine"[..],
            10,
        )
        .unwrap();
    assert_eq!(fs::read(path.join("h")).unwrap(), b"mine");
    outside.assert_untouched();
}

#[test]
fn a_file_has_no_more_bytes_than_allowed() {
    let (_temp, workdir) = workdir();
    let written = workdir.write_file(&relative("f"), MODE, &b"12345"[..], 5);
    assert_eq!(written.unwrap(), 5);
    let error = workdir
        .write_file(&relative("f"), MODE, io::repeat(0), 100_000)
        .unwrap_err();
    assert!(
        matches!(error, WriteError::TooLarge { limit: 100_000 }),
        "{error}"
    );
    assert_eq!(error.status(), 413);
    assert!(fs::metadata(workdir.path().join("f")).unwrap().len() <= 100_000);
}

#[test]
fn an_error_of_the_content_is_told_from_one_of_the_disk() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("cut"))
        }
    }
    let (_temp, workdir) = workdir();
    let error = workdir
        .write_file(&relative("f"), MODE, Broken, 10)
        .unwrap_err();
    assert!(matches!(error, WriteError::Content(_)), "{error}");
    let error = workdir
        .write_file(&relative("d/.."), MODE, &b""[..], 10)
        .unwrap_err();
    assert!(matches!(error, WriteError::Fs(_)), "{error}");
    let directory = FileMode::from_unix(0o040_755);
    let error = workdir
        .write_file(&relative("f"), directory, &b""[..], 10)
        .unwrap_err();
    assert_eq!(
        (error.status(), error.to_string()),
        (400, "bad mode".to_owned())
    );
}

#[test]
fn the_umask_does_not_matter_to_written_files() {
    let (_temp, workdir) = workdir();
    workdir
        .write_file(&relative("f"), FileMode::from_unix(0o1777), &b""[..], 10)
        .unwrap();
    let mode = fs::metadata(workdir.path().join("f")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o1777);
}

#[test]
fn the_folders_for_commands_are_emptied_at_the_start() {
    let (_temp, workdir) = workdir();
    write(workdir.path().join("gocache/old"), "");
    symlink("/", workdir.path().join("tmp")).unwrap();
    write(workdir.path().join("goplscache"), "a file");
    workdir.reset_folders().unwrap();
    let found = nodes(workdir.path());
    let names: Vec<_> = found.iter().map(|node| &node.path[..]).collect();
    assert_eq!(names, ["gocache", "goplscache", "tmp"]);
    assert!(found.iter().all(|node| node.mode == "drwxr-xr-x"));
    write(workdir.path().join("gocache/kept"), "");
    workdir.ensure_folders().unwrap();
    assert!(workdir.path().join("gocache/kept").exists());
}

#[test]
fn directories_are_known() {
    let (_temp, workdir) = workdir();
    write(workdir.path().join("d/f"), "");
    symlink("d", workdir.path().join("l")).unwrap();
    symlink("/", workdir.path().join("out")).unwrap();
    for (path, is) in [
        ("d", true),
        ("d/f", false),
        ("l", true),
        ("out", false),
        ("x", false),
        (".", true),
    ] {
        assert_eq!(workdir.is_dir(&relative(path)), is, "{path}");
    }
}

#[test]
fn an_unpacked_archive_needs_a_directory() {
    let (_temp, workdir) = workdir();
    write(workdir.path().join("f"), "");
    let tar = Raw::new().file("x", "x").end();
    let result = workdir.extract(
        &relative("f/g"),
        &tar[..],
        Encoding::Tar,
        &Policy::upstream(),
    );
    let error = result.unwrap_err();
    let text = error
        .to_string()
        .replace(workdir.path().to_str().unwrap(), "/workdir");
    assert_eq!(text, "mkdir of base: mkdir /workdir/f: not a directory");
    assert_eq!(error.status(), 500);
}

#[test]
fn trees_of_any_depth_are_removed() {
    let (_temp, workdir) = workdir();
    // Deeper than the descriptors that a process has, and than paths go.
    let mut dir = rustix::fs::open(
        workdir.path(),
        rustix::fs::OFlags::DIRECTORY,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    for _ in 0..3000 {
        rustix::fs::mkdirat(&dir, "deep", 0o755.into()).unwrap();
        rustix::fs::openat(
            &dir,
            "file",
            rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY,
            0o644.into(),
        )
        .unwrap();
        dir = rustix::fs::openat(
            &dir,
            "deep",
            rustix::fs::OFlags::DIRECTORY,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
    }
    let request = ListRequest::new("").recursive(true);
    let listed = workdir
        .list(&relative("."), &request)
        .unwrap()
        .last()
        .unwrap();
    assert!(listed.unwrap_err().to_string().contains("directories deep"));
    let source = workdir
        .archive(&relative("."), CreateOptions::default())
        .unwrap();
    source.write(io::sink(), Encoding::Tar).unwrap_err();
    workdir.remove_all(&[relative("deep")]).unwrap();
    let names: Vec<_> = nodes(workdir.path())
        .into_iter()
        .map(|node| node.path)
        .collect();
    assert_eq!(names, ["file"]);
}

#[test]
fn read_only_trees_are_removed() {
    if !run_as_nobody("archive::workdir::read_only_trees_are_removed") {
        return;
    }
    let (_temp, workdir) = workdir();
    write(workdir.path().join("d/a"), "");
    write(workdir.path().join("d/sub/b"), "");
    chmod(workdir.path().join("d/sub"), 0o555);
    chmod(workdir.path().join("d"), 0o555);
    workdir.remove_all(&[relative("d")]).unwrap();
    assert!(nodes(workdir.path()).is_empty());
}

#[test]
fn trees_that_forbid_everything_to_their_owner_are_removed() {
    if !run_as_nobody("archive::workdir::trees_that_forbid_everything_to_their_owner_are_removed") {
        return;
    }
    let (_temp, workdir) = workdir();
    let outside = Outside::new();
    let mut deep = "d".to_owned();
    for _ in 0..100 {
        deep.push_str("/e");
    }
    write(workdir.path().join(&deep).join("file"), "");
    symlink(outside.path(), workdir.path().join(&deep).join("link")).unwrap();
    let mut path = workdir.path().join(&deep);
    while path != workdir.path() {
        chmod(&path, 0o000);
        // The next one up is reached from above.
        path.pop();
    }
    workdir.remove_all(&[relative("d")]).unwrap();
    assert!(nodes(workdir.path()).is_empty());
    outside.assert_untouched();
    let meta = fs::metadata(workdir.path()).unwrap();
    assert_eq!(meta.permissions().mode() & 0o700, 0o700);
}

/// Whether to go on: an unprivileged user does, for root the test `name` is run again by one.
fn run_as_nobody(name: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    // The program may lie where nobody else can read, and memory where nothing can be run.
    let temp = tempfile::tempdir().unwrap();
    chmod(temp.path(), 0o755);
    let program = temp.path().join("test");
    let this = std::env::current_exe().unwrap();
    fs::copy(this, &program).unwrap();
    chmod(&program, 0o755);
    let output = Command::new(program)
        .args(["--exact", name, "--nocapture"])
        .current_dir("/")
        .env_remove("TMPDIR")
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("1 passed"), "{said}");
    false
}
