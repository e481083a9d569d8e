use std::process::{Command, Stdio};
use std::time::Duration;

use pubsubhelper::{Hub, HubConfig, MailConfig, MailReader, SmtpConfig, SmtpServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::mail::{Recorded, case};
use crate::vectors::text;

const TO: &str = "gopherbot@pubsubhelper.golang.org";

fn server(hub: &Hub) -> SmtpServer {
    let reader = MailReader::new(MailConfig::default(), Recorded::keys()).unwrap();
    SmtpServer::new(SmtpConfig::new("test.example", TO), reader, hub.clone())
}

#[tokio::test]
async fn a_mail_that_python_sends_becomes_an_event() {
    let has_python = Command::new("python3")
        .args(["-c", "import smtplib"])
        .stderr(Stdio::null())
        .status();
    if !has_python.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no python3");
        return;
    }
    let hub = Hub::in_memory(HubConfig::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server(&hub).serve(listener, stop.clone()));
    let good = case("good");
    let script = "import smtplib, sys
s = smtplib.SMTP('127.0.0.1', int(sys.argv[1]), timeout=120)
s.ehlo('client.example')
assert s.does_esmtp
try:
    s.sendmail(sys.argv[2], ['other@example.com'], sys.argv[4])
    sys.exit('a stranger was taken')
except smtplib.SMTPRecipientsRefused:
    pass
for _ in range(2):
    assert s.sendmail(sys.argv[2], [sys.argv[3]], sys.argv[4]) == {}
s.quit()";
    let (from, message) = (
        text(&good, "mail_from").to_owned(),
        text(&good, "message").to_owned(),
    );
    let output = tokio::task::spawn_blocking(move || {
        Command::new("python3")
            .args(["-c", script, &port, &from, TO, &message])
            .output()
            .unwrap()
    });
    let output = output.await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let events = hub.recent(None);
    // The second is the same mail again.
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].gerrit.as_ref().unwrap().project, "net");
    stop.cancel();
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_told_and_left() {
    let hub = Hub::in_memory(HubConfig::default());
    let (mut client, ours) = tokio::io::duplex(1024);
    let stop = CancellationToken::new();
    let server = server(&hub);
    let session = tokio::spawn(async move { server.speak(ours, &stop).await });
    client
        .write_all(b"EHLO a\r\nMAIL FROM:<x@h>\r\n")
        .await
        .unwrap();
    let begin = tokio::time::Instant::now();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_secs(60));
    assert!(
        said.ends_with("250 2.1.0 Ok\r\n421 4.4.2 Closing\r\n"),
        "{said}"
    );
    session.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_goes_inside_a_mail_leaves_nothing() {
    let hub = Hub::in_memory(HubConfig::default());
    let (mut client, ours) = tokio::io::duplex(1024);
    let stop = CancellationToken::new();
    let server = server(&hub);
    let session = tokio::spawn(async move { server.speak(ours, &stop).await });
    let opening = format!("MAIL FROM:<x@h>\r\nRCPT TO:<{TO}>\r\nDATA\r\n");
    client.write_all(opening.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"354 Go ahead\r\n") {
        client.read_buf(&mut said).await.unwrap();
    }
    client.write_all(b"a: b\r\n").await.unwrap();
    drop(client);
    session.await.unwrap().unwrap();
    assert!(hub.recent(None).is_empty());
}
