//! Logs while they grow.

use build_coordinator::api::State;
use tokio::io::AsyncReadExt as _;

use super::client::{read_until, serve, until};
use super::memory::{REVISION, busy};

/// The id of the last event of a name.
fn last_id(seen: &str, name: &str) -> String {
    let (_, rest) = seen
        .rsplit_once(&format!("event: {name}\nid: "))
        .expect("there is such an event");
    rest.split('\n').next().unwrap().to_owned()
}

#[tokio::test]
async fn lines_come_as_they_are_printed_and_the_end_is_told() {
    let memory = busy();
    let server = serve(memory.clone()).await;
    let log = memory.open_log(5001, 1);
    let mut tcp = server.open("/builds/5001/events?attempt=1", &[]).await;
    let mut seen = String::new();
    read_until(&mut tcp, &mut seen, "\r\n\r\n").await;
    assert!(
        seen.to_ascii_lowercase()
            .contains("content-type: text/event-stream"),
        "{seen}"
    );
    read_until(&mut tcp, &mut seen, "event: panel\n").await;
    log.append(b"one\n");
    read_until(&mut tcp, &mut seen, ">one</span>").await;
    assert!(
        seen.contains("event: lines\nid: 4.1.000000\ndata: <h3 class=\"step\""),
        "{seen}"
    );
    log.append(b"\x1b[31mtwo\nthree");
    read_until(&mut tcp, &mut seen, ">two</span>").await;
    read_until(&mut tcp, &mut seen, "event: open-line\n").await;
    log.append(b", done\n");
    read_until(&mut tcp, &mut seen, ">three, done</span>").await;

    log.close();
    assert!(!seen.contains("event: end"));
    memory
        .change(|known| known.builds.get_mut(&5001).unwrap().attempts[0].state = State::Succeeded);
    read_until(&mut tcp, &mut seen, "event: end\n").await;
    // And with it the answer.
    let mut rest = String::new();
    tcp.read_to_string(&mut rest).await.unwrap();
}

#[tokio::test]
async fn a_browser_that_comes_back_goes_on_where_it_was() {
    let memory = busy();
    let server = serve(memory.clone()).await;
    let log = memory.open_log(5001, 1);
    log.append(b"one\n\x1b[31mtwo\n");
    let mut seen = String::new();
    let mut tcp = server.open("/builds/5001/events?attempt=1", &[]).await;
    read_until(&mut tcp, &mut seen, ">two</span>").await;
    let place = last_id(&seen, "lines");
    drop(tcp);
    until("the reader is gone", || memory.readers(5001, 1) == 0).await;

    log.append(b"three\n");
    let mut seen = String::new();
    // What the browser says itself counts for more than what the page said.
    let headers = [("Last-Event-ID", place.as_str())];
    let mut tcp = server
        .open("/builds/5001/events?attempt=1&from=0.0.000000", &headers)
        .await;
    read_until(&mut tcp, &mut seen, ">three</span>").await;
    assert!(!seen.contains(">two<"));
    // With its number, and in its colour.
    assert!(
        seen.contains("id=\"L3\"") && seen.contains("<span class=\"f1\">three"),
        "{seen}"
    );
}

#[tokio::test]
async fn places_that_are_none_are_refused() {
    let server = serve(busy()).await;
    for from in ["x", "1", "1.2.zzzzzz", "-1.0.000000"] {
        let path = format!("/builds/5001/events?attempt=1&from={from}");
        assert_eq!(server.get(&path).await.status, 400, "{from}");
    }
    assert_eq!(
        server.get("/builds/5001/events?attempt=7").await.status,
        404
    );
    assert_eq!(
        server.get("/builds/99999/events?attempt=0").await.status,
        404
    );
}

#[tokio::test]
async fn who_waits_for_a_machine_is_told_when_there_is_one() {
    let memory = busy();
    let server = serve(memory.clone()).await;
    let mut tcp = server.open("/builds/5002/events?attempt=0", &[]).await;
    let mut seen = String::new();
    read_until(&mut tcp, &mut seen, "event: panel\n").await;
    memory.change(|known| {
        let build = known.builds.get_mut(&5002).unwrap();
        build.state = State::Running;
        build
            .attempts
            .push(super::memory::attempt(1, State::Running));
    });
    read_until(&mut tcp, &mut seen, "event: end\n").await;
}

#[tokio::test]
async fn viewers_who_leave_leave_nothing_behind() {
    let memory = busy();
    let server = serve(memory.clone()).await;
    let log = memory.open_log(5001, 1);
    log.append(b"one\n");
    let path = format!("/temporarylogs?name=linux-arm64&rev={REVISION}&st=5001.1");
    // Four times as many as may look at once: a place that is not given back would be missed.
    for round in 0..16 {
        let mut viewers = Vec::new();
        for n in 0..64 {
            let path = match n % 3 {
                0 => "/builds/5001/events?attempt=1",
                1 => "/api/v1/builds/5001/attempts/1/log?follow=1",
                _ => &path,
            };
            let mut tcp = server.open(path, &[]).await;
            read_until(&mut tcp, &mut String::new(), "one").await;
            viewers.push(tcp);
        }
        assert!(memory.readers(5001, 1) >= 64, "round {round}");
        drop(viewers);
        until("all readers are gone", || memory.readers(5001, 1) == 0).await;
    }
}

#[tokio::test]
async fn there_are_never_more_viewers_than_the_limit() {
    let memory = busy();
    let server = serve(memory.clone()).await;
    memory.open_log(5001, 1).append(b"one\n");
    let path = "/api/v1/builds/5001/attempts/1/log?follow=1";
    let mut viewers = Vec::new();
    for _ in 0..256 {
        let mut tcp = server.open(path, &[]).await;
        read_until(&mut tcp, &mut String::new(), "one").await;
        viewers.push(tcp);
    }
    let refused = server.get(path).await;
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].as_str()),
        (503, Some("unavailable"))
    );
    assert_eq!(server.get("/builds/5001").await.status, 200);
}

#[tokio::test]
async fn streams_end_with_the_log_and_with_the_server() {
    let memory = busy();
    let mut server = serve(memory.clone()).await;
    let log = memory.open_log(5001, 1);
    log.append(b"one\n");
    let path = format!("/temporarylogs?name=linux-arm64&rev={REVISION}&st=5001.1");
    let mut tcp = server.open(&path, &[]).await;
    read_until(&mut tcp, &mut String::new(), "Build log:\n").await;
    log.append(b"last\n");
    log.close();
    let mut rest = String::new();
    tcp.read_to_string(&mut rest).await.unwrap();
    assert!(
        rest.contains("last\n") && rest.ends_with("0\r\n\r\n"),
        "{rest}"
    );

    let log = memory.open_log(5001, 1);
    log.append(b"two\n");
    let mut tcp = server.open("/builds/5001/events?attempt=1", &[]).await;
    read_until(&mut tcp, &mut String::new(), "two").await;
    server.stop.cancel();
    let mut rest = String::new();
    tcp.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
    (&mut server.task).await.unwrap();
}
