//! What `POST /connect-ssh` needs of the machine: a user's `authorized_keys`, and a connection to its SSH server.
//!
//! The service takes the connection over after its `101` and copies between the two. Neither function needs the feature
//! `ssh`: the server that answers may as well be the machine's own sshd.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Longest line that [`authorize`] adds, in bytes; an RSA key of 16,384 bits with a comment takes a quarter of it.
pub const MAX_KEY_LINE: usize = 16 << 10;

/// Longest user name that [`authorize`] takes, as in `useradd`(8), in bytes.
const MAX_USER: usize = 32;

/// Largest `authorized_keys` that is added to, in bytes. It is read whole, and every session may add a line.
#[cfg(unix)]
const MAX_FILE: u64 = 1 << 20;

/// How often [`connect`] tries, and how long it waits in between: what the Go buildlet does, since a server that was just
/// started takes a moment until it listens.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Limit of one try. On the loopback interface an answer comes at once, unless a firewall swallows the question.
const TRY_LIMIT: Duration = Duration::from_secs(2);

/// The port at which the Go buildlet looks for the machine's sshd: 2200 on Linux with amd64, where 22 is the container
/// host's, else 22.
#[must_use]
pub fn default_port() -> u16 {
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        2200
    } else {
        22
    }
}

/// Connects to the SSH server of this machine at `port`, with five tries a second apart.
///
/// # Errors
///
/// What the last try met; [`io::ErrorKind::TimedOut`] if that took longer than 2 s.
///
/// # Cancel safety
///
/// Cancel safe: dropping the future closes what it has begun.
pub async fn connect(port: u16) -> io::Result<TcpStream> {
    let mut tried = 1;
    loop {
        match connect_once(port).await {
            Ok(stream) => return Ok(stream),
            Err(error) if tried == TRIES => return Err(error),
            Err(_) => tried += 1,
        }
        sleep(PAUSE).await;
    }
}

/// Not by the name `localhost`, which asks the system's resolver, and that may ask others.
async fn connect_once(port: u16) -> io::Result<TcpStream> {
    let dial =
        async |address: SocketAddr| match timeout(TRY_LIMIT, TcpStream::connect(address)).await {
            Ok(result) => result,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer from {address}"),
            )),
        };
    match dial((Ipv4Addr::LOCALHOST, port).into()).await {
        Ok(stream) => Ok(stream),
        // The first refusal is the telling one: many machines have no IPv6 at all.
        Err(error) => dial((Ipv6Addr::LOCALHOST, port).into())
            .await
            .map_err(|_| error),
    }
}

/// Lets the owner of the key in `line` log in as `user`, by adding it to `~user/.ssh/authorized_keys`.
///
/// The home is `/root`, or else a folder of `/Users` (macOS), `/usr/home` (FreeBSD, if there) or `/home`. The folder `.ssh`
/// is made with mode 0700 and the file with 0600, both for the owner of the home, and a line that is there already is not
/// added again. No symbolic link is followed below the home. Blocks for a few file operations.
///
/// # Errors
///
/// [`AuthorizeError`]; nothing was changed, except that a folder or file may have been made.
pub fn authorize(user: &str, line: &str) -> Result<(), AuthorizeError> {
    authorize_in(&home_of(user)?, line)
}

/// [`authorize`] for the user whose home is `home`.
///
/// # Errors
///
/// As for [`authorize`].
pub fn authorize_in(home: &Path, line: &str) -> Result<(), AuthorizeError> {
    let line = check_line(line)?;
    add_line(home, line).map_err(|source| AuthorizeError::File {
        home: home.to_owned(),
        source,
    })
}

/// Why a key could not be added.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuthorizeError {
    /// The user's name is not of letters, digits, `-`, `_` and `.` alone, and so might name another folder.
    User(String),
    /// The text is not one line with a key in it, or longer than [`MAX_KEY_LINE`].
    Line,
    /// The file below this home could not be read or written.
    File {
        /// The user's home.
        home: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

impl fmt::Display for AuthorizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user name {user:?} is not acceptable"),
            Self::Line => f.write_str("not a line of an authorized_keys file"),
            Self::File { home, .. } => write!(
                f,
                "cannot add to .ssh/authorized_keys in {}",
                home.display()
            ),
        }
    }
}

