use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A bare repository in a temporary folder, which looks as a Gerrit server's project: `master`, and changes with a patch set and a meta
/// commit each.
#[derive(Debug)]
pub struct GitRemote {
    dir: TempDir,
    /// Commits that were made, which are their times too.
    count: u64,
}

impl GitRemote {
    /// One with a commit on `master`.
    ///
    /// # Panics
    ///
    /// As all its functions: when git cannot do what it should.
    #[must_use]
    pub fn new() -> Self {
        let dir =
            tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let mut remote = Self { dir, count: 0 };
        remote.git(
            &["init", "--quiet", "--bare", "--initial-branch=master"],
            "",
        );
        remote.commit("refs/heads/master", "first", None);
        remote
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Its address for git.
    #[must_use]
    pub fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    /// Adds a commit with one file of its own to a ref, which may be new, over `parent` if there is one.
    pub fn commit(&mut self, name: &str, message: &str, parent: Option<&str>) {
        let mut stream = String::new();
        self.stream(&mut stream, name, message, parent);
        self.import(&stream);
    }

    /// Adds changes with these numbers, open, with one patch set each.
    pub fn changes(&mut self, numbers: impl IntoIterator<Item = u32>) {
        let mut stream = String::new();
        for number in numbers {
            let name = |end: &str| format!("refs/changes/{:02}/{number}/{end}", number % 100);
            let subject = format!("change {number}\n\nChange-Id: I{number:040x}\n");
            self.stream(
                &mut stream,
                &name("1"),
                &subject,
                Some("refs/heads/master^0"),
            );
            let meta = "Create change\n\nUploaded patch set 1.\n\nPatch-set: 1\nStatus: new\nBranch: refs/heads/master\n";
            self.stream(&mut stream, &name("meta"), meta, None);
        }
        self.import(&stream);
    }

    /// Adds a message to a change.
    pub fn comment(&mut self, number: u32, text: &str) {
        let meta = format!("refs/changes/{:02}/{number}/meta", number % 100);
        let message = format!("Update patch set 1\n\nPatch Set 1:\n\n{text}\n\nPatch-set: 1\n");
        self.commit(&meta, &message, Some(&format!("{meta}^0")));
    }

    /// Runs git in it, and gives what it prints.
    ///
    /// # Panics
    ///
    /// When git fails.
    #[expect(clippy::must_use_candidate, reason = "most commands print nothing")]
    pub fn git(&self, args: &[&str], input: &str) -> String {
        let said = self.try_git(args, input);
        said.unwrap_or_else(|error| panic!("git {args:?}: {error}"))
    }

    fn try_git(&self, args: &[&str], input: &str) -> io::Result<String> {
        let mut child = Command::new("git")
            .arg("-C")
            .arg(self.path())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take();
        if let Some(stdin) = &mut stdin {
            stdin.write_all(input.as_bytes())?;
        }
        drop(stdin);
        let output = child.wait_with_output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        match output.status.success() {
            true => Ok(text(output.stdout)),
            false => Err(io::Error::other(text(output.stderr))),
        }
    }

    fn stream(&mut self, stream: &mut String, name: &str, message: &str, parent: Option<&str>) {
        self.count += 1;
        let (count, len) = (self.count, message.len());
        // A string takes whatever is written.
        let _ = write!(
            stream,
            "commit {name}\ncommitter A <7@x> {count} +0000\ndata {len}\n{message}\n"
        );
        if let Some(parent) = parent {
            let _ = writeln!(stream, "from {parent}");
        }
        let _ = write!(stream, "M 644 inline f{count}\ndata 1\nx\n\n");
    }

    fn import(&self, stream: &str) {
        self.git(&["fast-import", "--quiet", "--force"], stream);
    }
}

impl Default for GitRemote {
    fn default() -> Self {
        Self::new()
    }
}
