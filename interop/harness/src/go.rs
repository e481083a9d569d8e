use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::program::{Program, find_in, run_within};
use crate::skip::Skip;

/// A cold build of every peer with all it imports takes well under a minute on two cores; a slow network may have to bring
/// the modules first.
const BUILD_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Where upstream's programs are; the interop module requires this one.
const UPSTREAM: &str = "golang.org/x/build/";

/// Where Go's own installer puts it, for shells whose `PATH` does not say so.
const USUAL_GO: &str = "/usr/local/go/bin";

/// Builds the Go programs under `interop/cmd/`, once in this process, and returns the one called `name`.
///
/// Several processes may ask at once: they take turns, and Go's build cache makes the later ones cheap.
///
/// # Errors
///
/// [`Skip`] when there is no Go, or it cannot get the modules that `interop/go.mod` names.
///
/// # Panics
///
/// When the peers do not compile, and when there is no `interop/cmd/NAME`.
pub fn peer(name: &str) -> Result<Program, Skip> {
    static BUILT: OnceLock<Result<PathBuf, Skip>> = OnceLock::new();
    let source = interop_dir().join("cmd").join(name);
    assert!(
        source.is_dir(),
        "no peer is called {name}: its folder {} does not exist",
        source.display()
    );
    let bin = BUILT.get_or_init(|| build("./cmd/...", "bin")).clone()?;
    Ok(Program::new(name, bin.join(name)))
}

/// Builds upstream's command `golang.org/x/build/cmd/NAME`, or `golang.org/x/build/NAME` if the name is a path, once in this process.
/// A path that begins with a host is another module's command: `example.org/module/cmd/NAME`.
///
/// `interop/go.mod` must list it as a `tool`, so that `go.sum` has all it needs.
///
/// # Errors
///
/// As [`peer`].
///
/// # Panics
///
/// When it does not compile, and when `go.mod` does not list it.
pub fn upstream(name: &str) -> Result<Program, Skip> {
    static BUILT: Mutex<BTreeMap<String, Result<PathBuf, Skip>>> = Mutex::new(BTreeMap::new());
    let package = match name.split_once('/') {
        Some((host, _)) if host.contains('.') => name.to_owned(),
        Some(_) => format!("{UPSTREAM}{name}"),
        None => format!("{UPSTREAM}cmd/{name}"),
    };
    let program = name.rsplit('/').next().unwrap_or(name);
    let modules = interop_dir().join("go.mod");
    let listed = fs::read_to_string(&modules)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", modules.display()));
    assert!(
        listed
            .lines()
            .any(|line| line.trim().trim_start_matches("tool ") == package),
        "{} has no line `tool {package}`: cd interop && go get -tool {package} && go mod tidy",
        modules.display()
    );
    // A test that panicked while it built has told why; the next one tries again.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let bin = built
        .entry(name.to_owned())
        .or_insert_with(|| build(&package, "upstream"))
        .clone()?;
    Ok(Program::new(program, bin.join(program)))
}

/// Finds the `go` command on `PATH`, or where Go's own installer puts it.
///
/// # Errors
///
/// [`Skip`], with what to install, when there is none.
pub fn go() -> Result<Program, Skip> {
    let path = env::var_os("PATH").unwrap_or_default();
    find_in(&path, "go")
        .or_else(|| find_in(USUAL_GO.as_ref(), "go"))
        .map(|file| Program::new("go", file))
        .ok_or_else(|| {
            let remedy = format!(
                "install the Go that {} asks for",
                interop_dir().join("go.mod").display()
            );
            Skip::new("go", "not on PATH", remedy)
        })
}

/// The folder of the Go module, `interop/` at the root of the repository.
#[must_use]
#[expect(
    clippy::missing_panics_doc,
    reason = "the path is fixed when this crate is compiled"
)]
pub fn interop_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the harness stands inside interop/")
}

/// The target directory that the running program was built into: where what tests make may stay.
///
/// A program that was copied elsewhere gets the workspace's usual one.
#[must_use]
#[expect(
    clippy::missing_panics_doc,
    reason = "the path is fixed when this crate is compiled"
)]
pub fn target_dir() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    let root = interop_dir()
        .parent()
        .expect("interop/ stands at the root of the repository");
    target_dir_of(&program).unwrap_or_else(|| root.join("target"))
}

/// The target directory around `program`.
///
/// Cargo locks the directory of each profile, `debug` or `release`, by a file in it. (Its `CACHEDIR.TAG` one floor above is
/// no sign: a target directory that was there before Cargo came has none.)
fn target_dir_of(program: &Path) -> Option<PathBuf> {
    let profile = program
        .ancestors()
        .find(|dir| dir.join(".cargo-lock").is_file())?;
    profile.parent().map(Path::to_path_buf)
}

