//! Questions to a maintnerd, over the corpus that Go's was asked about.

use std::path::Path;
use std::process::Output;

use maintner::Corpus;
use maintner_api::Service;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use crate::support::{ended, maintq, rows};

/// A maintnerd's service until it is dropped.
struct Served {
    url: String,
    _runtime: Runtime,
}

impl Served {
    fn new() -> Self {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../maintner-api/tests/data");
        let corpus = Corpus::open(data.join("corpus")).unwrap();
        let service = Service::new(corpus.reader());
        let runtime = Runtime::new().unwrap();
        let listener = runtime
            .block_on(program::bind("127.0.0.1:0", "gRPC"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = move |request| {
            let mut api = service.clone().into_server();
            async move {
                api.call(request)
                    .await
                    .unwrap_or_else(|never| match never {})
            }
        };
        let stop = CancellationToken::new();
        runtime.spawn(program::serve_http(listener, None, stop, answer));
        Self {
            url,
            _runtime: runtime,
        }
    }

    fn ask(&self, args: &[&str]) -> Output {
        let mut command = maintq();
        command.args(args).args(["--server", &self.url]);
        command.args(["--format", "json"]).output().unwrap()
    }

    /// The cell of a single row.
    fn one(&self, args: &[&str], column: &str) -> Value {
        let rows = rows(&self.ask(args));
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows[0][column].clone()
    }
}

#[test]
fn a_maintnerd_is_asked_and_its_answers_are_rows() {
    let served = Served::new();
    let master = served.one(&["get-ref", "go", "refs/heads/master"], "commit");
    assert_eq!(master, "bfe8ee68fc7f026af401125420c6ebd40442eca0");
    let whole = ["get-ref", "go.googlesource.com/go", "refs/heads/master"];
    assert_eq!(served.one(&whole, "commit"), master);
    let master = master.as_str().unwrap();

    let page = rows(&served.ask(&["get-dashboard", "-n", "2", "-q"]));
    assert_eq!(page.len(), 2);
    assert_eq!(page[0]["commit"], master);
    assert!(page[0]["time"].is_string(), "{}", page[0]);
    let second = page[1]["commit"].as_str().unwrap();
    for (commit, ancestor, expected) in [(master, second, true), (second, master, false)] {
        let answer = served.one(&["has-ancestor", commit, ancestor], "has_ancestor");
        assert_eq!(answer, expected);
    }
    let heads = rows(&served.ask(&["get-dashboard", "--heads", "-q"]));
    assert!(
        heads.iter().any(|head| head["project"] == "go"),
        "{heads:?}"
    );
    let branches = rows(&served.ask(&["get-dashboard", "--branches", "-q"]));
    assert!(
        branches.iter().any(|row| row["branch"] == "master"),
        "{branches:?}"
    );

    let releases = rows(&served.ask(&["list-releases"]));
    assert_eq!(releases.len(), 2);
    for release in releases {
        let tag = release["tag"].as_str().unwrap();
        assert!(tag.starts_with("go1."), "{tag}");
    }
}

#[test]
fn that_there_are_more_commits_is_said_beside_them() {
    let served = Served::new();
    let (code, out, err) = ended(&served.ask(&["get-dashboard", "-n", "1"]));
    assert_eq!((code, out.lines().count()), (0, 1));
    assert!(err.contains("--page 1"), "{err}");
}

#[test]
fn what_the_server_refuses_or_does_not_know_is_an_error() {
    let served = Served::new();
    for (args, part) in [
        (&["get-ref", "go", "refs/heads/none"][..], "has no ref"),
        (
            &["get-ref", "nothing", "refs/heads/master"],
            "unknown gerrit project",
        ),
        (&["has-ancestor", "12", "34"], "invalid"),
        (
            &[
                "has-ancestor",
                "0000000000000000000000000000000000000000",
                "0000000000000000000000000000000000000000",
            ],
            "does not know the commit",
        ),
        (&["get-dashboard", "--branch", "none"], "unknown branch"),
        (&["try-work"], "the server answers: "),
    ] {
        let (code, out, err) = ended(&served.ask(args));
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}");
        assert!(err.contains(part), "{args:?}: {err}");
    }
    let output = maintq()
        .args(["list-releases", "--server", "http://127.0.0.1:9"])
        .output();
    let (code, _, err) = ended(&output.unwrap());
    assert!(code == 1 && err.contains("127.0.0.1:9"), "{err}");
    let output = maintq().args(["list-releases", "--log", "."]).output();
    let (code, _, err) = ended(&output.unwrap());
    assert!(code == 2 && err.contains("--log"), "{err}");
}
