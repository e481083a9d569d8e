use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// How an [`Executor`](super::Executor) starts supervisors, the parent processes of its commands. For Linux.
///
/// A supervisor adopts every descendant that loses its parent, so no process of a command can get away by becoming a daemon; if the
/// program itself is killed, its supervisors end all commands; and they apply isolation. Without a launcher commands are children of the
/// program itself. Then isolation is not to be had, and what left its process group, gave up the output and lost its parent is not
/// found.
///
/// A supervisor is this same program, started again. It must ask at the beginning of `main`, before threads are started:
///
/// ```no_run
/// # use std::process::ExitCode;
/// use buildlet_proto::exec::{self, Config, Executor, Launcher};
/// fn main() -> ExitCode {
///     if let Some(code) = exec::supervise_if_asked() {
///         return code;
///     }
///     let executor = Executor::new(Config::default().launcher(Launcher::this_program()));
///     // ...
/// #   let _ = executor;
///     ExitCode::SUCCESS
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launcher {
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
}

/// The only argument of a supervisor.
const SUPERVISE: &str = "--supervise-commands";

impl Launcher {
    /// This program, which calls [`supervise_if_asked`]. It is the file that is running even if another has taken its place since.
    #[must_use]
    pub fn this_program() -> Self {
        Self::new("/proc/self/exe", [SUPERVISE])
    }

    /// A program that calls [`supervise`] when started with these arguments.
    #[must_use]
    pub fn new(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
        }
    }
}

/// Supervises commands if this program was started by [`Launcher::this_program`], and returns when there is nothing more to do: `main` then
/// returns the exit code. Else returns `None` at once.
#[must_use]
pub fn supervise_if_asked() -> Option<ExitCode> {
    let mut args = env::args_os().skip(1);
    let asked = args.next().is_some_and(|arg| arg == SUPERVISE) && args.next().is_none();
    asked.then(supervise)
}

/// Supervises commands for the program at the other end of standard input, until that is gone. Explains itself on standard error if
/// that is no such program.
#[must_use]
pub fn supervise() -> ExitCode {
    #[cfg(target_os = "linux")]
    let served = super::supervisor::serve();
    #[cfg(not(target_os = "linux"))]
    let served: std::io::Result<()> = Err(std::io::ErrorKind::Unsupported.into());
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("supervisor of commands, to be started by a buildlet alone: {error}");
            ExitCode::from(2)
        }
    }
}
