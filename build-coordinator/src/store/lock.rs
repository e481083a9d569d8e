use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::OpenStoreError;

/// Makes the SQLite file and its folder if they are not there, for the owner's eyes only, and locks it: the lock ends
/// with the returned file, also when the process is killed.
///
/// SQLite's own locks protect its pages; this one keeps two coordinators from working on the same builds.
pub(crate) fn lock(database: &Path) -> Result<File, OpenStoreError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenStoreError::File { path, source }
    };
    if let Some(dir) = database.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        make_dir(dir).map_err(failed(dir))?;
    }
    let path = lock_path(database);
    let file = private().open(&path).map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(OpenStoreError::InUse {
                what: database.display().to_string(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(OpenStoreError::File { path, source }),
    }
    // SQLite gives its other files the mode of this one.
    private().open(database).map_err(failed(database))?;
    Ok(file)
}

fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn make_dir(dir: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}
