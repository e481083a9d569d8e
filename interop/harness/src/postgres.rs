use std::env;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::program::find_in;
use crate::skip::Skip;

/// The environment variable that names a server to use in place of one that the tests start: a URL with a database in which
/// they may make schemas.
pub const POSTGRES_URL: &str = "TEST_POSTGRES_URL";

/// Where Debian has the server's programs, one folder a version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Making the files of a server takes a second or two where nothing else runs.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Runs the server until its standard input ends, which it does with the process that holds the other end, however that
/// ends; then removes its files. `$1` is their folder and `$2` the programs'.
const SCRIPT: &str = r#"
set -eu
trap '' HUP INT TERM
"$2/initdb" -D "$1/data" -U test -A trust -E UTF8 --locale=C -N >"$1/initdb.log" 2>&1
"$2/postgres" -D "$1/data" -k "$1" -c listen_addresses= -c fsync=off -c max_connections=200 >"$1/server.log" 2>&1 </dev/null &
server=$!
cat >/dev/null || true
kill -QUIT "$server" 2>/dev/null || true
wait "$server" || true
cd / && rm -rf "$1"
"#;

/// A PostgreSQL server for tests.
#[derive(Debug)]
pub struct Postgres {
    url: String,
    // Its standard input keeps the server running.
    _server: Option<Child>,
}

impl Postgres {
    /// The URL of a database in which tests may make schemas.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same, where names without a schema mean those of `schema`, a plain word.
    #[must_use]
    pub fn url_of_schema(&self, schema: &str) -> String {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{separator}options[search_path]={schema}", self.url)
    }
}

/// The server that [`POSTGRES_URL`] names, or a private one on a Unix socket in a temporary folder, started once in this process
/// and ended with it.
///
/// # Errors
///
/// [`Skip`] when there is no server program.
///
/// # Panics
///
/// When the server cannot be started.
pub fn postgres() -> Result<&'static Postgres, Skip> {
    static SERVER: OnceLock<Result<Postgres, Skip>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        if let Ok(url) = env::var(POSTGRES_URL) {
            return Ok(Postgres { url, _server: None });
        }
        let programs = programs().ok_or_else(|| {
            Skip::new(
                "postgres",
                format!("neither on PATH nor below {DEBIAN}"),
                format!("install it (Debian: apt-get install postgresql), or set {POSTGRES_URL}"),
            )
        })?;
        Ok(start(&programs).unwrap_or_else(|error| panic!("PostgreSQL does not start: {error}")))
    });
    server.as_ref().map_err(Clone::clone)
}

/// The folder with the server's programs, of the newest version.
fn programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = find_in(&path, "postgres").and_then(|file| fs::canonicalize(file).ok());
    let debian = || {
        let versions = fs::read_dir(DEBIAN).ok()?.filter_map(Result::ok);
        versions
            .map(|version| version.path().join("bin/postgres"))
            .filter(|file| file.is_file())
            .max_by_key(|file| {
                let version = file.iter().nth_back(2)?.to_str()?;
                version.parse::<u32>().ok()
            })
    };
    let dir = on_path.or_else(debian)?.parent()?.to_path_buf();
    dir.join("initdb").is_file().then_some(dir)
}

fn start(programs: &Path) -> io::Result<Postgres> {
    // Short, for the name of a socket has to fit 107 bytes.
    let dir = env::temp_dir().join(format!("postgres-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir)?;
    let mut command = Command::new("sh");
    command
        .args(["-c", SCRIPT, "postgres"])
        .arg(&dir)
        .arg(programs);
    command.current_dir(&dir);
    command.stdin(Stdio::piped());
    // Signals from the terminal are for the tests.
    command.process_group(0);
    if rustix::process::geteuid().is_root() {
        // The server refuses to run as root.
        let (user, group) = unprivileged()?;
        std::os::unix::fs::chown(&dir, Some(user), Some(group))?;
        command.uid(user).gid(group);
    }
    let mut server = command.spawn()?;
    let socket = dir.display();
    let url = format!("postgres://test@localhost/postgres?host={socket}");
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let ready = Command::new(programs.join("pg_isready"))
            .args(["-q", "-h"])
            .arg(&dir)
            .status()?;
        if ready.success() {
            return Ok(Postgres {
                url,
                _server: Some(server),
            });
        }
        if server.try_wait()?.is_some() || Instant::now() > deadline {
            drop(server.stdin.take());
            let log = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
            let said = format!("{}{}", log("initdb.log"), log("server.log"));
            return Err(io::Error::other(said));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// User and group of the account that Debian's package makes, or of `nobody`.
fn unprivileged() -> io::Result<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd")?;
    let find = |name: &str| {
        let mut fields = accounts
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields[0] == name)?
            .into_iter()
            .skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .ok_or_else(|| io::Error::other("there is no user to run it as"))
}