impl std::error::Error for AuthorizeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::User(_) | Self::Line => None,
            Self::File { source, .. } => Some(source),
        }
    }
}

/// The table of the Go buildlet. The name comes from a peer, so it must be unable to climb out.
fn home_of(user: &str) -> Result<PathBuf, AuthorizeError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if user.is_empty()
        || user.len() > MAX_USER
        || user.starts_with(['.', '-'])
        || !user.chars().all(plain)
    {
        return Err(AuthorizeError::User(user.chars().take(MAX_USER).collect()));
    }
    if cfg!(target_os = "macos") {
        return Ok(Path::new("/Users").join(user));
    }
    if cfg!(target_os = "freebsd") {
        let home = Path::new("/usr/home").join(user);
        if home.exists() {
            return Ok(home);
        }
    }
    Ok(match user {
        "root" => PathBuf::from("/root"),
        _ => Path::new("/home").join(user),
    })
}

/// One line, so that nobody adds a second key behind the first, with a type and a key in base64 at least.
fn check_line(line: &str) -> Result<&str, AuthorizeError> {
    let line = line.trim_matches([' ', '\t', '\r', '\n']);
    let fields = line
        .split([' ', '\t'])
        .filter(|field| !field.is_empty())
        .count();
    let ok = line.len() <= MAX_KEY_LINE
        && fields >= 2
        && !line.starts_with('#')
        && !line.contains(|c: char| c.is_control() && c != '\t');
    if ok {
        Ok(line)
    } else {
        Err(AuthorizeError::Line)
    }
}

#[cfg(unix)]
fn add_line(home: &Path, line: &str) -> io::Result<()> {
    use std::fs::File;
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::MetadataExt as _;

    use rustix::fs::{Gid, Mode, OFlags, Uid, fchmod, fchown, mkdirat, open, openat};

    const FOLDER: OFlags = OFlags::DIRECTORY
        .union(OFlags::NOFOLLOW)
        .union(OFlags::CLOEXEC);
    let home = File::from(open(home, FOLDER, Mode::empty())?);
    let owner = home.metadata()?;
    // What root makes in a user's home must be the user's, or sshd, which reads as the user, cannot.
    let give = |file: &File| -> io::Result<()> {
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (owner.uid(), owner.gid()) {
            fchown(
                file,
                Some(Uid::from_raw(owner.uid())),
                Some(Gid::from_raw(owner.gid())),
            )?;
        }
        Ok(())
    };
    let ssh = match openat(&home, ".ssh", FOLDER, Mode::empty()) {
        Ok(ssh) => File::from(ssh),
        Err(rustix::io::Errno::NOENT) => {
            mkdirat(&home, ".ssh", Mode::RWXU)?;
            let ssh = File::from(openat(&home, ".ssh", FOLDER, Mode::empty())?);
            give(&ssh)?;
            ssh
        }
        Err(error) => return Err(error.into()),
    };
    // Not blocking, or a pipe of that name would wait for its other end.
    let flags = OFlags::RDWR
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    let mut file = File::from(openat(
        &ssh,
        "authorized_keys",
        flags,
        Mode::RUSR | Mode::WUSR,
    )?);
    let found = file.metadata()?;
    if !found.is_file() || found.nlink() != 1 || found.len() > MAX_FILE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "authorized_keys is no file, or has other names, or is very large",
        ));
    }
    if found.len() == 0 {
        give(&file)?;
    }
    // sshd refuses a file that others can write.
    fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    let mut content = Vec::new();
    (&file).take(MAX_FILE).read_to_end(&mut content)?;
    if content
        .split(|&byte| byte == b'\n')
        .any(|old| old.trim_ascii() == line.as_bytes())
    {
        return Ok(());
    }
    // In one write, for another session may be adding a line as well.
    let separator = if content.last().is_some_and(|&byte| byte != b'\n') {
        "\n"
    } else {
        ""
    };
    file.write_all(format!("{separator}{line}\n").as_bytes())
}

