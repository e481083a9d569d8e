use std::net::{IpAddr, Ipv4Addr};

use pubsubhelper::{Event, HttpConfig, HttpServer, Hub, HubConfig, MAX_BODY, Time, WebhookSecret};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use crate::hub::issue;
use crate::vectors::{read, text};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        (self.head.lines())
            .filter_map(|line| line.split_once(": "))
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

fn server(hub: &Hub, config: HttpConfig) -> HttpServer {
    let secret = WebhookSecret::new(b"s3cr3t").unwrap();
    HttpServer::new(hub.clone(), secret, config)
}

/// Sends a request on a connection of its own. `head` has lines with their ends.
async fn ask(server: &HttpServer, is_tls: bool, head: &str, body: &[u8]) -> Reply {
    let (mut client, ours) = tokio::io::duplex(1 << 20);
    let server = server.clone();
    let serving = tokio::spawn(async move {
        server
            .serve_connection(ours, PEER, is_tls, &CancellationToken::new())
            .await;
    });
    let request = format!("{head}Host: h\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    // A refusal may come before all is sent.
    let _ = client.write_all(body).await;
    let mut reply = String::new();
    client.read_to_string(&mut reply).await.unwrap();
    serving.await.unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    Reply {
        status: head[9..12].parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

async fn get(server: &HttpServer, path: &str) -> Reply {
    ask(server, false, &format!("GET {path} HTTP/1.1\r\n"), b"").await
}

fn assert_as_recorded(name: &str, reply: &Reply, recorded: &Value) {
    assert_eq!(reply.status, recorded["status"], "{name}");
    assert_eq!(reply.body, text(recorded, "body"), "{name}");
    for (header, value) in recorded["headers"].as_object().unwrap() {
        assert_eq!(reply.header(header), value.as_str(), "{name}: {header}");
    }
}

#[tokio::test]
async fn every_page_is_as_recorded() {
    let recorded = read("http");
    let server = server(&Hub::in_memory(HubConfig::default()), HttpConfig::default());
    let mut asked = 0;
    for (name, answer) in recorded.as_object().unwrap() {
        let Some((method, path)) = name.split_once(' ') else {
            continue;
        };
        if path.contains([' ', '<']) || path == "/waitevent?after=1970" {
            continue;
        }
        let reply = ask(
            &server,
            false,
            &format!("{method} {path} HTTP/1.1\r\n"),
            b"",
        )
        .await;
        assert_as_recorded(name, &reply, answer);
        asked += 1;
    }
    assert_eq!(asked, 9);
}

#[tokio::test]
async fn every_recorded_webhook_is_answered_as_upstream_does() {
    for case in read("webhook")["cases"].as_array().unwrap() {
        let name = text(case, "name");
        let hub = Hub::in_memory(HubConfig::default());
        let server = server(&hub, HttpConfig::default());
        let body = match name {
            "too_big" => vec![b' '; MAX_BODY + 1],
            _ => text(case, "request_body").as_bytes().to_vec(),
        };
        let site = if name == "cross_origin" {
            "Sec-Fetch-Site: cross-site\r\n"
        } else {
            ""
        };
        let signature = text(case, "signature_header");
        let head = format!(
            "POST /github-webhook HTTP/1.1\r\n{signature}\r\n{site}Content-Length: {}\r\n",
            body.len()
        );
        let reply = ask(&server, case["tls"].as_bool().unwrap(), &head, &body).await;
        assert_as_recorded(name, &reply, case);
        let events = hub.recent(None);
        if case["published"].is_null() {
            assert!(events.is_empty(), "{name}");
        } else {
            let mut expected = Event::from_json(case["published"].to_string().as_bytes()).unwrap();
            expected.time = events[0].time;
            assert_eq!(*events[0], expected, "{name}");
        }
    }
}

#[tokio::test]
async fn a_delivery_counts_once_and_a_trusted_proxy_may_end_tls() {
    let hub = Hub::in_memory(HubConfig::default());
    let config = HttpConfig::default()
        .trusted_proxies(vec![PEER])
        .telling(true);
    let server = server(&hub, config);
    let vectors = read("webhook");
    let case = &vectors["cases"][0];
    let (signature, body) = (text(case, "signature_header"), text(case, "request_body"));
    let post = |extra: &str| {
        format!(
            "POST /github-webhook HTTP/1.1\r\n{extra}Content-Length: {}\r\n",
            body.len()
        )
    };
    let signed = post(&format!(
        "{signature}\r\nX-Forwarded-Proto: https\r\nX-GitHub-Delivery: 1-2-3\r\n"
    ));
    assert_eq!(
        ask(&server, false, &signed, body.as_bytes()).await.status,
        202
    );
    assert_eq!(
        ask(&server, false, &signed, body.as_bytes()).await.status,
        200
    );
    assert_eq!(hub.recent(None).len(), 1);
    let unsigned = post("X-Forwarded-Proto: https\r\n");
    assert_eq!(
        ask(&server, false, &unsigned, body.as_bytes()).await.status,
        401
    );
    let plain = post(&format!("{signature}\r\n"));
    assert_eq!(
        ask(&server, false, &plain, body.as_bytes()).await.status,
        400
    );
}

#[tokio::test]
async fn events_are_answered_at_once_if_kept_and_else_when_they_come() {
    let hub = Hub::in_memory(HubConfig::default());
    let times: Vec<Time> = (0..3).map(|n| hub.publish(issue(n))).collect();
    let server = server(&hub, HttpConfig::default());
    for (after, expected) in [
        ("1970-01-01T00:00:00Z".to_owned(), 0),
        (times[0].to_string(), 1),
    ] {
        let reply = get(&server, &format!("/waitevent?after={after}")).await;
        assert_eq!(reply.body, hub.recent(None)[2 - expected].to_json());
        assert_eq!(
            reply.header("content-type"),
            Some("application/json; charset=utf-8")
        );
    }
    let waiting = tokio::spawn({
        let server = server.clone();
        let path = format!("/waitevent?after={}", times[2]);
        async move { get(&server, &path).await }
    });
    let fourth = hub.publish(issue(3));
    let event = Event::from_json(waiting.await.unwrap().body.as_bytes()).unwrap();
    assert_eq!(event.time, Some(fourth));
    let reply = get(&server, &format!("/recent?after={}", times[2])).await;
    assert_eq!(reply.body.matches("\"Time\"").count(), 2);
    let offset = get(&server, "/recent?after=2026-01-01T01:00:00+01:00").await;
    assert_eq!(offset.status, 200);
    let future = get(&server, "/recent?after=9999-01-01T00:00:00Z").await;
    assert_eq!(future.body, "[\n\n]\n");
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_nothing_ends_after_thirty_seconds() {
    let server = server(&Hub::in_memory(HubConfig::default()), HttpConfig::default());
    let begin = tokio::time::Instant::now();
    let reply = get(&server, "/waitevent").await;
    assert_eq!(begin.elapsed().as_secs(), 30);
    let event = Event::from_json(reply.body.as_bytes()).unwrap();
    assert!(event.long_poll_timeout && event.gerrit.is_none());
    assert!(
        reply.body.ends_with("\",\n\t\"LongPollTimeout\": true\n}"),
        "{}",
        reply.body
    );
}

#[tokio::test]
async fn at_the_end_a_webhook_is_taken_and_who_waits_is_not_waited_for() {
    let hub = Hub::in_memory(HubConfig::default());
    let server = server(&hub, HttpConfig::default().telling(true));
    let stop = CancellationToken::new();
    let connect = || {
        let (client, ours) = tokio::io::duplex(1 << 16);
        let (server, stop) = (server.clone(), stop.clone());
        let serving =
            tokio::spawn(async move { server.serve_connection(ours, PEER, true, &stop).await });
        (client, serving)
    };
    let (mut waiting, waits) = connect();
    let request = b"GET /waitevent HTTP/1.1\r\nHost: h\r\n\r\n";
    waiting.write_all(request).await.unwrap();
    let (mut hook, taking) = connect();
    let body = b"{}";
    // Whoever waits for this is being answered.
    let head = "POST /github-webhook HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    hook.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    hook.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stop.cancel();
    let mut answer = String::new();
    let _ = waiting.read_to_string(&mut answer).await;
    assert_eq!(answer, "");
    waits.await.unwrap();
    hook.write_all(body).await.unwrap();
    hook.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    taking.await.unwrap();
}
