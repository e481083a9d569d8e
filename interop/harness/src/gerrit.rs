use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::go::interop_dir;
use crate::program::{run_within, tool};
use crate::skip::Skip;

/// Its version, that of the files which `interop/gerrit/pom.xml` names.
const VERSION: &str = "3.10.0";

/// They are 90 MB, and Maven may have to bring its own parts first.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Ten seconds where nothing else runs, minutes where much does.
const START_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Another program can take the port between its choice and the server's start.
const PORTS_TO_TRY: usize = 5;

/// What Gerrit gives the first account of a site for development.
const USER: &str = "admin";
const PASSWORD: &str = "secret";

/// Runs the server until its standard input ends, which it does with the process that holds the other end, however that
/// ends; then removes its files. `$1` is their folder, `$2` the classpath and `$3` the Java program. Without compiling much, for a start
/// is what takes long, and without the log in which the HTTP server tells what it does with each byte.
const SCRIPT: &str = r#"
set -eu
trap '' HUP INT TERM
java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true \
  -Dorg.eclipse.jetty.util.log.class=org.eclipse.jetty.util.log.StdErrLog -Dorg.eclipse.jetty.LEVEL=WARN -cp "$2" "$3" "$1/site" >"$1/server.log" 2>&1 </dev/null &
server=$!
(while kill -0 "$server" 2>/dev/null; do sleep 1; done; : >"$1/ended") </dev/null &
cat >/dev/null || true
kill -KILL "$server" 2>/dev/null || true
wait || true
cd / && rm -rf "$1"
"#;

/// A Gerrit Code Review server for tests, with the administrator `admin` and no projects but its own two.
#[derive(Debug)]
pub struct Gerrit {
    url: String,
    dir: PathBuf,
    // Its standard input keeps the server running.
    _server: Child,
}

impl Gerrit {
    /// `http://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of the administrator.
    #[must_use]
    pub fn user(&self) -> &'static str {
        USER
    }

    /// The administrator's password, for REST as for git over HTTP.
    #[must_use]
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The address of a project for git, with the administrator's credentials.
    #[must_use]
    pub fn git_url(&self, project: &str) -> String {
        let rest = self.url.strip_prefix("http://").unwrap_or(&self.url);
        format!("http://{USER}:{PASSWORD}@{rest}/a/{project}")
    }

    /// The bare repository of a project.
    #[must_use]
    pub fn repository(&self, project: &str) -> PathBuf {
        self.dir.join("site/git").join(format!("{project}.git"))
    }

    /// What the server said so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("server.log")).unwrap_or_default()
    }
}

/// A private server on loopback, with its files in a temporary folder, started once in this process and ended with it.
///
/// # Errors
///
/// [`Skip`] when there is no Java compiler, or Maven cannot bring what the server consists of.
///
/// # Panics
///
/// When the server cannot be started.
pub fn gerrit() -> Result<&'static Gerrit, Skip> {
    static SERVER: OnceLock<Result<Gerrit, Skip>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        for program in ["java", "javac", "git"] {
            tool(program)?;
        }
        let jars = jars()?;
        Ok(start(&jars).unwrap_or_else(|error| panic!("Gerrit does not start: {error}")))
    });
    server.as_ref().map_err(Clone::clone)
}

/// The folder with the files that a server consists of, in the user's cache.
fn jars() -> Result<PathBuf, Skip> {
    let skip = |why: String| {
        Skip::new(
            "gerrit",
            why,
            "give Maven a repository that has what interop/gerrit/pom.xml names",
        )
    };
    let cache = cache_dir().ok_or_else(|| skip("there is no folder to keep it in".to_owned()))?;
    let jars = cache.join(format!("gerrit-{VERSION}"));
    let lock = fs::create_dir_all(&cache).and_then(|()| {
        let file = File::create(cache.join("gerrit.lock"))?;
        // Other processes wait here; the lock ends with this value.
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    });
    let _turn =
        lock.map_err(|error| skip(format!("cannot use the cache {}: {error}", cache.display())))?;
    if are_right(&jars).is_ok() {
        return Ok(jars);
    }
    let maven = tool("mvn")?;
    let mut bring = maven.command();
    let pom = interop_dir().join("gerrit/pom.xml");
    bring.args(["-q", "-B", "-f"]).arg(pom);
    bring.arg("dependency:copy-dependencies");
    bring.arg(format!("-DoutputDirectory={}", jars.display()));
    let said = run_within(DOWNLOAD_LIMIT, bring, &[]).map_err(|error| skip(error.to_string()))?;
    if !said.status.success() {
        let why = String::from_utf8_lossy(&said.stdout);
        return Err(skip(format!("Maven could not bring it: {}", why.trim())));
    }
    are_right(&jars).map_err(|why| skip(format!("Maven brought something else: {why}")))?;
    Ok(jars)
}

