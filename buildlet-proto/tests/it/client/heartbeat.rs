use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buildlet_proto::client::{
    BrokenReason, BuildletClient as _, CallError, Config, Exec, ExecError,
};
use buildlet_proto::types::ExecRequest;
use tokio::time::{Instant, sleep, timeout};

use super::script::{Script, Then, exec_reply, reply};

const STATUS: &str = r#"{"Version":29}"#;

/// A configuration whose hook keeps the reasons.
fn watched() -> (Config, Arc<Mutex<Vec<BrokenReason>>>) {
    let deaths = Arc::new(Mutex::new(Vec::new()));
    let hook = deaths.clone();
    let config =
        Config::default().on_death(move |reason| hook.lock().unwrap().push(reason.clone()));
    (config, deaths)
}

#[tokio::test(start_paused = true)]
async fn the_first_call_starts_a_heartbeat_every_ten_seconds() {
    let script = Script::always(reply("200 OK", STATUS), Then::Stay);
    let client = script.client(Config::default());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(script.requests().len(), 0);
    client.status().await.unwrap();
    sleep(Duration::from_secs(31)).await;
    assert_eq!(script.requests().len(), 4); // at 0 s, and heartbeats at 10, 20 and 30 s
    assert_eq!(script.connections(), 1);
    assert_eq!(client.broken(), None);

    drop(client);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(script.requests().len(), 4);
    assert_eq!(script.closed(), 1);
}

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_end_the_client_once() {
    // The first status is answered, then two fail, one is answered, and all later ones fail.
    let seen = AtomicUsize::new(0);
    let script = Script::new(move |_| match seen.fetch_add(1, Ordering::Relaxed) {
        0 | 3 => (reply("200 OK", STATUS), Then::Stay),
        _ => (reply("500 Internal Server Error", "no"), Then::Stay),
    });
    let (config, deaths) = watched();
    let client = script.client(config);
    let begin = Instant::now();
    client.status().await.unwrap();
    client.dead().await;
    assert_eq!(begin.elapsed().as_secs(), 60);
    let reason = BrokenReason::HeartbeatsFailed {
        count: 3,
        last: "buildlet answered 500 Internal Server Error: no".into(),
    };
    assert_eq!(client.broken(), Some(reason.clone()));
    let error = client.work_dir().await.unwrap_err();
    assert!(matches!(error, CallError::Dead(why) if why == reason));
    client.close().await; // does nothing any more
    sleep(Duration::from_secs(100)).await;
    assert_eq!(*deaths.lock().unwrap(), [reason]);
    assert_eq!(script.requests().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_buildlet_that_answers_nothing_is_dead_after_ninety_seconds() {
    let seen = AtomicUsize::new(0);
    let script = Script::new(move |_| match seen.fetch_add(1, Ordering::Relaxed) {
        0 => (reply("200 OK", STATUS), Then::Stay),
        _ => (Vec::new(), Then::Hang),
    });
    let client = script.client(Config::default());
    client.status().await.unwrap();
    let begin = Instant::now();
    // A call without a limit of its own ends with the buildlet.
    let error = client.remove_all(&["x".into()]).await.unwrap_err();
    assert!(matches!(error, CallError::Dead(_)), "{error:?}");
    assert_eq!(begin.elapsed().as_secs(), 90);
}

#[tokio::test(start_paused = true)]
async fn a_running_command_ends_with_its_buildlet() {
    let script = Script::new(|request| {
        if request.starts_with("POST /exec") {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n";
            (head.into(), Then::Hang)
        } else {
            (Vec::new(), Then::Hang)
        }
    });
    let client = script.client(Config::default());
    let error = client.exec(ExecRequest::new("x").into()).await.unwrap_err();
    assert!(matches!(
        error,
        ExecError::Dead(BrokenReason::HeartbeatsFailed { .. })
    ));
    assert!(error.breaks());
}

#[tokio::test(start_paused = true)]
async fn a_busy_buildlet_is_not_given_up() {
    // It does not answer heartbeats, but its command writes every second.
    struct Ticks;
    impl Ticks {
        async fn write(mut io: tokio::io::DuplexStream) {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let mut head = [0; 1000];
            let read = io.read(&mut head).await.unwrap();
            if !head[..read].starts_with(b"POST /exec") {
                let _ = io.read(&mut head).await;
                return;
            }
            let start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            io.write_all(start).await.unwrap();
            for _ in 0..300 {
                sleep(Duration::from_secs(1)).await;
                io.write_all(b"1\r\n.\r\n").await.unwrap();
            }
            io.write_all(b"0\r\nProcess-State: ok\r\n\r\n")
                .await
                .unwrap();
        }
    }
    #[async_trait::async_trait]
    impl buildlet_proto::client::Connector for Ticks {
        async fn connect(&self) -> std::io::Result<buildlet_proto::client::BoxIo> {
            let (ours, theirs) = tokio::io::duplex(1000);
            tokio::spawn(Self::write(theirs));
            Ok(Box::new(ours))
        }
    }
    let client = buildlet_proto::client::HttpClient::new(Ticks, "x", Config::default()).unwrap();
    let running = client.start(ExecRequest::new("x")).await.unwrap();
    let (output, outcome) = running.collect(1000).await.unwrap();
    assert_eq!(output.len(), 300);
    assert!(outcome.state.is_success());
    assert_eq!(client.broken(), None);
}

#[tokio::test(start_paused = true)]
async fn close_halts_the_buildlet_and_calls_the_hook_once() {
    let script = Script::always(reply("200 OK", ""), Then::Stay);
    let (config, deaths) = watched();
    let client = script.client(config);
    tokio::join!(client.close(), client.close());
    client.close().await;
    assert_eq!(*deaths.lock().unwrap(), [BrokenReason::Closed]);
    assert_eq!(client.broken(), Some(BrokenReason::Closed));
    let requests = script.requests();
    assert_eq!(requests.len(), 1);
    assert!(
        requests[0].starts_with("POST /halt HTTP/1.1\r\n"),
        "{}",
        requests[0]
    );
    assert!(
        requests[0].contains("\r\nContent-Length: 0\r\n"),
        "{}",
        requests[0]
    );
    assert!(matches!(
        client.status().await,
        Err(CallError::Dead(BrokenReason::Closed))
    ));
}

#[tokio::test(start_paused = true)]
async fn close_waits_two_seconds_at_most() {
    let script = Script::always("", Then::Hang);
    let client = script.quiet_client();
    let begin = Instant::now();
    client.close().await;
    assert_eq!(begin.elapsed(), Duration::from_secs(2));
    assert_eq!(client.broken(), Some(BrokenReason::Closed));
}

#[tokio::test(start_paused = true)]
async fn close_ends_what_runs() {
    let script = Script::new(|request| {
        if request.starts_with("POST /halt") {
            (reply("200 OK", ""), Then::Stay)
        } else {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            (head.into(), Then::Hang)
        }
    });
    let client = Arc::new(script.quiet_client());
    let running = client.start(ExecRequest::new("x")).await.unwrap();
    let waiting = tokio::spawn(running.wait());
    client.close().await;
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, ExecError::Dead(BrokenReason::Closed)));
}

