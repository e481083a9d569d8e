//! What Ctrl-C leaves behind.

#[cfg(feature = "export")]
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
#[cfg(feature = "export")]
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::tempdir;

use crate::lists::hostile_log;
use crate::support::maintq;

/// What a shell reports of a program that an interrupt ended.
const INTERRUPTED: Option<i32> = Some(130);

fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

/// The names in a folder.
#[cfg(feature = "export")]
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_watch_that_is_interrupted_ends_with_whole_rows() {
    let log = hostile_log();
    let mut child = maintq()
        .args(["issues", "--watch", "--format", "json", "--log"])
        .arg(log.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut rows = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    rows.read_line(&mut first).unwrap();
    interrupt(&child);
    let mut rest = String::new();
    rows.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), INTERRUPTED);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    for row in (first + &rest).lines() {
        serde_json::from_str::<serde_json::Value>(row).unwrap();
    }
}

#[test]
fn a_fetch_from_a_silent_server_can_be_interrupted() {
    let dir = tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/logs", silent.local_addr().unwrap());
    let mut child = maintq()
        .args(["stats", "--server", &url, "--cache"])
        .arg(dir.path().join("cache"))
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let connection = silent.accept().unwrap();
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), INTERRUPTED);
    drop(connection);
}

#[cfg(feature = "export")]
#[test]
fn an_export_that_is_interrupted_leaves_no_file() {
    let dir = tempdir().unwrap();
    let log = dir.path().join("log");
    let mut make = maintq();
    make.args(["log", "make", "--size", "4M"]).arg(&log);
    crate::support::stdout(&make.output().unwrap());
    let mut interrupted = 0;
    // It may be done before it is interrupted; then all is there.
    for attempt in 0..20 {
        let parquet = dir.path().join(format!("parquet-{attempt}"));
        let mut child = maintq()
            .args(["export", "--parquet"])
            .arg(&parquet)
            .arg("--log")
            .arg(&log)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Until something is half written.
        while child.try_wait().unwrap().is_none()
            && (!parquet.exists() || names(&parquet).is_empty())
        {
            std::thread::yield_now();
        }
        interrupt(&child);
        let output = child.wait_with_output().unwrap();
        let left = names(&parquet);
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        if left.is_empty() {
            assert_eq!(output.status.code(), INTERRUPTED);
            interrupted += 1;
        } else {
            // It was complete just before it was interrupted.
            assert!(matches!(output.status.code(), Some(0) | INTERRUPTED));
            assert_eq!(left.len(), 10, "{left:?}");
        }
        if interrupted == 3 {
            return;
        }
    }
    panic!("20 exports were done before they could be interrupted");
}
