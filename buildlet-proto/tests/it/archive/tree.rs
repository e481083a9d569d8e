//! Trees for tests: made, and described as the vectors describe them.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use buildlet_proto::types::{FileMode, PathStyle, RelativePath};

pub(crate) fn relative(path: impl AsRef<[u8]>) -> RelativePath {
    RelativePath::parse(path, PathStyle::NATIVE).unwrap()
}

/// A temporary folder, in memory where the system has such a place: tests make many thousands of files.
pub(crate) fn tempdir() -> std::io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir())
}

/// What the vectors say of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Node {
    pub(crate) path: String,
    pub(crate) mode: String,
    pub(crate) size: Option<u64>,
    pub(crate) mtime_unix: Option<i64>,
    pub(crate) target: Option<String>,
    pub(crate) content: Option<super::vectors::Body>,
}

/// All that is below `root`, by path.
pub(crate) fn nodes(root: &Path) -> Vec<Node> {
    let mut nodes = Vec::new();
    collect(root, root, &mut nodes);
    nodes.sort_by(|a, b| a.path.cmp(&b.path));
    nodes
}

fn collect(root: &Path, dir: &Path, nodes: &mut Vec<Node>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let mut node = Node {
            path: path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned(),
            mode: FileMode::from_unix(meta.mode()).to_string(),
            ..Node::default()
        };
        if meta.is_symlink() {
            // The vectors have it as `ls` does.
            node.mode.replace_range(0..1, "l");
            node.target = Some(fs::read_link(&path).unwrap().to_str().unwrap().to_owned());
        } else if meta.is_dir() {
            collect(root, &path, nodes);
        } else if meta.is_file() {
            node.size = Some(meta.len());
            node.mtime_unix = Some(meta.mtime());
            node.content = Some(super::vectors::Body::new(fs::read(&path).unwrap()));
        }
        nodes.push(node);
    }
}

/// Whether the trees agree in all that `expected` says.
#[track_caller]
pub(crate) fn assert_tree(root: &Path, expected: &[Node], context: &str) {
    let mut found = nodes(root);
    let mut expected = expected.to_vec();
    expected.sort_by(|a, b| a.path.cmp(&b.path));
    for (found, expected) in found.iter_mut().zip(&mut expected) {
        if expected.mtime_unix.is_none() {
            found.mtime_unix = None;
        }
        // Differs in how the vectors write setuid and sticky bits.
        if expected.mode.len() == found.mode.len() && expected.mode.contains(['s', 'T', 't']) {
            found.mode.clone_from(&expected.mode);
        }
    }
    assert_eq!(found, expected, "{context}");
}

pub(crate) fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub(crate) fn chmod(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn set_mtime(path: impl AsRef<Path>, seconds: u64) {
    let file = fs::File::open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds))
        .unwrap();
}

pub(crate) fn fifo(path: impl AsRef<Path>) {
    let path = path.as_ref();
    let made = std::process::Command::new("mkfifo")
        .arg("-m")
        .arg("644")
        .arg(path)
        .status();
    assert!(made.unwrap().success());
    assert!(fs::symlink_metadata(path).unwrap().file_type().is_fifo());
}

/// The tree in the directory `go` that the vectors of `/tgz` and `/ls` are about.
pub(crate) fn go_tree(workdir: &Path) -> PathBuf {
    let go = workdir.join("go");
    let file = |name: &str, content: &str, mode| {
        let path = go.join(name);
        write(&path, content);
        chmod(&path, mode);
        set_mtime(&path, 1_000_000_000);
    };
    file("VERSION", "devel", 0o644);
    file("name with space", "x", 0o644);
    file("setgid", "x", 0o2755);
    file("setuid", "x", 0o4755);
    file("stickyf", "x", 0o1644);
    file("tést", "x", 0o644);
    file("src/Z", "", 0o644);
    file("src/a/a.go", "package a\n", 0o644);
    file("src/run.bash", "#!/bin/bash\n", 0o755);
    file("src/skipme/x/y", "x", 0o644);
    symlink("src", go.join("dlink")).unwrap();
    symlink("VERSION", go.join("link")).unwrap();
    fifo(go.join("pipe"));
    for (dir, mode) in [
        ("pkg", 0o755),
        ("sticky", 0o1777),
        ("src/a", 0o755),
        ("src/skipme/x", 0o755),
        ("src/skipme", 0o755),
        ("src", 0o755),
    ] {
        fs::create_dir_all(go.join(dir)).unwrap();
        chmod(go.join(dir), mode);
        set_mtime(go.join(dir), 1_000_000_001);
    }
    go
}

/// Something that must never change: tests plant ways to it and look whether it did.
pub(crate) struct Outside {
    temp: tempfile::TempDir,
    dir: PathBuf,
    before: Vec<(PathBuf, u64, u32, i64, i64)>,
}

impl Outside {
    pub(crate) fn new() -> Self {
        let temp = tempdir().unwrap();
        let dir = temp.path().join("outside");
        write(dir.join("secret"), "do not touch");
        write(dir.join("dir/inner"), "neither this");
        let before = Self::state(&dir);
        Self { temp, dir, before }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    /// A path beside it, in the same folder: `../outside` leads here from there.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub(crate) fn secret(&self) -> PathBuf {
        self.dir.join("secret")
    }

    /// Names, sizes, modes and times of change, which nobody can set.
    fn state(path: &Path) -> Vec<(PathBuf, u64, u32, i64, i64)> {
        let mut paths = vec![path.to_owned()];
        let mut state = Vec::new();
        while let Some(path) = paths.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                paths.extend(
                    fs::read_dir(&path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
            }
            state.push((
                path,
                meta.len(),
                meta.mode(),
                meta.mtime(),
                meta.mtime_nsec(),
            ));
        }
        state.sort();
        state
    }

    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        assert_eq!(Self::state(&self.dir), self.before);
        for entry in fs::read_dir(self.temp.path()).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(
                name == "outside" || name == "base",
                "{name:?} was made outside"
            );
        }
        assert_eq!(fs::read(self.secret()).unwrap(), b"do not touch");
        assert_eq!(
            fs::read(self.path().join("dir/inner")).unwrap(),
            b"neither this"
        );
    }
}
