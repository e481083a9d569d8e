use async_trait::async_trait;
use tokio::time::timeout_at;

use super::{
    Archive, AttachError, BoxIo, BrokenReason, CallError, Content, Exec, ExecError, Listing,
    Outcome, Running,
};
use crate::types::ext::{ArchiveFormat, Extension, KeptName, ResumeKey};
use crate::types::{ExecRequest, FileMode, ListRequest, Status};

/// A buildlet, as a coordinator sees it.
///
/// Object safe, and every argument and result can be made by hand, so that programs can mock it, for instance with mockall's
/// `mock!`. Paths are relative to the buildlet's work directory, with `/` for separator.
#[async_trait]
pub trait BuildletClient: Send + Sync {
    /// What it is called in logs.
    fn name(&self) -> &str;

    /// Starts a command, and returns when the buildlet says that it does. Its output is then read from [`Running`].
    ///
    /// A [`timeout`](ExecRequest::timeout) is enforced by the buildlet if it can, else by closing the connection. Isolation or
    /// network rules that the buildlet does not know are an error: they would silently not hold.
    async fn start(&self, request: ExecRequest) -> Result<Running, ExecError>;

    /// Runs a command to its end.
    ///
    /// Dropping the future closes the connection, so that the buildlet kills the command.
    async fn exec(&self, exec: Exec) -> Result<Outcome, ExecError> {
        let (deadline, sink, hook) = (exec.deadline, exec.output, exec.on_started);
        let starting = self.start(exec.request);
        let mut running = match deadline {
            None => starting.await?,
            Some(at) => match timeout_at(at, starting).await {
                Ok(started) => started?,
                Err(_) => {
                    self.mark_broken(BrokenReason::ExecTimedOut);
                    return Err(ExecError::TimedOut);
                }
            },
        };
        if let Some(hook) = hook {
            hook();
        }
        if let Some(at) = deadline {
            running.set_deadline(at);
        }
        match sink {
            None => running.wait().await,
            Some(mut sink) => running.copy_to(&mut sink).await,
        }
    }

    /// Comes back to a [resumable](ExecRequest::resumable) command, whose first `offset` bytes of output are here already. What comes is the
    /// output from there on, and the end. If somebody reads it, they are cut off.
    ///
    /// What does not speak to a buildlet of this crate has [`CallError::Unsupported`], as is the default.
    ///
    /// # Errors
    ///
    /// [`AttachError`].
    async fn attach(
        &self,
        key: &ResumeKey,
        part: u32,
        offset: u64,
    ) -> Result<Running, AttachError> {
        let _ = (key, part, offset);
        Err(AttachError::Call(CallError::Unsupported(Extension::Resume)))
    }

    /// Kills resumable commands and all that they started, and returns when they are dead; without names all that the buildlet
    /// [keeps](Status::kept). Those that are not there are no error. The default is [`CallError::Unsupported`].
    async fn abandon(&self, names: &[KeptName]) -> Result<(), CallError> {
        let _ = names;
        Err(CallError::Unsupported(Extension::Resume))
    }

    /// Writes a file. Directories on the way are made; a file that is there is replaced, mode included.
    async fn put(&self, content: Content, path: &str, mode: FileMode) -> Result<(), CallError>;

    /// Unpacks an archive into `dir`, which is made if needed; empty for the work directory.
    ///
    /// If it fails half-way, what was unpacked stays.
    async fn put_tar(&self, archive: Archive, dir: &str) -> Result<(), CallError>;

    /// Has the buildlet fetch a `.tar.gz` and unpack it into `dir`.
    async fn put_tar_from_url(&self, url: &str, dir: &str) -> Result<(), CallError>;

    /// Packs `dir`; empty or `.` for the work directory. It comes as `preferred` if the buildlet can, else as `.tar.gz`.
    async fn get_tar(&self, dir: &str, preferred: ArchiveFormat) -> Result<Archive, CallError>;

    /// Lists a directory.
    async fn list_dir(&self, request: ListRequest) -> Result<Listing, CallError>;

    /// Removes files and directories with all that is in them; `.` empties the work directory. What is not there is no error,
    /// and no paths are no request.
    async fn remove_all(&self, paths: &[String]) -> Result<(), CallError>;

    /// Version and extensions.
    async fn status(&self) -> Result<Status, CallError>;

    /// Whether the buildlet offers an extension. It is asked once.
    async fn supports(&self, extension: Extension) -> Result<bool, CallError>;

    /// The absolute path of the work directory.
    async fn work_dir(&self) -> Result<String, CallError>;

    /// A connection to an SSH server on the buildlet's machine, where `authorized_key`, a line as in `authorized_keys`, lets `user`
    /// in.
    async fn connect_ssh(&self, user: &str, authorized_key: &str) -> Result<BoxIo, CallError>;

    /// A connection to a port of the buildlet's machine, by a coordinator in between.
    async fn proxy_tcp(&self, port: u16) -> Result<BoxIo, CallError>;

    /// Why the buildlet should not be used any more, if so: the first reason there was. Its calls still work, unless it is dead.
    fn broken(&self) -> Option<BrokenReason>;

    /// Says that the buildlet should not be used any more.
    fn mark_broken(&self, reason: BrokenReason);

    /// Tells the buildlet to halt, with its machine if it was started so, and ends the client: what runs fails. Returns after two
    /// seconds at most; later calls do nothing.
    async fn close(&self);
}
