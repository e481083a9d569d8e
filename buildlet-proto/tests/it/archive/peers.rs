//! Archives of the programs that people use, and ours read by them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use buildlet_proto::archive::{CreateOptions, Encoding, Folder, Policy, Source, extract};

use super::tree::{Node, chmod, nodes, relative, set_mtime, write};

fn tree() -> tempfile::TempDir {
    let dir = super::tree::tempdir().unwrap();
    let root = dir.path();
    write(root.join("README"), "hello");
    write(root.join("bin/tool"), "#!/bin/sh\n");
    chmod(root.join("bin/tool"), 0o755);
    write(root.join("empty"), "");
    write(root.join("large"), vec![7; 600_000]);
    let long = format!("{}/{}/{}", "a".repeat(80), "b".repeat(80), "c".repeat(80));
    write(root.join(long), "long");
    write(root.join("ünï cödé/f"), "text");
    symlink("README", root.join("link")).unwrap();
    symlink("../README", root.join("bin/up")).unwrap();
    symlink("x".repeat(150), root.join("far")).unwrap();
    fs::hard_link(root.join("README"), root.join("same")).unwrap();
    fs::create_dir(root.join("private")).unwrap();
    chmod(root.join("private"), 0o700);
    for node in nodes(root)
        .iter()
        .rev()
        .filter(|node| node.target.is_none())
    {
        set_mtime(
            root.join(&node.path),
            1_000_000_000 + node.path.len() as u64,
        );
    }
    dir
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn strictly(archive: &[u8], encoding: Encoding) -> Vec<Node> {
    let unpacked = super::tree::tempdir().unwrap();
    let folder = Folder::open(unpacked.path()).unwrap();
    extract(archive, encoding, &folder, &Policy::strict()).unwrap();
    nodes(unpacked.path())
}

#[test]
fn archives_of_gnu_tar_come_out_as_it_unpacks_them() {
    let Some(tar) = harness::tool_or_skip("tar") else {
        return;
    };
    let tree = tree();
    let archive = tempfile::NamedTempFile::new().unwrap();
    for (format, gzip) in [
        ("gnu", false),
        ("oldgnu", false),
        ("pax", false),
        ("pax", true),
    ] {
        let mut command = tar.command();
        command
            .arg(format!("--format={format}"))
            .arg("-cf")
            .arg(archive.path());
        if gzip {
            command.arg("-z");
        }
        run(command.arg("-C").arg(tree.path()).arg("."));
        let theirs = super::tree::tempdir().unwrap();
        run(tar
            .command()
            .arg("-xpf")
            .arg(archive.path())
            .arg("-C")
            .arg(theirs.path()));
        let encoding = if gzip { Encoding::Gzip } else { Encoding::Tar };
        let ours = strictly(&fs::read(archive.path()).unwrap(), encoding);
        assert_eq!(ours, nodes(theirs.path()), "{format}");
        assert_eq!(ours, nodes(tree.path()), "{format}");
    }
}

#[test]
fn short_archives_of_the_oldest_formats_are_read() {
    let Some(tar) = harness::tool_or_skip("tar") else {
        return;
    };
    let tree = super::tree::tempdir().unwrap();
    write(tree.path().join("d/f"), "x");
    symlink("f", tree.path().join("d/l")).unwrap();
    for name in ["d/f", "d"] {
        set_mtime(tree.path().join(name), 1_000_000_000);
    }
    for format in ["v7", "ustar"] {
        let output = tar
            .command()
            .arg(format!("--format={format}"))
            .args(["-cf", "-", "-C"])
            .arg(tree.path())
            .arg("d")
            .output()
            .unwrap();
        assert_eq!(
            strictly(&output.stdout, Encoding::Tar),
            nodes(tree.path()),
            "{format}"
        );
    }
}

#[test]
fn archives_of_ours_come_out_of_gnu_tar_as_they_were() {
    let Some(tar) = harness::tool_or_skip("tar") else {
        return;
    };
    let tree = tree();
    for encoding in [Encoding::Gzip, Encoding::Tar] {
        let archive = tempfile::NamedTempFile::new().unwrap();
        ours(tree.path(), archive.path(), encoding);
        let theirs = super::tree::tempdir().unwrap();
        run(tar
            .command()
            .arg("-xpf")
            .arg(archive.path())
            .arg("-C")
            .arg(theirs.path()));
        assert_eq!(nodes(theirs.path()), nodes(tree.path()), "{encoding:?}");
    }
}

fn ours(from: &Path, to: &Path, encoding: Encoding) {
    let folder = Folder::open(from).unwrap();
    let source = Source::open(&folder, &relative("."), CreateOptions::default()).unwrap();
    source
        .write(fs::File::create(to).unwrap(), encoding)
        .unwrap();
}

#[test]
fn python_reads_what_we_write_and_writes_what_we_read() {
    let Some(python) = harness::tool_or_skip("python3") else {
        return;
    };
    let tree = tree();
    let archive = tempfile::NamedTempFile::new().unwrap();
    for format in ["GNU_FORMAT", "PAX_FORMAT"] {
        let script = "import sys, tarfile\n\
            with tarfile.open(sys.argv[1], 'w:gz', format=getattr(tarfile, sys.argv[3])) as tar:\n    \
            tar.add(sys.argv[2], '.')\n";
        let mut command = python.command();
        command.arg("-c").arg(script);
        run(command.arg(archive.path()).arg(tree.path()).arg(format));
        let found = strictly(&fs::read(archive.path()).unwrap(), Encoding::Gzip);
        assert_eq!(found, nodes(tree.path()), "{format}");
    }
    ours(tree.path(), archive.path(), Encoding::Gzip);
    let theirs = super::tree::tempdir().unwrap();
    let script = "import sys, tarfile\n\
        with tarfile.open(sys.argv[1]) as tar:\n    \
        tar.extractall(sys.argv[2])\n";
    run(python
        .command()
        .arg("-c")
        .arg(script)
        .arg(archive.path())
        .arg(theirs.path()));
    assert_eq!(nodes(theirs.path()), nodes(tree.path()));
}
