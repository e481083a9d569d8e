use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Writes a file: after a crash too it is the new one or what it was before. Beside it `NAME.new` is used meanwhile.
///
/// # Errors
///
/// Those of the file system.
pub fn replace_file(path: &Path, content: &str) -> io::Result<()> {
    replace(path, content, OpenOptions::new())
}

/// As [`replace_file`], for what nobody else may read.
///
/// # Errors
///
/// Those of the file system.
pub fn replace_private_file(path: &Path, content: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    replace(path, content, options)
}

fn replace(path: &Path, content: &str, mut options: OpenOptions) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    // What an interrupted call left may have other permissions.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file: File = options.write(true).create_new(true).open(&unfinished)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whatever_was_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.pem");
        fs::write(folder.path().join("a.pem.new"), "half").unwrap();
        replace_file(&file, "one").unwrap();
        replace_private_file(&file, "two").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_reads_what_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "before").unwrap();
        fs::write(folder.path().join("key.new"), "half").unwrap();
        replace_private_file(&file, "secret").unwrap();
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
