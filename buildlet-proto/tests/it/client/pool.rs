use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use buildlet_proto::client::{BuildletClient as _, CallError, Config};
use buildlet_proto::types::ext::ArchiveFormat;
use buildlet_proto::types::{ExecRequest, FileMode, ListRequest};
use tokio::io::AsyncReadExt as _;
use tokio::time::sleep;

use super::script::{Script, Then, exec_reply, reply};

/// Answers what each endpoint answers when all is well.
fn well() -> Script {
    Script::new(|request| {
        let path = request.split(' ').nth(1).unwrap();
        let answer = match path.split('?').next().unwrap() {
            "/status" => reply("200 OK", r#"{"Version":29}"#),
            "/workdir" => reply("200 OK", "/workdir"),
            "/exec" => exec_reply("hi", "ok"),
            "/ls" => reply("200 OK", "drwxr-xr-x\ttmp/\n"),
            "/tgz" => reply("200 OK", "tgz"),
            "/removeall" => reply("200 OK", ""),
            _ => reply("200 OK", "OK"),
        };
        (answer, Then::Stay)
    })
}

#[tokio::test]
async fn one_connection_serves_a_whole_build() {
    let script = well();
    let client = script.quiet_client();
    client.status().await.unwrap();
    client.remove_all(&[".".into()]).await.unwrap();
    client
        .put("x".into(), "f", FileMode::from_unix(0o644))
        .await
        .unwrap();
    client.put_tar_from_url("http://x/", "go").await.unwrap();
    client.exec(ExecRequest::new("x").into()).await.unwrap();
    client
        .list_dir(ListRequest::new(""))
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let mut archive = client.get_tar("", ArchiveFormat::TarGz).await.unwrap();
    let mut tgz = Vec::new();
    archive.read_to_end(&mut tgz).await.unwrap();
    assert_eq!(tgz, b"tgz");
    assert_eq!(client.work_dir().await.unwrap(), "/workdir");
    assert_eq!(script.requests().len(), 8);
    assert_eq!(script.connections(), 1);
}

#[tokio::test]
async fn a_refusal_leaves_the_connection_usable() {
    let script = Script::always(reply("400 Bad Request", "no\n"), Then::Stay);
    let client = script.quiet_client();
    for _ in 0..3 {
        let error = client.work_dir().await.unwrap_err();
        assert_eq!(error.to_string(), "buildlet answered 400 Bad Request: no");
    }
    assert_eq!(script.connections(), 1);
}

#[tokio::test]
async fn calls_at_the_same_time_have_connections_of_their_own() {
    let script = Script::new(|request| {
        if request.starts_with("GET /status") {
            (reply("200 OK", r#"{"Version":29}"#), Then::Stay)
        } else {
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
                Then::Hang,
            )
        }
    });
    let client = script.quiet_client();
    let one = client.start(ExecRequest::new("x")).await.unwrap();
    let two = client.start(ExecRequest::new("y")).await.unwrap();
    client.status().await.unwrap();
    client.status().await.unwrap();
    assert_eq!(script.connections(), 3);
    drop((one, two));
    while script.closed() < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_few_and_closed_after_a_minute() {
    let script = well();
    let client = script.client(Config::default().heartbeat_interval(None).max_idle(2));
    let calls = (0..5).map(|_| client.start(ExecRequest::new("x")));
    let mut running = Vec::new();
    for call in calls {
        running.push(call.await.unwrap());
    }
    assert_eq!(script.connections(), 5);
    for command in running {
        command.wait().await.unwrap();
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(script.closed(), 3);
    sleep(Duration::from_secs(58)).await;
    client.status().await.unwrap(); // keeps the one it took
    sleep(Duration::from_secs(2)).await;
    assert_eq!(script.closed(), 4);
    sleep(Duration::from_secs(60)).await;
    assert_eq!((script.closed(), script.connections()), (5, 5));
}

#[tokio::test]
async fn a_connection_that_the_buildlet_closed_is_replaced() {
    for then in [Then::Close, Then::Stay] {
        let script = Script::always(reply("200 OK", "/workdir"), then);
        let client = script.quiet_client();
        for _ in 0..3 {
            client.work_dir().await.unwrap();
            client.remove_all(&["x".into()]).await.unwrap();
        }
        assert_eq!(
            script.connections(),
            if then == Then::Close { 6 } else { 1 }
        );
    }
}

#[tokio::test]
async fn a_question_is_asked_again_where_a_kept_connection_fails_and_an_order_is_not() {
    // Each connection answers once, and takes a second request without an answer.
    let on_connection = AtomicUsize::new(0);
    let script = Script::new(
        move |_| match on_connection.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => (reply("200 OK", "/workdir"), Then::Stay),
            _ => (Vec::new(), Then::Close),
        },
    );
    let client = script.quiet_client();
    client.work_dir().await.unwrap();
    client.work_dir().await.unwrap();
    assert_eq!((script.connections(), script.requests().len()), (2, 3));
    let error = client.remove_all(&["x".into()]).await.unwrap_err();
    assert!(matches!(error, CallError::Connection(_)), "{error:?}");
    assert_eq!((script.connections(), script.requests().len()), (2, 4));
}

#[tokio::test]
async fn nothing_is_kept_after_close() {
    let script = well();
    let client = script.quiet_client();
    client.status().await.unwrap();
    client.close().await;
    while script.closed() < 1 {
        tokio::task::yield_now().await;
    }
}
