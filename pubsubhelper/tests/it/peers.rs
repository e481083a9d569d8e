//! Mails that others' programs sign and send.

use std::io::Write as _;
use std::process::{Command, Stdio};

use async_trait::async_trait;
use harness::Program;
use pubsubhelper::{
    Hub, HubConfig, KeySource, MailConfig, MailReader, ResolveKeyError, SmtpConfig, SmtpServer,
};
use tempfile::tempdir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const TO: &str = "gopherbot@pubsubhelper.golang.org";
const FROM: &str = "3abcd@gerritcodereview.bounces.google.com";
const MAIL: &str = "From: \"Somebody (Gerrit)\" <noreply-gerritcodereview@google.com>\r\n\
    To: gopherbot@pubsubhelper.golang.org\r\n\
    Subject: Change in go[master]: net: fix thing\r\n\
    Date: Sat, 21 Nov 2026 01:00:00 +0000\r\n\
    MIME-Version: 1.0\r\n\
    X-Gerrit-Project: net\r\n\
    X-Gerrit-Change-Number: 39551\r\n\
    X-Gerrit-ChangeURL: <https://go-review.googlesource.com/c/net/+/39551>\r\n\
    X-Gerrit-Commit: 1eee2c9d8f352483781e772f35dc586a69ff5646\r\n\
    \r\n\
    Hello there.\r\n\
    .A line with a dot.\r\n";

/// The key of `s1._domainkey.google.com`.
struct OneKey(Vec<u8>);

#[async_trait]
impl KeySource for OneKey {
    async fn key_records(&self, name: &str) -> Result<Vec<Vec<u8>>, ResolveKeyError> {
        let is_its = name == "s1._domainkey.google.com.";
        Ok(is_its.then(|| self.0.clone()).into_iter().collect())
    }
}

/// Signs a mail with a new key, and gives it with the key's record.
fn sign(dknewkey: &Program, dkimsign: &Program, canonical: &str) -> (String, Vec<u8>) {
    let dir = tempdir().unwrap();
    let made = dknewkey
        .command()
        .arg("key")
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let record = std::fs::read(dir.path().join("key.dns")).unwrap();
    let mut signing = dkimsign
        .command()
        .args([
            "--hcanon",
            canonical,
            "--bcanon",
            canonical,
            "s1",
            "google.com",
            "key.key",
        ])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    signing
        .stdin
        .take()
        .unwrap()
        .write_all(MAIL.as_bytes())
        .unwrap();
    let signed = signing.wait_with_output().unwrap();
    assert!(signed.status.success());
    // It may end lines as its system does.
    let signed = String::from_utf8(signed.stdout)
        .unwrap()
        .replace("\r\n", "\n");
    (signed.replace('\n', "\r\n"), record)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_signed_by_dkimpy_and_sent_by_swaks_become_events_and_changed_ones_do_not() {
    let [Some(swaks), Some(dknewkey), Some(dkimsign)] =
        ["swaks", "dknewkey", "dkimsign"].map(harness::tool_or_skip)
    else {
        return;
    };
    for canonical in ["simple", "relaxed"] {
        let (signed, record) = sign(&dknewkey, &dkimsign, canonical);
        let hub = Hub::in_memory(HubConfig::default());
        let reader = MailReader::new(MailConfig::default(), OneKey(record)).unwrap();
        let server = SmtpServer::new(SmtpConfig::new("test.example", TO), reader, hub.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.serve(listener, stop.clone()));
        let changed = signed.replace("Hello there", "Hello where");
        for (mail, is_good) in [(changed, false), (signed, true)] {
            let mut sending: Command = swaks.command();
            sending
                .args([
                    "--server",
                    "127.0.0.1",
                    "--port",
                    &port,
                    "--ehlo",
                    "client.example",
                ])
                .args(["--from", FROM, "--to", TO, "--timeout", "120s"])
                .args(["--data", &mail]);
            let sent = tokio::task::spawn_blocking(move || sending.output().unwrap());
            let sent = sent.await.unwrap();
            let said = String::from_utf8_lossy(&sent.stdout);
            // A mail that is not believed is taken and forgotten, as upstream does, or refused.
            assert!(sent.status.success() || !is_good, "{canonical}: {said}");
            assert_eq!(
                hub.recent(None).len(),
                usize::from(is_good),
                "{canonical}: {said}"
            );
        }
        let event = hub.recent(None)[0].gerrit.clone().unwrap();
        assert_eq!(
            (event.project.as_str(), event.change_number),
            ("net", 39551)
        );
        stop.cancel();
        serving.await.unwrap();
    }
}
