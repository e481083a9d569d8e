use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use wait_timeout::ChildExt as _;

use crate::skip::Skip;

/// How long [`Program::filter`] lets a program run. Test inputs take a few seconds on the slowest machine; what takes a
/// minute hangs, and a test run should say so before a person wonders.
pub const FILTER_LIMIT: Duration = Duration::from_secs(60);

/// A program that can be started: a peer built from Go, or a tool of the machine.
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    path: PathBuf,
}

impl Program {
    pub(crate) fn new(name: &str, path: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            path,
        }
    }

    /// The name it was asked for by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The executable file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that starts it, for callers who hold its streams themselves.
    #[must_use]
    pub fn command(&self) -> Command {
        Command::new(&self.path)
    }

    /// Runs it with `args`, feeds it `input` and collects what it prints, all at once, for at most [`FILTER_LIMIT`].
    ///
    /// A program that ends without reading all of `input` is no error here: its status tells.
    ///
    /// # Errors
    ///
    /// When it cannot be started or its streams fail; [`io::ErrorKind::TimedOut`] after it was killed for running too long.
    pub fn filter(&self, args: &[&str], input: &[u8]) -> io::Result<Output> {
        self.filter_within(FILTER_LIMIT, args, input)
    }

    /// [`filter`](Self::filter) with a limit of the caller's.
    ///
    /// # Errors
    ///
    /// As for [`filter`](Self::filter).
    pub fn filter_within(
        &self,
        limit: Duration,
        args: &[&str],
        input: &[u8],
    ) -> io::Result<Output> {
        let mut command = self.command();
        command.args(args);
        run_within(limit, command, input)
    }
}

/// Finds a program of the machine on `PATH`.
///
/// # Errors
///
/// [`Skip`], with what to install, when there is none of this name.
pub fn tool(name: &str) -> Result<Program, Skip> {
    let path = env::var_os("PATH").unwrap_or_default();
    match find_in(&path, name) {
        Some(path) => Ok(Program::new(name, path)),
        None => {
            let remedy = match name {
                "duckdb" => "install it (pip install duckdb-cli)".to_owned(),
                _ => {
                    let package = debian_package(name);
                    format!("install it (Debian: apt-get install {package})")
                }
            };
            Err(Skip::new(name, "not on PATH", remedy))
        }
    }
}

/// The first executable file called `name` in the directories of `path`, a list as in the variable `PATH`.
pub(crate) fn find_in(path: &OsStr, name: &str) -> Option<PathBuf> {
    env::split_paths(path)
        .map(|dir| dir.join(name))
        .find(|file| {
            fs::metadata(file)
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
}

/// Where Debian's package is not named like the program.
fn debian_package(program: &str) -> &str {
    match program {
        "gunzip" | "zcat" => "gzip",
        "cc" => "gcc",
        "ip" | "tc" => "iproute2",
        "java" | "javac" => "default-jdk-headless",
        "mvn" => "maven",
        "scp" | "sftp" | "ssh" | "ssh-keygen" => "openssh-client",
        other => other,
    }
}

/// Runs `command` with `input` on its standard input, for at most `limit`, and kills it with all it started after that.
pub(crate) fn run_within(
    limit: Duration,
    mut command: Command,
    input: &[u8],
) -> io::Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    // A group of its own, so that a kill reaches what it started too: those hold the pipes read below.
    let mut child = command
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| {
            io::Error::new(source.kind(), format!("cannot start {name}: {source}"))
        })?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let fed = scope.spawn(|| feed(stdin, input));
        let stdout = scope.spawn(|| read_all(stdout));
        let stderr = scope.spawn(|| read_all(stderr));
        let status = match child.wait_timeout(limit)? {
            Some(status) => Some(status),
            None => {
                kill_group(&child)?;
                child.wait()?;
                None
            }
        };
        let (fed, stdout, stderr) = (join(fed), join(stdout), join(stderr));
        let Some(status) = status else {
            let seconds = limit.as_secs_f32();
            let message = format!("{name} ran longer than {seconds} s and was killed");
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        };
        fed?;
        Ok(Output {
            status,
            stdout: stdout?,
            stderr: stderr?,
        })
    })
}

fn feed(stdin: Option<impl Write>, input: &[u8]) -> io::Result<()> {
    let mut stdin = stdin.expect("the command was started with a pipe");
    match stdin.write_all(input) {
        // The program ended before it had read everything, as one does that refuses its input.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn read_all(stream: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream
        .expect("the command was started with a pipe")
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn kill_group(child: &Child) -> io::Result<()> {
    // The group has its first process's id, which stays taken until that process is waited for.
    Ok(kill_process_group(Pid::from_child(child), Signal::KILL)?)
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sh` is on every machine that these tests can run on.
    fn sh() -> Program {
        tool("sh").expect("a Unix machine has sh")
    }

    #[test]
    fn a_filter_is_fed_and_read_at_the_same_time() {
        // Far more than a pipe holds, so feeding first and reading later would wait for ever.
        let input: Vec<u8> = (0..4_u32 << 20).map(|i| (i / 7) as u8).collect();
        let output = sh()
            .filter(&["-c", "cat; echo done >&2; exit 3"], &input)
            .unwrap();
        assert!(
            output.stdout == input,
            "{} bytes of {} came back",
            output.stdout.len(),
            input.len()
        );
        assert_eq!(output.stderr, b"done\n");
        assert_eq!(output.status.code(), Some(3));
    }

    #[test]
    fn a_filter_need_not_read_its_input() {
        let output = sh().filter(&["-c", "exit 0"], &vec![0; 1 << 20]).unwrap();
        assert!(output.status.success());
    }

    #[test]
    fn what_runs_too_long_is_killed_with_its_children() {
        // The background child would hold the output pipes for ten minutes.
        let limit = Duration::from_millis(200);
        let error = sh()
            .filter_within(limit, &["-c", "sleep 600 & sleep 600"], b"")
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(
            error
                .to_string()
                .ends_with("sh ran longer than 0.2 s and was killed"),
            "{error}"
        );
    }

    #[test]
    fn a_program_that_does_not_start_is_named() {
        let nowhere = Program::new("nothing", PathBuf::from("/nonexistent/nothing"));
        let error = nowhere.filter(&[], b"").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(
            error
                .to_string()
                .starts_with("cannot start /nonexistent/nothing: "),
            "{error}"
        );
    }

    #[test]
    fn a_missing_tool_says_what_to_install() {
        let skip = tool("no-such-program-here").unwrap_err();
        assert_eq!(skip.program(), "no-such-program-here");
        assert!(
            skip.to_string()
                .contains("apt-get install no-such-program-here"),
            "{skip}"
        );
    }

    #[test]
    fn only_executable_files_are_found() {
        let dir = env::current_exe().unwrap().with_extension("find");
        fs::create_dir_all(dir.join("folder")).unwrap();
        for (name, mode) in [("data", 0o644), ("prog", 0o755)] {
            fs::write(dir.join(name), "").unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(find_in(dir.as_os_str(), "data"), None);
        assert_eq!(find_in(dir.as_os_str(), "folder"), None);
        assert_eq!(find_in(dir.as_os_str(), "prog"), Some(dir.join("prog")));
        fs::remove_dir_all(&dir).unwrap();
    }
}
