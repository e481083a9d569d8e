//! Any bytes as the head of a reply or a request: the same comes of them however they are cut, nothing behind a head is lost,
//! and what was decided early stays decided.

#![no_main]

use libfuzzer_sys::fuzz_target;
use revdial::proto::{
    ConnPath, Flavor, Handshake, HeadError, ReplyHead, Routed, Routes, SwitchError,
};

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, received) = input;
    let cut = usize::from(cut).max(1);
    assert_eq!(handshake(received, cut), handshake(received, usize::MAX));
    if let Ok(Some((head, len))) = ReplyHead::parse(received) {
        assert!(len <= received.len() && received[..len].ends_with(b"\n"));
        assert_eq!(ReplyHead::parse(&received[..len]), Ok(Some((head, len))));
    }
    routes(received, cut);
});

/// Requests, and what became of the connection: the stream's first bytes, or an error.
fn handshake(received: &[u8], cut: usize) -> (usize, Result<Vec<u8>, SwitchError>) {
    let mut handshake = Handshake::new(ConnPath::parse("/reverse").expect("a path"), &[]);
    let mut requests = 0;
    let mut rest = received;
    loop {
        let piece = match handshake.poll_transmit() {
            Some(_) => {
                requests += 1;
                &[][..]
            }
            None if rest.is_empty() => return (requests, Err(handshake.closed())),
            None => {
                let (piece, behind) = rest.split_at(cut.min(rest.len()));
                rest = behind;
                piece
            }
        };
        match handshake.receive(piece) {
            Ok(None) => {}
            Ok(Some(first)) => {
                let stream = [&first, rest].concat();
                assert!(received.ends_with(&stream));
                return (requests, Ok(stream));
            }
            Err(error) => {
                requests += usize::from(handshake.poll_transmit().is_some());
                return (requests, Err(error));
            }
        }
    }
}

fn routes(received: &[u8], cut: usize) {
    let routes = Routes::default()
        .registration("/rdv/reverse", Flavor::Gomote)
        .and_then(|routes| routes.redirect("/redirect", "/reverse"))
        .expect("they are paths");
    let whole = kind(&routes, received);
    let mut prefixes = (cut..received.len())
        .step_by(cut)
        .map(|len| kind(&routes, &received[..len]));
    if let Some(early) = prefixes.find(|kind| *kind != Ok(("unfinished", 0))) {
        assert_eq!(early, whole);
    }
}

fn kind(routes: &Routes, received: &[u8]) -> Result<(&'static str, usize), HeadError> {
    Ok(match routes.route(received, true)? {
        Routed::Unfinished => ("unfinished", 0),
        Routed::Other => ("other", 0),
        Routed::Register { claim, len } => {
            assert!(!claim.host_name().contains(['<', '>', '/', '%', ' ', '"']));
            ("register", len)
        }
        Routed::PickUp { len, .. } => ("pick-up", len),
        Routed::Redirected { len, .. } => ("redirected", len),
        Routed::Refused(refusal) => {
            assert!(refusal.encode().starts_with(b"HTTP/1.1 "));
            ("refused", 0)
        }
        _ => ("more", 0),
    })
}
