use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::identity::ProcessIdentity;

/// The folder of a pool, which no other has at the same time.
#[derive(Debug)]
pub(super) struct StateFolder {
    path: PathBuf,
    /// Locked as long as it is open. The system lets go of it whatever ends the process.
    _lock: File,
}

/// The folder of one process.
#[derive(Clone, Debug)]
pub(super) struct InstanceFolder {
    path: PathBuf,
}

/// Why a state folder cannot be had.
#[derive(Debug)]
pub(super) enum OpenError {
    Io(io::Error),
    InUse,
}

const LOCK: &str = "lock";
/// Folders of processes begin so; nothing else in the folder is touched.
const PREFIX: &str = "buildlet-";
/// So much of what a buildlet logged last is told when it fails.
const TAIL: u64 = 2 << 10;

impl StateFolder {
    /// Makes the folder if needed, and takes it. Blocks.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        private().recursive(true).create(path)?;
        let path = fs::canonicalize(path)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let lock = options.open(path.join(LOCK))?;
        if !take(&lock)? {
            return Err(OpenError::InUse);
        }
        Ok(Self { path, _lock: lock })
    }

    /// Ends processes that an earlier pool left behind, and removes their folders. How many there were. Blocks.
    pub(super) fn sweep(&self, limit: Duration) -> io::Result<usize> {
        let mut swept = 0;
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
            if is_ours && entry.file_type()?.is_dir() {
                let folder = InstanceFolder { path: entry.path() };
                if let Some(process) = ProcessIdentity::read(&folder.pid_file()) {
                    process.end(limit);
                }
                folder.remove()?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Makes a folder for a process. Blocks.
    pub(super) fn new_instance(&self, host_name: &str) -> io::Result<InstanceFolder> {
        let random = getrandom::u64()?;
        let path = self.path.join(format!("{PREFIX}{host_name}-{random:016x}"));
        private().create(&path)?;
        let folder = InstanceFolder { path };
        private().create(folder.work_dir())?;
        Ok(folder)
    }
}

impl InstanceFolder {
    pub(super) fn work_dir(&self) -> PathBuf {
        self.path.join("work")
    }

    pub(super) fn key_file(&self) -> PathBuf {
        self.path.join("key")
    }

    pub(super) fn pid_file(&self) -> PathBuf {
        self.path.join("pid")
    }

    fn log_file(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Writes what nobody else may read.
    pub(super) fn write_key(&self, key: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(self.key_file())?.write_all(key.as_bytes())
    }

    /// Where the process is to log.
    pub(super) fn create_log(&self) -> io::Result<File> {
        File::create(self.log_file())
    }

    /// The last lines that the process logged.
    pub(super) fn log_tail(&self) -> String {
        let read = || {
            let mut file = File::open(self.log_file())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
            let mut tail = Vec::new();
            file.take(TAIL).read_to_end(&mut tail)?;
            io::Result::Ok(String::from_utf8_lossy(&tail).trim().to_owned())
        };
        read().unwrap_or_default()
    }

    /// Removes the folder with all that a build left in it. Blocks.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.path) {
            // A build may leave folders that not even their owner may write to, as Go's module cache.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                make_writable(&self.path)?;
                fs::remove_dir_all(&self.path)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn private() -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Locks the file, if nobody else has.
#[cfg(unix)]
fn take(lock: &File) -> io::Result<bool> {
    match rustix::fs::flock(lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Elsewhere who runs two pools in one folder is not noticed.
#[cfg(not(unix))]
fn take(_: &File) -> io::Result<bool> {
    Ok(true)
}

/// Lets the owner change every folder below `path`. Links are not followed.
#[cfg(unix)]
fn make_writable(path: &Path) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    // Opened first, so that what is changed is the folder and not what a link in its place leads to.
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(folder) => rustix::fs::fchmod(&folder, Mode::RWXU)?,
        // Its owner may not even look into it. Nobody is left here who could put a link in its place.
        Err(rustix::io::Errno::ACCESS) => rustix::fs::chmodat(
            rustix::fs::CWD,
            path,
            Mode::RWXU,
            rustix::fs::AtFlags::empty(),
        )?,
        Err(error) => return Err(error.into()),
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_writable(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_for_one_pool_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let first = StateFolder::open(&path).unwrap();
        assert!(matches!(StateFolder::open(&path), Err(OpenError::InUse)));
        drop(first);
        StateFolder::open(&path).unwrap();
    }

    #[test]
    fn what_an_earlier_pool_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let instance = state.new_instance("local-1").unwrap();
        instance.write_key("secret").unwrap();
        fs::write(folder.path().join("notes"), "mine").unwrap();
        fs::create_dir(folder.path().join("work")).unwrap();
        assert_eq!(state.sweep(Duration::ZERO).unwrap(), 1);
        assert!(!instance.path.exists());
        assert!(folder.path().join("notes").exists() && folder.path().join("work").exists());
    }

    #[cfg(unix)]
    #[test]
    fn folders_that_nobody_may_write_to_are_removed_and_links_are_not_followed() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "mine").unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o500)).unwrap();
        let state = StateFolder::open(&folder.path().join("state")).unwrap();
        let instance = state.new_instance("local-1").unwrap();
        let module = instance.work_dir().join("mod/x");
        fs::create_dir_all(&module).unwrap();
        fs::write(module.join("x.go"), "package x").unwrap();
        symlink(&outside, module.join("link")).unwrap();
        for mode in [0o500, 0o000] {
            fs::create_dir_all(&module).unwrap();
            fs::set_permissions(&module, fs::Permissions::from_mode(mode)).unwrap();
            make_writable(&instance.path).unwrap();
            let mode = fs::metadata(&module).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        instance.remove().unwrap();
        assert!(!instance.path.exists());
        let mode = fs::metadata(&outside).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o500, "a link is removed, not followed");
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o700)).unwrap();
    }
}
