//! Where a buildlet works if it is told nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::remove::remove_tree;
use crate::archive::FsError;
use crate::archive::sys;

/// Chooses the directory and makes it what it should be at the start.
pub(super) fn prepare(host_type: Option<&str>) -> Result<PathBuf, FsError> {
    #[cfg(target_os = "linux")]
    {
        let mounted = Path::new("/workdir");
        if tmpfs::is_usable(mounted) {
            return Ok(mounted.to_owned());
        }
    }
    if cfg!(windows) {
        let path = PathBuf::from(r"C:\workdir");
        return match std::fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(error) => Err(FsError::new("mkdir", path, error)),
        };
    }
    make_anew(&std::env::temp_dir(), host_type)
}

/// Removes and makes `workdir` or `workdir-TYPE` in `parent`.
fn make_anew(parent: &Path, host_type: Option<&str>) -> Result<PathBuf, FsError> {
    let name = OsString::from(match host_type {
        // A host type is a name; whatever it is, it must not lead elsewhere.
        Some(host_type) => format!("workdir-{}", host_type.replace(['/', '\\', '\0'], "_")),
        None => "workdir".to_owned(),
    });
    let path = parent.join(&name);
    let dir = Dir::open_ambient_dir(parent, ambient_authority())
        .map_err(|error| FsError::new("open", parent, error))?;
    remove_tree(&dir, &name, &path)?;
    // Fails if somebody else was faster, as anybody may be in a common folder.
    sys::make_dir(&dir, &name, 0o755).map_err(|error| FsError::new("mkdir", &path, error))?;
    Ok(path)
}

#[cfg(target_os = "linux")]
mod tmpfs {
    use std::path::Path;
    use std::process::{Command, Stdio};

    use rustix::fs::{StatVfsMountFlags, statfs, statvfs};

    /// `TMPFS_MAGIC` of Linux' `magic.h`.
    const TMPFS: i64 = 0x0102_1994;

    /// Whether `path` is a tmpfs where programs may run, by remounting it at the latest.
    pub(super) fn is_usable(path: &Path) -> bool {
        // The type of the field differs between processors.
        #[expect(clippy::unnecessary_cast, reason = "the field's type differs")]
        let is_tmpfs = statfs(path).is_ok_and(|stat| stat.f_type as i64 == TMPFS);
        is_tmpfs && (may_execute(path) || (remount(path) && may_execute(path)))
    }

    fn may_execute(path: &Path) -> bool {
        statvfs(path).is_ok_and(|stat| !stat.f_flag.contains(StatVfsMountFlags::NOEXEC))
    }

    fn remount(path: &Path) -> bool {
        let mount = Command::new("mount")
            .args(["-o", "remount,exec"])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        mount.is_ok_and(|status| status.success())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_directory_is_made_anew() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("workdir/old/deep")).unwrap();
        let path = make_anew(temp.path(), None).unwrap();
        assert_eq!(path, temp.path().join("workdir"));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        let typed = make_anew(temp.path(), Some("host-linux-x")).unwrap();
        assert_eq!(typed, temp.path().join("workdir-host-linux-x"));
    }

    #[test]
    fn a_host_type_leads_nowhere_else() {
        let temp = tempfile::tempdir().unwrap();
        let path = make_anew(temp.path(), Some("../../x")).unwrap();
        assert_eq!(path.parent(), Some(temp.path()));
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_link_is_removed_and_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("keep"), "").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), temp.path().join("workdir")).unwrap();
        let path = make_anew(temp.path(), None).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_dir());
        assert!(elsewhere.path().join("keep").exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_no_tmpfs_is_not_taken() {
        assert!(!tmpfs::is_usable(Path::new("/proc")));
        assert!(!tmpfs::is_usable(Path::new("/does/not/exist")));
    }
}
