//! `session.json`: a session of upstream's programs, each of them replaced by ours in turn; and `v1.json`.

use revdial::proto::{ConnPath, Message, Worker};
use revdial::{AcceptError, Accepted, Arrival, ListenerConfig};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, duplex};

use super::case;
use super::replies::{REPLIES, door};
use crate::coordinator::{opener, read_head};

const SESSION: &str = include_str!("../../data/session.json");
const V1: &str = include_str!("../../data/v1.json");

#[tokio::test(start_paused = true)]
async fn the_session_of_upstreams_programs_is_understood_by_both_our_ends() {
    let session: Value = serde_json::from_str(SESSION).unwrap();
    let events = session["events"].as_array().unwrap();
    let records = |conn: &str, from: &str| -> Vec<String> {
        let of_it = events
            .iter()
            .filter(|event| event["conn"] == conn && event["from"] == from);
        of_it
            .map(|event| event["record"].as_str().unwrap().to_owned())
            .collect()
    };
    let id = "7c2fbbc78d5df8f7b5db60ac77235f32";

    // Their worker at our coordinator: it is registered, and each pick-up gets a dial's stream.
    let door = door();
    let (mut control, io) = duplex(1 << 16);
    control
        .write_all(records("control", "buildlet")[0].as_bytes())
        .await
        .unwrap();
    let Ok(Accepted::Registered(worker)) = door.accept(Arrival::tls(io)).await else {
        panic!("not registered")
    };
    assert!(
        matches!(worker.claim.worker(), Worker::Buildlet { host_type, version, .. } if host_type == "test-reverse-dial" && version == "29")
    );
    let our_id = worker.dialer.id().to_string();
    for number in 1..=7 {
        let pickup = format!("pickup-{number}");
        let dialing = tokio::spawn({
            let dialer = worker.dialer.clone();
            async move { dialer.dial().await }
        });
        tokio::task::yield_now().await;
        let [request, rest @ ..] = &records(&pickup, "buildlet")[..] else {
            panic!("no request")
        };
        let (mut theirs, io) = duplex(1 << 16);
        theirs
            .write_all(request.replace(id, &our_id).as_bytes())
            .await
            .unwrap();
        assert!(matches!(
            door.accept(Arrival::tls(io)).await,
            Ok(Accepted::PickedUp)
        ));
        theirs.write_all(rest.concat().as_bytes()).await.unwrap();
        theirs.shutdown().await.unwrap();
        let mut answers = String::new();
        dialing
            .await
            .unwrap()
            .unwrap()
            .read_to_string(&mut answers)
            .await
            .unwrap();
        assert_eq!(answers, rest.concat());
    }
    let lines = records("control", "coordinator")[2..].concat();
    let conn_ready = lines.matches("conn-ready").count();
    assert_eq!(conn_ready, 7);
    let mut ours = vec![0; lines.len()];
    control.read_exact(&mut ours[..36]).await.unwrap();
    control.read_exact(&mut ours).await.unwrap();
    assert_eq!(String::from_utf8(ours).unwrap(), lines.replace(id, &our_id));

    // Their coordinator at our worker: record by record, and every stream brings what they sent.
    let (opener, mut streams) = opener();
    let listening = opener.register(ListenerConfig::default());
    let mut control = BufReader::new(streams.recv().await.unwrap());
    assert_eq!(
        read_head(&mut control).await,
        records("control", "buildlet")[0]
    );
    let mut from_coordinator = records("control", "coordinator").into_iter();
    for record in from_coordinator.by_ref().take(2) {
        control.write_all(record.as_bytes()).await.unwrap();
    }
    let mut listener = listening.await.unwrap().unwrap();
    for record in from_coordinator {
        control.write_all(record.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
    }
    for number in 1..=7 {
        let pickup = format!("pickup-{number}");
        let mut theirs = BufReader::new(streams.recv().await.unwrap());
        assert_eq!(
            read_head(&mut theirs).await,
            records(&pickup, "buildlet")[0]
        );
        let sent: Vec<_> = records(&pickup, "coordinator")
            .into_iter()
            .filter(|record| record != "<EOF>")
            .collect();
        for record in &sent {
            theirs.write_all(record.as_bytes()).await.unwrap();
        }
        theirs.shutdown().await.unwrap();
        let mut requests = String::new();
        listener
            .accept()
            .await
            .unwrap()
            .read_to_string(&mut requests)
            .await
            .unwrap();
        assert_eq!(requests, sent[2..].concat());
    }
    assert_eq!(
        ConnPath::parse(&format!("/revdial?revdial.dialer={id}"))
            .unwrap()
            .path(),
        "/revdial"
    );
}

/// Version 1 is history: what announces it is refused, and its frames are no control lines.
#[tokio::test(start_paused = true)]
async fn version_1_is_refused() {
    let case = case(REPLIES, "reverse: no X-Revdial-Version");
    let (mut peer, io) = duplex(1 << 16);
    peer.write_all(case["request"].as_str().unwrap().as_bytes())
        .await
        .unwrap();
    let Err(AcceptError::Refused(refusal)) = door().accept(Arrival::tls(io)).await else {
        panic!("let in")
    };
    assert_eq!(
        (refusal.status(), refusal.body()),
        (400, "buildlet binary is too old\n")
    );

    let frames: Value = serde_json::from_str(V1).unwrap();
    for frame in frames["frames"].as_array().unwrap() {
        let hex = frame["hex"].as_str().unwrap();
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        // As the documentation of `proto` has it: kind, number, length, payload.
        assert!(b"NWC".contains(&bytes[0]));
        assert_ne!(u32::from_be_bytes(bytes[1..5].try_into().unwrap()), 0);
        assert_eq!(
            usize::from(u16::from_be_bytes(bytes[5..7].try_into().unwrap())),
            bytes.len() - 7
        );
        assert!(Message::decode(&bytes).is_err());
    }
}
