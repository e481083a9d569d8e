//! The program as a person uses it: files, pipes, mistakes and Ctrl-C.

use std::fs::{self, File, FileTimes};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

/// A folder to work in.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The names of all files, sorted.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pargzip"));
        command.current_dir(self.0.path()).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs and expects success without a word.
    fn quietly(&self, args: &[&str]) -> Vec<u8> {
        let output = self.run(args);
        assert_eq!(text(&output.stderr), "");
        assert_eq!(output.status.code(), Some(0));
        output.stdout
    }

    /// Runs and returns the exit code and the message.
    fn badly(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        (output.status.code().unwrap(), text(&output.stderr))
    }

    fn pipe(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // A program that ends early closes its end.
                let _ = stdin.write_all(input);
            });
            child.wait_with_output().unwrap()
        })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn sample() -> Vec<u8> {
    (0..200_000u32)
        .flat_map(|n| (n.wrapping_mul(n) % 977).to_string().into_bytes())
        .collect()
}

#[test]
fn a_file_is_replaced_and_comes_back_with_mode_and_time() {
    let folder = Folder::new();
    folder.write("log", &sample());
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let times = FileTimes::new().set_modified(time).set_accessed(time);
    File::options()
        .append(true)
        .open(folder.path("log"))
        .unwrap()
        .set_times(times)
        .unwrap();
    #[cfg(unix)]
    set_mode(&folder.path("log"), 0o640);

    folder.quietly(&["log"]);
    assert_eq!(folder.names(), ["log.gz"]);
    let gz = folder.read("log.gz");
    assert!(gz.len() < sample().len() / 2);
    assert_eq!(
        gz[4..8],
        1_000_000_000u32.to_le_bytes(),
        "the time stands in the header"
    );
    assert_eq!(gz[10..14], *b"log\0");

    folder.quietly(&["-d", "log.gz"]);
    assert_eq!(folder.names(), ["log"]);
    assert!(folder.read("log") == sample());
    let metadata = fs::metadata(folder.path("log")).unwrap();
    assert_eq!(metadata.modified().unwrap(), time);
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::MetadataExt::mode(&metadata) & 0o7777,
        0o640
    );
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn every_way_to_compress_reads_back() {
    let folder = Folder::new();
    for args in [
        &["-1"][..],
        &["-9", "-p", "1"],
        &["--fast", "-p", "3", "-b", "64"],
        &["--level", "0"],
        &["--single-member", "-b", "100K"],
        &["--index", "-b", "100K"],
        &["--backend", "zlib-rs"],
    ] {
        let gz = folder.pipe(args, &sample());
        assert_eq!(
            (gz.status.code(), text(&gz.stderr)),
            (Some(0), String::new()),
            "{args:?}"
        );
        let back = folder.pipe(&["-d"], &gz.stdout);
        assert!(back.stdout == sample(), "{args:?}");
        let Some(gunzip) = harness::tool_or_skip("gunzip") else {
            continue;
        };
        assert!(
            gunzip.filter(&["-c"], &gz.stdout).unwrap().stdout == sample(),
            "{args:?}"
        );
    }
}

#[test]
fn keep_and_stdout_keep_the_file() {
    let folder = Folder::new();
    folder.write("a", b"hello\n");
    folder.quietly(&["-k", "a"]);
    assert_eq!(folder.names(), ["a", "a.gz"]);
    assert_eq!(folder.quietly(&["-dc", "a.gz"]), b"hello\n");
    assert_eq!(folder.names(), ["a", "a.gz"]);
    folder.write("b.tgz", &folder.read("a.gz"));
    folder.quietly(&["-d", "b.tgz"]);
    assert_eq!(folder.read("b.tar"), b"hello\n");
}

#[test]
fn nothing_is_overwritten_without_force() {
    let folder = Folder::new();
    folder.write("a", b"new");
    folder.write("a.gz", b"old");
    let (code, message) = folder.badly(&["a"]);
    assert_eq!(
        (code, &message[..]),
        (
            2,
            "pargzip: a: a.gz exists; left alone (-f overwrites it)\n"
        )
    );
    assert_eq!(
        (folder.read("a"), folder.read("a.gz")),
        (b"new".to_vec(), b"old".to_vec())
    );
    folder.quietly(&["-f", "a"]);
    assert_eq!(folder.names(), ["a.gz"]);
    folder.quietly(&["-d", "a.gz"]);
    assert_eq!(folder.read("a"), b"new");
}