#[cfg(not(unix))]
fn add_line(_: &Path, _: &str) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system has no authorized_keys that its SSH server reads",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ gopher";

    #[test]
    fn a_user_name_cannot_leave_the_homes() {
        for bad in [
            "",
            ".",
            "..",
            "../etc",
            "a/b",
            "a\\b",
            "a b",
            "a\0",
            "-x",
            "ä",
            &"a".repeat(33),
        ] {
            assert!(
                matches!(home_of(bad), Err(AuthorizeError::User(_))),
                "{bad:?}"
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn homes_are_where_the_go_buildlet_looks() {
        assert_eq!(home_of("root").unwrap(), Path::new("/root"));
        assert_eq!(home_of("gopher").unwrap(), Path::new("/home/gopher"));
    }

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(check_line(&format!("{KEY}\n")).unwrap(), KEY);
        for bad in [
            "",
            "ssh-ed25519",
            "# a comment",
            &format!("{KEY}\n{KEY}"),
            &format!("{KEY}\0"),
            &format!("a {}", "b".repeat(MAX_KEY_LINE)),
        ] {
            assert!(
                matches!(check_line(bad), Err(AuthorizeError::Line)),
                "{bad:?}"
            );
        }
    }

    #[cfg(unix)]
    mod files {
        use std::fs;
        use std::os::unix::fs::{PermissionsExt as _, symlink};

        use super::*;

        fn mode(path: &Path) -> u32 {
            fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
        }

        #[test]
        fn a_key_is_added_once_with_modes_that_sshd_accepts() {
            let home = tempfile::tempdir().unwrap();
            let other = KEY.replace("gopher", "other");
            for line in [KEY, &other, KEY] {
                authorize_in(home.path(), line).unwrap();
            }
            let file = home.path().join(".ssh/authorized_keys");
            assert_eq!(
                fs::read_to_string(&file).unwrap(),
                format!("{KEY}\n{other}\n")
            );
            assert_eq!(
                (mode(&home.path().join(".ssh")), mode(&file)),
                (0o700, 0o600)
            );
        }

        #[test]
        fn a_file_without_a_last_newline_keeps_its_last_key() {
            let home = tempfile::tempdir().unwrap();
            fs::create_dir(home.path().join(".ssh")).unwrap();
            let file = home.path().join(".ssh/authorized_keys");
            fs::write(&file, "ssh-ed25519 old").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
            authorize_in(home.path(), KEY).unwrap();
            assert_eq!(
                fs::read_to_string(&file).unwrap(),
                format!("ssh-ed25519 old\n{KEY}\n")
            );
            assert_eq!(mode(&file), 0o600);
        }

        #[test]
        fn links_in_a_home_are_not_followed() {
            let (home, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            symlink(outside.path(), home.path().join(".ssh")).unwrap();
            assert!(authorize_in(home.path(), KEY).is_err());
            assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);

            fs::remove_file(home.path().join(".ssh")).unwrap();
            fs::create_dir(home.path().join(".ssh")).unwrap();
            let target = outside.path().join("file");
            symlink(&target, home.path().join(".ssh/authorized_keys")).unwrap();
            assert!(authorize_in(home.path(), KEY).is_err());
            assert!(!target.exists());
        }

        #[test]
        fn no_home_is_made_for_a_user_who_has_none() {
            let parent = tempfile::tempdir().unwrap();
            let error = authorize_in(&parent.path().join("nobody"), KEY).unwrap_err();
            assert!(matches!(error, AuthorizeError::File { .. }), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connecting_is_tried_five_times_a_second_apart() {
        // Bound and not listened on any more: nobody answers there.
        let closed = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let began = tokio::time::Instant::now();
        connect(closed).await.unwrap_err();
        assert_eq!(began.elapsed().as_secs(), 4);
    }

    #[tokio::test]
    async fn a_server_that_listens_is_reached() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        connect(listener.local_addr().unwrap().port())
            .await
            .unwrap();
    }
}
