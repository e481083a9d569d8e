//! `coordinator_replies.json`: what upstream's coordinator, gomote server and pick-up handler answer.

use revdial::proto::{Claim, Flavor, Refusal, Routes, Worker};
use revdial::{AcceptError, Accepted, Arrival, FrontDoor, FrontDoorConfig, PickupRegistry};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, duplex};

use super::{cases, texts};
use crate::coordinator::check_key;

pub(super) const REPLIES: &str = include_str!("../../data/coordinator_replies.json");

/// The server of the vectors: a coordinator's paths, a gomote server's under `/rdv`, and a redirect.
pub(super) fn door() -> FrontDoor {
    let routes = Routes::default()
        .registration("/rdv/reverse", Flavor::Gomote)
        .and_then(|routes| routes.redirect("/redir/reverse", "/reverse"))
        .unwrap();
    let config = FrontDoorConfig::default().routes(routes);
    let authorize = |claim: &Claim| match claim.worker() {
        Worker::Gomote { id, .. } if id != "gomote-1" => Err(Refusal::NOT_EXPECTED),
        Worker::Gomote { token, .. } if token != "good" => Err(Refusal::INVALID_TOKEN),
        Worker::Gomote { .. } => Ok(()),
        _ => check_key(claim),
    };
    FrontDoor::new(config, PickupRegistry::new(), authorize).unwrap()
}

#[tokio::test(start_paused = true)]
async fn our_coordinator_answers_every_request_as_upstreams_does() {
    let cases = cases(REPLIES);
    assert_eq!(cases.len(), 24);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let door = door();
        let (mut peer, io) = duplex(1 << 16);
        peer.write_all(case["request"].as_str().unwrap().as_bytes())
            .await
            .unwrap();
        let arrival = if case["tls"] == true {
            Arrival::tls(io)
        } else {
            Arrival::plain(io)
        };
        let accepting = tokio::spawn(async move { door.accept(arrival).await });
        let theirs = texts(&case["response_records"])
            .concat()
            .replace("<EOF>", "");
        if theirs.starts_with("HTTP/0.0 101") {
            let Ok(Accepted::Registered(worker)) = accepting.await.unwrap() else {
                panic!("{name}: not registered");
            };
            let expected = texts(&case["response_records"])[2..].concat();
            let id = worker.dialer.id().to_string();
            let dialing = tokio::spawn(async move { worker.dialer.dial().await });
            // Ours says HTTP/1.1 where theirs says HTTP/0.0; what follows is the same but for the id.
            let mut lines = BufReader::new(peer).lines();
            let mut next = async || lines.next_line().await.unwrap().unwrap();
            assert_eq!(next().await, "HTTP/1.1 101 Switching Protocols", "{name}");
            assert_eq!(next().await, "", "{name}");
            let ours = [next().await, next().await, next().await, String::new()].join("\n");
            let their_id = expected.split_once("dialer=").unwrap().1[..32].to_owned();
            assert_eq!(ours, expected.replace(&their_id, &id), "{name}");
            dialing.abort();
            continue;
        }
        if name == "redirect" {
            // Ours goes on with the same connection by itself; the body is for browsers.
            let mut head = vec![0; 72];
            peer.read_exact(&mut head).await.unwrap();
            let head = String::from_utf8(head).unwrap();
            assert!(
                head.starts_with("HTTP/1.1 307 Temporary Redirect\r\nLocation: /reverse\r\n"),
                "{head}"
            );
            drop(peer);
            assert!(matches!(
                accepting.await.unwrap(),
                Err(AcceptError::PeerClosed)
            ));
            continue;
        }
        let mut ours = String::new();
        peer.read_to_string(&mut ours).await.unwrap();
        assert_eq!(status_and_body(&ours), status_and_body(&theirs), "{name}");
        for header in [
            "Content-Type: text/plain; charset=utf-8\r\n",
            "X-Content-Type-Options: nosniff\r\n",
            "Allow: GET\r\n",
        ] {
            let is_wanted = theirs.contains(header);
            assert!(!is_wanted || ours.contains(header), "{name}: {header}");
        }
        assert!(
            matches!(accepting.await.unwrap(), Err(AcceptError::Refused(_))),
            "{name}"
        );
    }
}

/// Status and body of an HTTP reply.
fn status_and_body(reply: &str) -> (&str, &str) {
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (&head[9..12], body)
}
