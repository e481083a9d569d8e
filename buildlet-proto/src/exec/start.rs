//! Starting a process, and saying why that failed in the words of the Go programs.

use std::ffi::{OsStr, OsString};
use std::io::{self, PipeWriter};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::types::{os_bytes, os_string};

/// What is started: the part of a command that does not depend on who starts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) dir: Option<PathBuf>,
    pub(super) env: Vec<OsString>,
}

impl Start {
    /// Starts the process as leader of a process group of its own, with an empty standard input, and both outputs going to `output`.
    ///
    /// The standard library takes the fast way (`posix_spawn`) as long as nothing else has to happen in the child.
    ///
    /// # Errors
    ///
    /// The text for the trailer.
    pub(super) fn spawn(&self, output: PipeWriter) -> Result<Child, String> {
        self.try_spawn(output).map_err(|error| self.failure(&error))
    }

    fn try_spawn(&self, output: PipeWriter) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().filter_map(|entry| split_entry(entry)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn()
    }

    /// The directory is looked at first, as Go does: otherwise `no such file or directory` would not say which.
    fn failure(&self, error: &io::Error) -> String {
        if let Some(dir) = &self.dir
            && let Err(error) = std::fs::metadata(dir)
        {
            return failure_text("chdir", dir, &error);
        }
        failure_text("fork/exec", &self.program, error)
    }
}

/// Key and value. A key may begin with `=`, as Windows has it.
fn split_entry(entry: &OsStr) -> Option<(OsString, OsString)> {
    let entry = os_bytes(entry);
    let equals = entry.iter().skip(1).position(|byte| *byte == b'=')? + 1;
    Some((os_string(&entry[..equals]), os_string(&entry[equals + 1..])))
}

fn failure_text(operation: &str, path: &Path, error: &io::Error) -> String {
    format!("{operation} {}: {}", path.display(), go_error(error))
}

/// The system's text for an error, in Go's letter case and without the number that Rust adds.
fn go_error(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::InvalidInput {
        // A NUL byte in an argument.
        return "invalid argument".to_owned();
    }
    let mut text = error.to_string();
    if let Some(code) = error.raw_os_error()
        && let Some(len) = text
            .strip_suffix(&format!(" (os error {code})"))
            .map(str::len)
    {
        text.truncate(len);
    }
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_in_go() {
        for (code, text) in [
            (2, "no such file or directory"),
            (8, "exec format error"),
            (13, "permission denied"),
            (20, "not a directory"),
        ] {
            assert_eq!(go_error(&io::Error::from_raw_os_error(code)), text);
        }
        assert_eq!(
            go_error(&io::ErrorKind::InvalidInput.into()),
            "invalid argument"
        );
    }
}
