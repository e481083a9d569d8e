//! What upstream's client sends and reports for a reply, and ours.

use std::error::Error as _;

use buildlet_proto::client::{
    Archive, BuildletClient, CallError, Content, Exec, ExecError, HttpClient,
};
use buildlet_proto::types::ext::ArchiveFormat;
use buildlet_proto::types::{DirEntry, ExecRequest, FileMode, GoQuoted, ListRequest};
use serde::Deserialize;

use super::script::{Script, Then};
use crate::data::vectors;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    broken_after: bool,
    name: String,
    reply: String,
    requests: Option<Vec<String>>,
    result: String,
}

#[tokio::test]
async fn the_client_sends_and_reports_what_upstreams_does() {
    let vectors: Vectors = vectors("client");
    assert!(vectors.cases.len() > 20);
    for case in vectors.cases {
        let script = Script::always(case.reply.clone(), Then::Close);
        let client = script.quiet_client();
        let result = call(&client, &case.name).await;
        assert_eq!(result, case.result, "{}", case.name);
        let expected: Vec<_> = case.requests.iter().flatten().map(|r| ours(r)).collect();
        assert_eq!(script.requests(), expected, "{}", case.name);
        assert_eq!(
            client.broken().is_some(),
            case.broken_after,
            "{}",
            case.name
        );
    }
}

/// Upstream's request with our reasons to differ.
fn ours(request: &str) -> String {
    let agent = concat!("User-Agent: buildlet-proto/", env!("CARGO_PKG_VERSION"));
    request
        .replace("User-Agent: Go-http-client/1.1", agent)
        // Archives must not be compressed twice, and nothing else is worth it.
        .replace("Accept-Encoding: gzip\r\n", "")
        // Upstream leaves it empty here, which RFC 9112 has for requests without authority.
        .replace("Host: \r\n", "Host: HOST:PORT\r\n")
        // Buildlets of 2024 and later refuse the empty directory.
        .replace("/tgz?dir= ", "/tgz?dir=. ")
}

/// Makes the call of a case and tells the result in upstream's words.
async fn call(client: &HttpClient, name: &str) -> String {
    match name {
        "exec: all options, non-nil empty path" => {
            let request = ExecRequest::new("bash")
                .args(["-c", "echo $X; exit"])
                .dir("a b")
                .env("A=1")
                .env("B=a&b=c")
                .path(Vec::<String>::new())
                .system_level(true)
                .debug(true);
            let outcome = client.exec(request.into()).await.unwrap();
            format!(
                "remoteErr={} execErr=<nil>",
                outcome_text(&outcome.state.to_string())
            )
        }
        _ if name.starts_with("exec: ") => exec(client).await,
        _ if name.starts_with("status: ") => match client.status().await {
            Ok(status) => format!("{{Version:{}}} err=<nil>", status.version()),
            Err(CallError::Refused { status, .. }) => format!("{{Version:0}} err={status}"),
            Err(CallError::Reply(error)) => {
                // The JSON parsers have their own words for it.
                assert!(error.to_string().starts_with("status is no JSON object"));
                "{Version:0} err=invalid character 'h' looking for beginning of value".into()
            }
            Err(other) => panic!("{other:?}"),
        },
        "workdir: ok" => {
            let dir = client.work_dir().await.unwrap();
            format!("{} <nil>", GoQuoted(dir.as_bytes()))
        }
        "puttar: 500" => {
            let archive = Archive::tar_gz(Content::from_reader(&b"tgz"[..]));
            call_text(client.put_tar(archive, "go/x y").await, "; body: ")
        }
        "puttar: SKIP counts as success" => {
            let url = "https://example.com/a?b=c&d";
            call_text(client.put_tar_from_url(url, "go1.4").await, "")
        }
        "put" => {
            let mode = FileMode::from_unix(0o755);
            call_text(client.put("x".into(), "dir/f&g", mode).await, "")
        }
        "gettar: empty dir" => {
            let archive = client.get_tar("", ArchiveFormat::TarGz).await;
            call_text(archive.map(drop), "; body: ")
        }
        "ls: 400" => {
            let listing = client.list_dir(ListRequest::new("..")).await;
            call_text(listing.map(drop), ": ")
        }
        "ls: entries" => {
            let request = ListRequest::new("go").recursive(true).digest(true);
            let listing = client.list_dir(request.skip("b").skip("a")).await.unwrap();
            let entries = listing.collect().await.unwrap();
            let texts: Vec<_> = entries.iter().map(entry_text).collect();
            format!("{} err=<nil>", texts.join(" "))
        }
        "removeall: no path sends nothing" => call_text(client.remove_all(&[]).await, ""),
        "removeall" => {
            let paths = ["a".to_owned(), "b/c d".to_owned()];
            call_text(client.remove_all(&paths).await, "")
        }
        "connect-ssh: ok" => call_text(
            client
                .connect_ssh("root", "ssh-ed25519 AAAA c")
                .await
                .map(drop),
            "",
        ),
        "connect-ssh: 502" => {
            let text = call_text(client.connect_ssh("root", "k").await.map(drop), ", ");
            format!("unexpected /connect-ssh response: {text}")
        }
        "proxytcp on a plain client" => match client.proxy_tcp(22).await {
            Err(CallError::NotProxied) => {
                "ProxyTCP currently only supports gomote-created buildlets".into()
            }
            other => panic!("{:?}", other.map(drop)),
        },
        "string, name, url" => {
            // Upstream shows its address in four ways; ours is one name.
            assert_eq!(client.name(), "HOST:PORT");
            "http://HOST:PORT desc | HOST:PORT | http://HOST:PORT | ".into()
        }
        other => panic!("unknown case {other}"),
    }
}

