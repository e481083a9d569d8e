//! What upstream's buildlet answered to `/exec`, without the HTTP around it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use buildlet_proto::exec::{Executor, Workplace, running_line};
use buildlet_proto::types::{ExecRequest, Form};

use crate::data::vectors;

#[derive(serde::Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    request: Request,
    response: Response,
}

#[derive(serde::Deserialize)]
struct Request {
    target: String,
    http: String,
    content_type: Option<String>,
    body: Body,
}

#[derive(serde::Deserialize)]
struct Response {
    status_line: String,
    #[serde(default)]
    trailers: Option<Vec<(String, String)>>,
    body: Body,
}

#[derive(serde::Deserialize)]
struct Body {
    text: String,
}

/// Files that the answers speak of.
fn furnish(workdir: &Path) {
    let script = |path: &str, mode: u32, text: &str| {
        let path = workdir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    script(
        "go/bin/hi",
        0o755,
        "#!/bin/sh\necho hi\necho err >&2\npwd\n",
    );
    script("go/silent", 0o755, "#!/bin/sh\n");
    script(
        "go/args",
        0o755,
        "#!/bin/sh\nfor a; do echo \"[$a]\"; done\n",
    );
    script("go/exit3", 0o755, "#!/bin/sh\nexit 3\n");
    script("go/kill", 0o755, "#!/bin/sh\nkill -KILL $$\n");
    script("go/segv", 0o755, "#!/bin/sh\nulimit -c 0\nkill -SEGV $$\n");
    script("go/term", 0o755, "#!/bin/sh\nkill -TERM $$\n");
    script("ls", 0o755, "#!/bin/sh\necho mine\n");
    script("noexec", 0o644, "#!/bin/sh\n");
    script("badinterp", 0o755, "#!/no/such/interpreter\n");
    script("garbage", 0o755, "\u{1}\u{2}garbage");
}

/// The form of a request that the server hands on; the others never get as far as a command.
fn form_of(request: &Request) -> Option<(Form, Form)> {
    let is_form = request.content_type.as_deref() == Some("application/x-www-form-urlencoded");
    let is_given_in_words = request.body.text.contains(" times ");
    if request.http != "1.1" || !is_form || is_given_in_words {
        return None;
    }
    let query = request
        .target
        .split_once('?')
        .map_or("", |(_, query)| query);
    let parse = |text: &str| Form::parse(text.as_bytes()).unwrap();
    Some((parse(query), parse(&request.body.text)))
}

/// The lines, without order where upstream shows an environment: there the standard library sorts, and leaves out entries without `=`.
fn comparable(text: &str, is_environment: bool) -> Vec<&str> {
    if !is_environment {
        return text.lines().collect();
    }
    let lines: BTreeSet<_> = text.lines().filter(|line| *line != "NOEQ").collect();
    lines.into_iter().collect()
}

#[tokio::test]
async fn commands_give_what_upstream_answered() {
    let scratch = tempfile::tempdir().unwrap();
    let workdir = scratch.path().canonicalize().unwrap();
    furnish(&workdir);
    let own = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("HOME", "/root"),
        ("USER", "root"),
        ("GOTRACEBACK", "none"),
    ];
    let own = own.map(|(key, value)| (key.into(), value.into()));
    let workplace = Workplace::new(&workdir, own);
    let executor = Executor::default();
    let mut compared = 0;
    for case in vectors::<Vectors>("exec").cases {
        let Some((query, body)) = form_of(&case.request) else {
            continue;
        };
        let request = ExecRequest::from_forms(&query, &body).unwrap();
        let (status, text, state) = match workplace.command(&request) {
            Err(refusal) => (refusal.status(), format!("{refusal}\n"), None),
            Ok(command) => {
                let first = request.is_debug().then(|| running_line(&command));
                let (output, outcome) = super::run(&executor, command).await;
                let text = first.unwrap_or_default() + &output;
                (200, text, Some(outcome.state.to_string()))
            }
        };
        let as_upstream = |text: String| text.replace(workdir.to_str().unwrap(), "/workdir");
        let expected = &case.response;
        let expected_state = expected.trailers.iter().flatten().next();
        let is_environment = request.cmd() == "env";
        assert_eq!(
            expected.status_line.split(' ').nth(1),
            Some(status.to_string().as_str()),
            "{}",
            case.name
        );
        assert_eq!(
            comparable(&as_upstream(text), is_environment),
            comparable(&expected.body.text, is_environment),
            "{}",
            case.name
        );
        assert_eq!(
            state.map(as_upstream).as_ref(),
            expected_state.map(|(_, value)| value),
            "{}",
            case.name
        );
        compared += 1;
    }
    assert!(compared >= 40, "only {compared} cases");
}