#[tokio::test(start_paused = true)]
async fn status_and_start_of_a_command_have_a_limit() {
    let script = Script::always("", Then::Hang);
    let client = script.quiet_client();
    let begin = Instant::now();
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut(limit) if limit.as_secs() == 20));
    assert_eq!(client.broken(), None);
    let error = client.exec(ExecRequest::new("x").into()).await.unwrap_err();
    assert!(matches!(error, ExecError::HeadTimedOut(limit) if limit.as_secs() == 20));
    assert_eq!(client.broken(), Some(BrokenReason::ExecHeadTimedOut));
    assert_eq!(begin.elapsed(), Duration::from_secs(40));
    // The rest has none.
    let put = client.put("x".into(), "f", buildlet_proto::types::FileMode::default());
    assert!(timeout(Duration::from_secs(3600), put).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_command_and_breaks_a_buildlet_that_leaves_its_children() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n";
    let script = Script::always(head, Then::Hang);
    let client = script.quiet_client();
    let begin = Instant::now();
    let at = begin + Duration::from_secs(7);
    let error = client
        .exec(Exec::from(ExecRequest::new("x")).deadline(at))
        .await
        .unwrap_err();
    assert!(matches!(error, ExecError::TimedOut) && error.breaks());
    assert_eq!(begin.elapsed(), Duration::from_secs(7));
    assert_eq!(client.broken(), Some(BrokenReason::ExecTimedOut));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(script.closed(), 1); // which is how the buildlet learns of it
}

