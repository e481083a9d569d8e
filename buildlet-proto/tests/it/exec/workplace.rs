//! Commands made of requests: what the vectors do not tell.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use buildlet_proto::exec::{Executor, SECRET_VARIABLES, Workplace, running_line};
use buildlet_proto::types::{ExecRequest, ProcessState};

use super::run;

fn workplace(dir: &Path, own: &[(&str, &str)]) -> Workplace {
    let own = own.iter().map(|(key, value)| (key.into(), value.into()));
    Workplace::new(dir, own)
}

fn variables(workplace: &Workplace, request: &ExecRequest) -> HashMap<OsString, OsString> {
    let command = workplace.command(request).unwrap();
    let split = |entry: &std::ffi::OsStr| {
        let (key, value) = entry.to_str().unwrap().split_once('=').unwrap();
        (key.into(), value.into())
    };
    command.environment().map(split).collect()
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn bootstrap_is_inherited_only_while_there_is_none_in_the_work_directory() {
    let request = ExecRequest::new("/bin/true");
    let bootstrap = |dir: &Path, own: &[(&str, &str)]| {
        let mut variables = variables(&workplace(dir, own), &request);
        variables
            .remove(std::ffi::OsStr::new("GOROOT_BOOTSTRAP"))
            .unwrap()
    };
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let here = dir.join("go1.4").into_os_string();
    let inherited = [("GOROOT_BOOTSTRAP", "/usr/lib/go")];
    assert_eq!(bootstrap(dir, &[]), here);
    assert_eq!(bootstrap(dir, &inherited), "/usr/lib/go");
    fs::create_dir(&here).unwrap();
    assert_eq!(bootstrap(dir, &inherited), here);
}

#[test]
fn bootstrap_is_decided_once() {
    let scratch = tempfile::tempdir().unwrap();
    let request = ExecRequest::new("/bin/true");
    let workplace = workplace(scratch.path(), &[("GOROOT_BOOTSTRAP", "/usr/lib/go")]);
    let before = variables(&workplace, &request);
    fs::create_dir(scratch.path().join("go1.4")).unwrap();
    assert_eq!(variables(&workplace, &request), before);
}

#[test]
fn secrets_are_not_inherited_and_may_be_requested() {
    let own = SECRET_VARIABLES.map(|name| (name, "secret"));
    let workplace = workplace(Path::new("/w"), &own);
    let request = ExecRequest::new("/bin/true").env("META_password=mine");
    let variables = variables(&workplace, &request);
    for name in SECRET_VARIABLES {
        let value = variables.get(std::ffi::OsStr::new(name));
        let expected = (name == "META_password").then(|| "mine".into());
        assert_eq!(value.cloned(), expected, "{name}");
    }
}

#[test]
fn relative_elements_of_the_path_find_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    script(&scratch.path().join("tool"), "#!/bin/sh\n");
    let relative = "../".repeat(20) + scratch.path().strip_prefix("/").unwrap().to_str().unwrap();
    let request = ExecRequest::new("tool").system_level(true);
    for path in [relative.as_str(), ".", ""] {
        let refusal = workplace(Path::new("/w"), &[("PATH", path)]).command(&request);
        assert_eq!(refusal.unwrap_err().status(), 422, "{path}");
    }
    let absolute = scratch.path().to_str().unwrap();
    let found = workplace(Path::new("/w"), &[("PATH", absolute)]).command(&request);
    assert_eq!(found.unwrap().program(), scratch.path().join("tool"));
}

#[tokio::test]
async fn bash_runs_its_scripts_on_android() {
    let scratch = tempfile::tempdir().unwrap();
    // The interpreter of its first line is not on such machines.
    script(
        &scratch.path().join("all.bash"),
        "#!/no/such/bash\necho \"$0\" \"$@\"\n",
    );
    let path = std::env::var("PATH").unwrap();
    let own = [("PATH", path.as_str())];
    let request = ExecRequest::new("./all.bash").args(["a", "b c"]);
    let linux = workplace(scratch.path(), &own).command(&request).unwrap();
    let (_, outcome) = run(&Executor::default(), linux).await;
    assert!(matches!(outcome.state, ProcessState::Other(_)));
    for os in ["android", "ios"] {
        let command = workplace(scratch.path(), &own)
            .os(os)
            .command(&request)
            .unwrap();
        assert!(command.program().ends_with("bash"));
        let (output, outcome) = run(&Executor::default(), command).await;
        assert_eq!(outcome.state, ProcessState::Success);
        assert_eq!(
            output,
            format!("{}/all.bash a b c\n", scratch.path().display())
        );
    }
}

#[tokio::test]
async fn the_time_limit_of_a_request_holds() {
    let request = ExecRequest::new("/bin/sleep")
        .args(["1000"])
        .timeout(Duration::from_millis(50));
    let command = workplace(Path::new("/"), &[]).command(&request).unwrap();
    let (_, outcome) = run(&Executor::default(), command).await;
    assert_eq!(outcome.state.to_string(), "signal: killed");
}

#[tokio::test]
async fn a_request_may_be_without_network() {
    let scratch = tempfile::tempdir().unwrap();
    let workplace = workplace(scratch.path(), &[]);
    let off = [
        "GO_DISABLE_OUTBOUND_NETWORK=1",
        "GO_DISABLE_OUTBOUND_NETWORK=true",
    ];
    let on = [
        "GO_DISABLE_OUTBOUND_NETWORK=0",
        "GO_DISABLE_OUTBOUND_NETWORK=",
        "X=1",
    ];
    let executor = Executor::default();
    for (variables, is_off) in [(&off[..], true), (&on[..], false)] {
        for variable in variables {
            let request = ExecRequest::new("/bin/true").env(variable);
            let command = workplace.command(&request).unwrap().require_isolation(true);
            // Here nothing can switch it off, so that is how to see that it was asked for.
            assert_eq!(executor.spawn(command).await.is_err(), is_off, "{variable}");
        }
    }
}

#[test]
fn the_running_line_is_one_line() {
    let request = ExecRequest::new("/bin/echo")
        .args(["a\nb", "\u{200b}"])
        .env("K=\"")
        .dir("/x y");
    let command = workplace(Path::new("/w"), &[]).command(&request).unwrap();
    let line = running_line(&command);
    assert!(
        line.starts_with(
            r#":: Running /bin/echo with args ["/bin/echo" "a\nb" "\u200b"] and env ["#
        )
    );
    assert!(line.contains(r#" "K=\"" "#));
    assert!(line.ends_with(" \"PWD=/x y\"] in dir /x y\n\n"));
    assert_eq!(line.lines().count(), 2);
}