/// `build-system-kit` in the user's folder for caches, where `.ci/run` has its own.
fn cache_dir() -> Option<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
    };
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(caches.join("build-system-kit"))
}

/// Whether every file is there with the content that is pinned.
fn are_right(jars: &Path) -> Result<(), String> {
    let sums = interop_dir().join("gerrit/SHA256SUMS");
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--strict", "--quiet"]).arg(sums);
    if !jars.is_dir() {
        return Err(format!("there is no {}", jars.display()));
    }
    check.current_dir(jars);
    let said = run_within(DOWNLOAD_LIMIT, check, &[]).map_err(|error| error.to_string())?;
    if said.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    }
}

fn start(jars: &Path) -> io::Result<Gerrit> {
    let mut said = String::new();
    for number in 0..PORTS_TO_TRY {
        match start_on(free_port()?, number, jars)? {
            Ok(server) => return Ok(server),
            Err(log) if log.contains("Address already in use") => said = log,
            Err(log) => return Err(io::Error::other(log)),
        }
    }
    Err(io::Error::other(said))
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Starts it, or returns what it said before it ended.
fn start_on(port: u16, number: usize, jars: &Path) -> io::Result<Result<Gerrit, String>> {
    let dir = env::temp_dir().join(format!("gerrit-{}-{number}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(dir.join("site/etc"))?;
    let url = format!("http://127.0.0.1:{port}");
    fs::write(dir.join("site/etc/gerrit.config"), settings(&url))?;
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "gerrit"]).arg(&dir);
    command.arg(format!("{}/*", jars.display()));
    command.arg(interop_dir().join("gerrit/Launch.java"));
    // It reads git's settings, and the person's are none of its business.
    command.env("HOME", &dir).env("XDG_CONFIG_HOME", &dir);
    command.current_dir(&dir).stdin(Stdio::piped());
    // Signals from the terminal are for the tests.
    command.process_group(0);
    let mut server = command.spawn()?;
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let log = fs::read_to_string(dir.join("server.log")).unwrap_or_default();
        if log.contains("(dev) ready") {
            return Ok(Ok(Gerrit {
                url,
                dir,
                _server: server,
            }));
        }
        if dir.join("ended").exists() || Instant::now() > deadline {
            drop(server.stdin.take());
            server.wait()?;
            return Ok(Err(log));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// No mail, no ssh, and passwords of its own in place of anybody's directory of people.
fn settings(url: &str) -> String {
    let sections = [
        (
            "gerrit",
            vec![("basePath", "git"), ("canonicalWebUrl", url)],
        ),
        ("httpd", vec![("listenUrl", url), ("maxThreads", "16")]),
        ("sshd", vec![("listenAddress", "off")]),
        (
            "auth",
            vec![
                ("type", "DEVELOPMENT_BECOME_ANY_ACCOUNT"),
                ("gitBasicAuthPolicy", "HTTP"),
            ],
        ),
        ("sendemail", vec![("enable", "false")]),
        ("index", vec![("type", "lucene")]),
        (
            "experiments",
            vec![(
                "enabled",
                "GerritBackendFeature__allow_fix_suggestions_in_comments",
            )],
        ),
    ];
    let mut text = String::new();
    for (section, values) in sections {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "[{section}]");
        for (name, value) in values {
            let _ = writeln!(text, "\t{name} = {value}");
        }
    }
    text
}
