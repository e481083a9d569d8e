//! Any bytes on a control connection: both ends understand the same however they are cut, never hold more than a line, and
//! what they understand survives being sent on.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use revdial::proto::{
    ConnPath, DialerCore, DialerEvent, DialerId, LineDecoder, ListenerCore, MAX_LINE_BYTES,
    Message, PickupPath,
};
use revdial::{DialerConfig, ListenerConfig};

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, stream) = input;
    let cut = usize::from(cut).max(1);
    let whole = messages(stream, usize::MAX);
    assert_eq!(messages(stream, cut), whole);
    assert_eq!(dialer(stream, cut), dialer(stream, usize::MAX));
    assert_eq!(listener(stream, cut), listener(stream, usize::MAX));
    for message in whole.0 {
        let line = message.encode();
        assert!(line.len() <= MAX_LINE_BYTES && line.ends_with(b"\n"));
        assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
        let again = Message::decode(&line).expect("what is encoded is decoded");
        // What was cut to fit is not cut again.
        assert_eq!(Message::decode(&again.encode()), Ok(again));
    }
});

fn messages(stream: &[u8], cut: usize) -> (Vec<Message>, bool) {
    let mut lines = LineDecoder::default();
    let mut messages = Vec::new();
    for mut piece in stream.chunks(cut.min(stream.len().max(1))) {
        loop {
            match lines.next(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    (messages, false)
}

fn dialer(stream: &[u8], cut: usize) -> (Vec<DialerEvent<()>>, bool) {
    let now = Instant::now();
    let id = DialerId::from_bytes([0; 16]);
    let mut core = DialerCore::new(&PickupPath::default(), &id, DialerConfig::default(), now);
    for _ in 0..3 {
        core.dial(now, now + Duration::from_secs(1))
            .expect("three may wait");
    }
    let mut pieces = stream.chunks(cut.min(stream.len().max(1)));
    let failed = pieces.any(|piece| core.receive(piece, now).is_err());
    (std::iter::from_fn(|| core.poll_event()).collect(), failed)
}

fn listener(stream: &[u8], cut: usize) -> (Vec<ConnPath>, usize, bool) {
    let now = Instant::now();
    let mut core = ListenerCore::new(&ListenerConfig::default(), now);
    let mut pieces = stream.chunks(cut.min(stream.len().max(1)));
    let failed = pieces.any(|piece| core.receive(piece, now).is_err());
    let pickups: Vec<_> = std::iter::from_fn(|| core.poll_pickup()).collect();
    for path in &pickups {
        assert!(
            path.as_str().starts_with('/')
                && path.as_str().bytes().all(|byte| byte.is_ascii_graphic())
        );
    }
    (
        pickups,
        std::iter::from_fn(|| core.poll_transmit()).count(),
        failed,
    )
}
