use std::path::PathBuf;
use std::time::Duration;

/// How `git` is run, and what it may take.
#[derive(Clone, Debug)]
pub struct GitConfig {
    pub(crate) program: PathBuf,
    pub(crate) fetch_limit: Duration,
    pub(crate) command_limit: Duration,
    pub(crate) max_pack: u64,
    pub(crate) max_archive: u64,
    pub(crate) max_archives: u64,
    pub(crate) user_config: bool,
}

impl Default for GitConfig {
    fn default() -> Self {
        Self {
            program: "git".into(),
            fetch_limit: Duration::from_secs(15 * 60),
            command_limit: Duration::from_secs(5 * 60),
            max_pack: 16 << 30,
            max_archive: 4 << 30,
            max_archives: 2 << 30,
            user_config: false,
        }
    }
}

impl GitConfig {
    /// The program; `git` on `PATH` by default.
    #[must_use]
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = path.into();
        self
    }

    /// How long a fetch may take; 15 minutes by default.
    #[must_use]
    pub fn fetch_limit(mut self, time: Duration) -> Self {
        self.fetch_limit = time;
        self
    }

    /// How long any other command may take; 5 minutes by default.
    #[must_use]
    pub fn command_limit(mut self, time: Duration) -> Self {
        self.command_limit = time;
        self
    }

    /// Bytes that a fetch may write to one file; 16 GiB by default. Enforced on Linux.
    #[must_use]
    pub fn max_pack(mut self, bytes: u64) -> Self {
        self.max_pack = bytes;
        self
    }

    /// Bytes that the files of a revision may have together, uncompressed; 4 GiB by default.
    #[must_use]
    pub fn max_archive(mut self, bytes: u64) -> Self {
        self.max_archive = bytes;
        self
    }

    /// Bytes of compressed archives that are kept of each repository; 2 GiB by default. The newest one is always kept.
    #[must_use]
    pub fn max_archives(mut self, bytes: u64) -> Self {
        self.max_archives = bytes;
        self
    }

    /// Whether the configuration of the user who runs the coordinator holds: for credential helpers and `insteadOf`. It can
    /// name programs to run. No by default.
    #[must_use]
    pub fn user_config(mut self, read: bool) -> Self {
        self.user_config = read;
        self
    }
}
