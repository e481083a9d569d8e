use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

const BODY: &str =
    r#"{"action": "opened", "repository": {"full_name": "golang/go"}, "issue": {"number": 2}}"#;
/// HMAC-SHA256 of it, with the secret `s3cr3t`.
const SIGNATURE: &str = "2c60d1d5452ca85635656c212bbe2b8fe40d105a7d692082a62b8211544efd7c";

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pubsubhelper"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

struct Running {
    child: Child,
    log: BufReader<ChildStderr>,
    http: String,
    smtp: String,
}

impl Running {
    fn start(state: &Path) -> Self {
        Self::start_with(state, &[])
    }

    fn start_with(state: &Path, more: &[OsString]) -> Self {
        let secret = state.join("secret");
        std::fs::write(&secret, "s3cr3t\n").unwrap();
        let mut child = program()
            .args([
                "-smtp=127.0.0.1:0",
                "-listen-http=127.0.0.1:0",
                "-trusted-proxy=127.0.0.1",
                "-telling",
            ])
            .arg("-webhook-secret-file")
            .arg(&secret)
            .arg("-state")
            .arg(state)
            .args(more)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let smtp = address(&mut log, "mails on ");
        let http = address(&mut log, "HTTP on ");
        Self {
            child,
            log,
            http,
            smtp,
        }
    }

    fn ask(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        let request = format!(
            "{head}\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    /// Ends it as a service manager does. Returns what it logged in between too.
    fn terminate(mut self) -> (ExitStatus, String) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap(), log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(log: &mut BufReader<ChildStderr>, what: &str) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(
            log.read_line(&mut line).unwrap(),
            0,
            "it ended before it said {what}"
        );
        if let Some((_, address)) = line.trim_end().split_once(what) {
            return address.to_owned();
        }
    }
}

#[test]
fn an_event_is_there_after_a_restart_and_no_secret_is_logged() {
    let state = tempfile::tempdir().unwrap();
    let running = Running::start(state.path());
    let post = format!(
        "POST /github-webhook HTTP/1.1\r\nX-Forwarded-Proto: https\r\nX-Hub-Signature-256: sha256={SIGNATURE}"
    );
    let taken = running.ask(&post, BODY);
    assert!(taken.starts_with("HTTP/1.1 202 "), "{taken}");
    let refused = running.ask(&post, &BODY.replace('2', "3"));
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    let before = running.ask("GET /recent HTTP/1.1", "");
    assert!(before.contains("\"IssueNumber\": 2\n"), "{before}");
    let mut greeting = String::new();
    let mail = TcpStream::connect(&running.smtp).unwrap();
    BufReader::new(mail).read_line(&mut greeting).unwrap();
    assert_eq!(greeting, "220 localhost ESMTP gosmtpd\r\n");

    let (status, log) = running.terminate();
    assert!(status.success(), "{status}: {log}");
    assert!(
        log.contains("is event") && !log.contains("s3cr3t") && !log.contains(SIGNATURE),
        "{log}"
    );

    let running = Running::start(state.path());
    let body = |reply: &str| reply.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(
        body(&running.ask("GET /recent HTTP/1.1", "")),
        body(&before)
    );
    assert!(running.terminate().0.success());
}

#[test]
fn a_stored_webhook_is_published_at_the_start() {
    let state = tempfile::tempdir().unwrap();
    let stored = state.path().join("delivery");
    std::fs::write(
        &stored,
        format!("X-Hub-Signature-256: sha256={SIGNATURE}\n\n{BODY}"),
    )
    .unwrap();
    let mut replay = OsString::from("-replay=");
    replay.push(&stored);
    let running = Running::start_with(state.path(), &[replay]);
    let recent = running.ask("GET /recent HTTP/1.1", "");
    assert!(recent.contains("\"IssueNumber\": 2\n"), "{recent}");
    assert!(running.terminate().0.success());
}

#[test]
fn what_cannot_be_served_ends_it_with_a_reason() {
    let state = tempfile::tempdir().unwrap();
    for (args, reason) in [
        (&["-smtp="][..], "nothing to serve"),
        (
            &["-smtp=", "-listen-http=127.0.0.1:0"],
            "--webhook-secret-file",
        ),
        (&["-smtp=no-port"], "cannot listen on no-port for mails"),
        (
            &["-smtp=", "-listen-http=127.0.0.1:0", "-webhook-secret="],
            "secret is empty",
        ),
    ] {
        let output = program()
            .args(args)
            .arg("-state")
            .arg(state.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains(reason), "{args:?}: {said}");
    }
}