#[test]
fn what_is_left_alone_is_a_warning_and_the_others_go_on() {
    let folder = Folder::new();
    folder.write("a.gz", b"");
    folder.write("b", b"b");
    fs::create_dir(folder.path("c")).unwrap();
    let (code, message) = folder.badly(&["a.gz", "c", "b"]);
    assert_eq!(code, 2);
    assert!(
        message.contains("a.gz: has the suffix .gz already"),
        "{message}"
    );
    assert!(message.contains("c: is a directory"), "{message}");
    assert_eq!(folder.names(), ["a.gz", "b.gz", "c"]);
    assert_eq!(folder.badly(&["-q", "a.gz"]), (2, String::new()));
    let (code, message) = folder.badly(&["-d", "b.gz", "missing"]);
    assert_eq!(code, 1);
    assert!(message.starts_with("pargzip: missing: "), "{message}");
    assert_eq!(folder.read("b"), b"b");
}

#[test]
fn damaged_files_are_errors_that_say_where_and_leave_nothing_behind() {
    let folder = Folder::new();
    folder.write("a", &sample());
    folder.quietly(&["a"]);
    let gz = folder.read("a.gz");
    folder.write("short.gz", &gz[..1000]);
    assert_eq!(
        folder.badly(&["-d", "short.gz"]),
        (
            1,
            "pargzip: short.gz: gzip data ends early, at byte 1000\n".to_owned()
        )
    );
    assert_eq!(folder.names(), ["a.gz", "short.gz"]);
    folder.write("more.gz", &[&gz[..], b"more"].concat());
    let warning = format!(
        "pargzip: more.gz: garbage behind its end, at byte {}, was ignored\n",
        gz.len()
    );
    assert_eq!(folder.badly(&["-t", "more.gz"]), (2, warning.clone()));
    assert_eq!(folder.badly(&["-d", "more.gz"]), (2, warning));
    assert!(folder.read("more") == sample());
    assert_eq!(folder.badly(&["-t", "a.gz"]), (0, String::new()));
    let (code, message) = folder.badly(&["-dc", "--max-output", "1K", "a.gz"]);
    assert_eq!(code, 1);
    assert!(
        message.contains("larger than the limit of 1024 bytes"),
        "{message}"
    );
}

#[test]
fn the_list_has_true_sizes() {
    let folder = Folder::new();
    let data = sample();
    folder.write("a", &data);
    folder.quietly(&["-b", "100K", "a"]);
    let list = text(&folder.quietly(&["-l", "a.gz"]));
    let fields: Vec<&str> = list.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(fields[0], folder.read("a.gz").len().to_string());
    assert_eq!(fields[1], data.len().to_string());
    assert_eq!(fields[3], data.len().div_ceil(100 << 10).to_string());
    assert_eq!(fields[4], "a.gz");
}

#[test]
fn help_teaches_and_mistakes_get_a_hint() {
    let folder = Folder::new();
    let help = text(&folder.quietly(&["--help"]));
    for word in [
        "Examples:",
        "tar c src | pargzip",
        "Exit status:",
        "--single-member",
    ] {
        assert!(help.contains(word), "{word}");
    }
    let (code, message) = folder.badly(&["--singlemember"]);
    assert_eq!(code, 1, "as gzip");
    assert!(message.contains("--single-member"), "{message}");
    let (code, message) = folder.badly(&["-c", "--level", "99", "x"]);
    assert_eq!(code, 1);
    assert!(message.contains("x: "), "{message}");
}

/// Ctrl-C during a long compression removes what was half written and leaves the file alone.
#[cfg(unix)]
#[test]
fn an_interrupt_removes_the_partial_file() {
    let folder = Folder::new();
    // No disk is needed for a file of zeros, but hours for its compression.
    File::create(folder.path("huge"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let mut child = folder
        .command(&["-p", "1", "huge"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !folder.names().iter().any(|name| name.ends_with(".partial")) {
        assert!(Instant::now() < deadline, "no partial file appears");
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(folder.names(), ["huge"]);
}

/// A reader that goes away ends the program without a word, as with any filter.
#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_error_message() {
    let folder = Folder::new();
    File::create(folder.path("zeros"))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let mut child = folder
        .command(&["-c", "--level", "0", "zeros"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(141), String::new())
    );
}
