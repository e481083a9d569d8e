//! `--server`: a log that is followed, and its cache.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use maintner::reclog::{Writer, WriterConfig};
use maintner::serve::{LogServer, ServeConfig};
use tempfile::tempdir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::lists::{hostile_log, rename};
use crate::support::{ended, maintq, on, stdout, vector};

/// Serves a log until it is dropped.
struct Served {
    url: String,
    _runtime: Runtime,
}

impl Served {
    fn new(dir: &Path) -> Self {
        let runtime = Runtime::new().unwrap();
        let config = ServeConfig::default().poll(Duration::from_millis(5));
        let log = LogServer::open(dir, config).unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/logs", listener.local_addr().unwrap());
        runtime.spawn(log.serve(listener, CancellationToken::new()));
        Self {
            url,
            _runtime: runtime,
        }
    }
}

fn following(url: &str, cache: &Path, args: &[&str]) -> Command {
    let mut command = maintq();
    command
        .args(args)
        .args(["--server", url, "--cache"])
        .arg(cache);
    for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(proxy);
    }
    command
}

#[test]
fn a_server_s_log_gives_what_its_folder_gives_and_the_cache_does_without_it() {
    const LOG: &str = "disk/14-gerrit-state";
    const LIST: [&str; 3] = ["open-cls", "--format", "json"];
    let expected = stdout(&on(LOG, &LIST));
    let served = Served::new(&vector(LOG));
    let cache = tempdir().unwrap();
    let list = |args: &[&str]| {
        let args = [&LIST[..], args].concat();
        let output = following(&served.url, cache.path(), &args).output();
        output.unwrap()
    };
    assert_eq!(stdout(&list(&[])), expected);
    assert_eq!(stdout(&list(&[])), expected, "again, from the cache");

    let nowhere = "http://127.0.0.1:9/logs";
    let offline = [&LIST[..], &["--offline"]].concat();
    let output = following(nowhere, cache.path(), &offline).output().unwrap();
    let (code, out, err) = ended(&output);
    assert_eq!((code, out.as_str()), (0, expected.as_str()), "{err}");
    assert!(err.contains("this is what the cache has"), "{err}");
}

#[test]
fn a_server_that_has_no_log_is_named() {
    let served = Served::new(tempdir().unwrap().path());
    let cache = tempdir().unwrap();
    let elsewhere = served.url.replace("/logs", "/elsewhere");
    let output = following(&elsewhere, cache.path(), &["stats"]).output();
    let (code, out, err) = ended(&output.unwrap());
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("/elsewhere") && err.contains("404"), "{err}");

    let output = following(
        &served.url,
        cache.path(),
        &["stats", "--ca", "/nowhere.pem"],
    )
    .output();
    let (code, _, err) = ended(&output.unwrap());
    assert!(code == 1 && err.contains("/nowhere.pem"), "{err}");
}

#[test]
fn what_a_server_adds_is_watched() {
    let log = hostile_log();
    let served = Served::new(log.path());
    let cache = tempdir().unwrap();
    let watch = [
        "issues",
        "title ~ new",
        "--watch",
        "--format",
        "json",
        "--columns",
        "title",
    ];
    let mut child = following(&served.url, cache.path(), &watch)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut rows = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut writer = Writer::open(log.path(), WriterConfig::default()).unwrap();
    for title in ["something new", "also new"] {
        writer.append([rename(2, title)]).unwrap();
        let row = rows.next().unwrap().unwrap();
        assert_eq!(row, format!(r#"{{"title":"{title}"}}"#));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