#[tokio::test(start_paused = true)]
async fn a_deadline_strikes_while_nobody_takes_the_output() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n";
    let script = Script::always(head, Then::Hang);
    let client = script.quiet_client();
    let (_nobody, sink) = tokio::io::duplex(1);
    let at = Instant::now() + Duration::from_secs(7);
    let exec = Exec::from(ExecRequest::new("x")).output(sink).deadline(at);
    let error = client.exec(exec).await.unwrap_err();
    assert!(matches!(error, ExecError::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_kept_by_the_client_where_the_buildlet_knows_none() {
    let script = Script::new(|request| {
        if request.starts_with("GET /status") {
            return (reply("200 OK", STATUS), Then::Stay);
        }
        assert!(!request.contains("timeout"), "{request}");
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            Then::Hang,
        )
    });
    let client = script.quiet_client();
    let begin = Instant::now();
    let request = ExecRequest::new("x").timeout(Duration::from_secs(5));
    let error = client.exec(request.into()).await.unwrap_err();
    assert!(matches!(error, ExecError::TimedOut));
    assert_eq!(begin.elapsed(), Duration::from_secs(5));
}

#[tokio::test]
async fn a_command_is_not_run_without_the_isolation_it_asked_for() {
    use buildlet_proto::types::ext::{Extension, Isolation, Network};
    let script = Script::new(|request| {
        assert!(request.starts_with("GET /status"), "{request}");
        (reply("200 OK", STATUS), Then::Stay)
    });
    let client = script.quiet_client();
    for (request, missing) in [
        (
            ExecRequest::new("x").isolation(Isolation::Sandbox),
            Extension::Isolation,
        ),
        (
            ExecRequest::new("x").network(Network::Off),
            Extension::Network,
        ),
    ] {
        let error = client.exec(request.into()).await.unwrap_err();
        assert!(matches!(error, ExecError::Start(CallError::Unsupported(what)) if what == missing),);
        assert!(!error.breaks());
    }
    assert_eq!(script.requests().len(), 1); // asked once
}

#[tokio::test]
async fn a_buildlet_that_offers_more_reports_more() {
    use buildlet_proto::types::ext::{Enforced, Isolation, LimitHit, Mechanism};
    let script = Script::new(|request| {
        if request.starts_with("GET /status") {
            let status =
                r#"{"Version":29,"Impl":"x","Extensions":["timeout","isolation","usage"]}"#;
            return (reply("200 OK", status), Then::Stay);
        }
        assert!(
            request.contains("\r\nX-Buildlet-Accept: trailers\r\n"),
            "{request}"
        );
        assert!(
            request.ends_with("isolation=process&mode=&timeout=1500ms"),
            "{request}"
        );
        let state = "signal: killed\r\nProcess-Isolation: process by process-group\r\n\
                     Process-Limit: timeout\r\nProcess-Usage: wall=1501ms";
        (exec_reply("hi", state), Then::Stay)
    });
    let client = script.quiet_client();
    let request = ExecRequest::new("x")
        .isolation(Isolation::Process)
        .timeout(Duration::from_millis(1500));
    let outcome = client.exec(request.into()).await.unwrap();
    assert_eq!(outcome.state.to_string(), "signal: killed");
    assert_eq!(outcome.limit, Some(LimitHit::Timeout));
    assert_eq!(
        outcome.usage.as_ref().unwrap().wall,
        Some(Duration::from_millis(1501))
    );
    let enforced = Enforced::new(Isolation::Process, [Mechanism::ProcessGroup]);
    assert_eq!(outcome.enforced, Some(enforced));
    let failed = outcome.success().unwrap_err();
    assert_eq!(failed.to_string(), "signal: killed (limit: timeout)");
}