/// Builds `packages` into the folder `into` and returns where that is.
fn build(packages: &str, into: &str) -> Result<PathBuf, Skip> {
    let go = go()?;
    let work = target_dir().join("interop");
    let bin = work.join(into);
    fs::create_dir_all(&bin)
        .unwrap_or_else(|error| panic!("cannot make {}: {error}", bin.display()));
    let lock_file = work.join("build.lock");
    // Other processes wait here; the lock ends with this value.
    let _turn = File::create(&lock_file)
        .and_then(|file| Ok(flock(&file, FlockOperation::LockExclusive).map(|()| file)?))
        .unwrap_or_else(|error| panic!("cannot lock {}: {error}", lock_file.display()));

    // Apart from the build, to tell "this machine cannot have them" from "they do not compile".
    let mut download = command(&go);
    download.args(["mod", "download"]);
    if let Err(why) = run(download) {
        let remedy = "give it a new enough Go and a module proxy or a filled module cache";
        return Err(Skip::new(
            "go",
            format!("`go mod download` in interop/ failed: {why}"),
            remedy,
        ));
    }

    let mut compile = command(&go);
    // Go finds out by itself that nothing changed, and replaces a program rather than write into it, so one that a test
    // beside us has started stays as it is. Version stamps would need a git checkout that git trusts.
    compile
        .args(["build", "-buildvcs=false", "-o"])
        .arg(&bin)
        .arg(packages);
    if let Err(why) = run(compile) {
        panic!("Go programs do not build; see `cd interop && go build {packages}`: {why}");
    }
    Ok(bin)
}

fn command(go: &Program) -> Command {
    let mut command = go.command();
    command.current_dir(interop_dir());
    command
}

fn run(command: Command) -> Result<(), String> {
    let output = run_within(BUILD_LIMIT, command, &[]).map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{peer_or_skip, tool_or_skip, upstream_or_skip};

    #[test]
    fn go_expands_what_go_compressed() {
        let Some(pargzip) = peer_or_skip("gopargzip") else {
            return;
        };
        let Some(gunzip) = peer_or_skip("gogunzip") else {
            return;
        };
        let input = b"ok  \tcmd/go\t4.2s\n".repeat(10_000);
        let gz = pargzip
            .filter(&["-chunk", "65536", "-p", "2"], &input)
            .unwrap();
        assert!(gz.status.success(), "{gz:?}");
        // Three chunks of 64 KiB, each a member of its own with Go's header.
        let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
        assert_eq!(
            gz.stdout
                .windows(10)
                .filter(|window| window == &header)
                .count(),
            3
        );
        let back = gunzip.filter(&[], &gz.stdout).unwrap();
        assert!(
            back.status.success() && back.stdout == input,
            "{:?}",
            back.status
        );
    }

    #[test]
    fn a_tool_expands_what_go_compressed() {
        let Some(pargzip) = peer_or_skip("gopargzip") else {
            return;
        };
        let Some(gunzip) = tool_or_skip("gunzip") else {
            return;
        };
        let gz = pargzip.filter(&[], b"hello").unwrap();
        assert_eq!(gunzip.filter(&["-c"], &gz.stdout).unwrap().stdout, b"hello");
    }

    #[test]
    fn go_says_why_it_refuses() {
        let Some(gunzip) = peer_or_skip("gogunzip") else {
            return;
        };
        let output = gunzip.filter(&[], b"this is not gzip").unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            output.stderr,
            b"gogunzip: read header: gzip: invalid header\n"
        );
    }

    #[test]
    #[should_panic(expected = "no peer is called gofrob")]
    fn an_unknown_peer_is_a_mistake() {
        let _ = peer("gofrob");
    }

    #[test]
    #[should_panic(expected = "has no line `tool golang.org/x/build/cmd/frob`")]
    fn a_command_that_the_module_does_not_list_is_a_mistake() {
        let _ = upstream("frob");
    }

    #[test]
    fn upstreams_buildlet_tells_its_version() {
        let Some(buildlet) = upstream_or_skip("buildlet") else {
            return;
        };
        let output = buildlet.filter(&["-version"], b"").unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with("buildlet version 29 ("), "{text}");
    }

    #[test]
    fn the_target_directory_holds_this_test() {
        let program = env::current_exe().unwrap();
        assert_eq!(target_dir_of(&program), Some(target_dir()));
        assert!(program.starts_with(target_dir()));
    }

    #[test]
    fn a_program_elsewhere_has_no_target_directory() {
        assert_eq!(target_dir_of(Path::new("/nonexistent/debug/deps/it")), None);
    }
}