async fn exec(client: &HttpClient) -> String {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let started = Arc::new(AtomicBool::new(false));
    let flag = started.clone();
    let (mut sink, output) = tokio::io::duplex(1 << 16);
    let command = Exec::from(ExecRequest::new("go/src/make.bash"))
        .output(output)
        .on_started(move || flag.store(true, Ordering::Relaxed));
    let result = client.exec(command).await;
    let mut text = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut sink, &mut text)
        .await
        .unwrap();
    let (remote, machinery) = match result {
        Ok(outcome) => (outcome_text(&outcome.state.to_string()), "<nil>".to_owned()),
        Err(error) => ("<nil>".to_owned(), exec_error_text(&error)),
    };
    format!(
        "output={} remoteErr={remote} execErr={machinery} started={}",
        GoQuoted(&text),
        started.load(Ordering::Relaxed)
    )
}

fn outcome_text(state: &str) -> String {
    if state == "ok" {
        "<nil>".into()
    } else {
        state.into()
    }
}

fn exec_error_text(error: &ExecError) -> String {
    match error {
        ExecError::NoProcessState => {
            "missing Process-State trailer from HTTP response; buildlet built with old (<= 1.4) Go?"
                .into()
        }
        ExecError::Cut(_) => "error copying response: unexpected EOF".into(),
        ExecError::Start(CallError::Refused { status, text }) => {
            format!("buildlet: HTTP status {status}: {text}")
        }
        ExecError::Start(error @ CallError::Connection(_)) => {
            assert!(error.source().is_some());
            "Post \"http://HOST:PORT/exec\": EOF".into()
        }
        other => panic!("{other:?}"),
    }
}

fn call_text(result: Result<(), CallError>, between: &str) -> String {
    match result {
        Ok(()) => "<nil>".into(),
        Err(CallError::Refused { status, text }) => format!("{status}{between}{text}"),
        Err(other) => panic!("{other:?}"),
    }
}

fn entry_text(entry: &DirEntry) -> String {
    // Upstream leaves the slash at a directory's name.
    let slash = if entry.is_dir() { "/" } else { "" };
    format!(
        "{{name={} perm=\"{}\" dir={} digest=\"{}\"}}",
        GoQuoted(format!("{}{slash}", entry.name()).as_bytes()),
        entry.mode(),
        entry.is_dir(),
        entry.digest().unwrap_or_default()
    )
}
