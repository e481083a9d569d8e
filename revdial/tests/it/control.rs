//! Lines of the control connection.

use proptest::prelude::*;
use revdial::proto::{
    ConnPath, ControlError, DialerId, LineDecoder, MAX_LINE_BYTES, Message, PickupPath,
};

/// Every message of a stream that comes in pieces of these sizes, and how it ended.
fn decode(stream: &[u8], cuts: &[usize]) -> (Vec<Message>, Result<(), ControlError>) {
    let mut lines = LineDecoder::default();
    let mut messages = Vec::new();
    let mut rest = stream;
    let mut cuts = cuts.iter().copied().chain(std::iter::repeat(usize::MAX));
    while !rest.is_empty() {
        let len = cuts.next().unwrap().clamp(1, rest.len());
        let (mut piece, behind) = rest.split_at(len);
        rest = behind;
        loop {
            match lines.next(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    (messages, Ok(()))
}

fn conn_ready(path: &str) -> Message {
    Message::ConnReady {
        conn_path: path.into(),
    }
}

fn failed(path: Option<&str>, error: &str) -> Message {
    Message::PickupFailed {
        conn_path: path.map(Into::into),
        error: error.into(),
    }
}

#[test]
fn lines_that_go_tolerates_are_tolerated() {
    for (line, expected) in [
        (r#"{"command":"keep-alive"}"#, Message::KeepAlive),
        (r#"{"COMMAND":"keep-alive"}"#, Message::KeepAlive),
        ("{\"command\":\"keep-alive\"}\r\n", Message::KeepAlive),
        (
            "  \t{ \"command\" : \"keep-alive\" }  \n",
            Message::KeepAlive,
        ),
        (
            r#"{"command":"x","command":"keep-alive"}"#,
            Message::KeepAlive,
        ),
        (
            r#"{"command":"keep-alive","command":null}"#,
            Message::KeepAlive,
        ),
        (
            r#"{"command":"keep-alive","more":[{"deep":[1,2.5e3,true,null,"x"]}]}"#,
            Message::KeepAlive,
        ),
        (
            r#"{"command":"conn-ready","connpath":"/a","ConnPath":"/b"}"#,
            conn_ready("/b"),
        ),
        (r#"{"command":"conn-ready"}"#, conn_ready("")),
        (
            r#"{"command":"conn-ready","connPath":"\u002frevdial?a=1\u0026b=2"}"#,
            conn_ready("/revdial?a=1&b=2"),
        ),
        (
            r#"{"command":"pickup-failed","err":"boom <&>"}"#,
            failed(None, "boom <&>"),
        ),
        (
            r#"{"command":"pickup-failed","connPath":"/p","err":null}"#,
            failed(Some("/p"), ""),
        ),
        (
            r#"{"command":"pickup-failed","err":"\ud800"}"#,
            failed(None, "\u{fffd}\u{fffd}\u{fffd}"),
        ),
        (r#"{"command":"hello"}"#, Message::Unknown),
        (r#"{"command":"Keep-Alive"}"#, Message::Unknown),
        ("{}", Message::Unknown),
        ("null", Message::Unknown),
    ] {
        assert_eq!(Message::decode(line.as_bytes()), Ok(expected), "{line}");
    }
    let not_utf8 = b"{\"command\":\"pickup-failed\",\"err\":\"\xff\"}\n";
    assert_eq!(Message::decode(not_utf8), Ok(failed(None, "\u{fffd}")));
}

#[test]
fn lines_at_which_go_hangs_up_are_errors() {
    for line in [
        "",
        "\n",
        "  \n",
        "xyz",
        "[]",
        "1",
        "\"keep-alive\"",
        r#"{"command":1}"#,
        r#"{"command":["keep-alive"]}"#,
        r#"{"command":{}}"#,
        r#"{"err":false}"#,
        r#"{"command":"keep-alive"}{"command":"keep-alive"}"#,
        r#"{"command":"keep-alive"} x"#,
        r#"{"command":"keep-alive""#,
        r#"{"command":"keep-alive",}"#,
        "{\"command\":\"a\tb\"}",
        "{'command':'keep-alive'}",
        "\u{feff}{}",
    ] {
        let result = Message::decode(line.as_bytes());
        assert!(
            matches!(result, Err(ControlError::Malformed { .. })),
            "{line:?}: {result:?}"
        );
    }
}

#[test]
fn values_nested_deeply_cost_no_stack() {
    let deep = "[".repeat(2000) + &"]".repeat(2000);
    let line = format!("{{\"command\":\"keep-alive\",\"x\":{deep}}}\n");
    assert!(line.len() <= MAX_LINE_BYTES);
    assert_eq!(Message::decode(line.as_bytes()), Ok(Message::KeepAlive));
}

#[test]
fn a_line_may_have_4096_bytes_and_no_more() {
    let of_length = |len: usize| {
        let begin = "{\"command\":\"keep-alive\",\"x\":\"";
        format!("{begin}{}\"}}\n", "x".repeat(len - begin.len() - 3)).into_bytes()
    };
    for cuts in [&[][..], &[1, 1, 4090], &[4095], &[4096]] {
        assert_eq!(
            decode(&of_length(4096), cuts),
            (vec![Message::KeepAlive], Ok(()))
        );
        assert_eq!(
            decode(&of_length(4097), cuts),
            (vec![], Err(ControlError::LineTooLong))
        );
    }
    // Not even the newline is waited for.
    assert_eq!(decode(&[b' '; 4096], &[]).1, Err(ControlError::LineTooLong));
    assert_eq!(decode(&[b' '; 4095], &[]).1, Ok(()));
}

#[test]
fn what_is_sent_is_what_go_sends() {
    let id = DialerId::parse("7c2fbbc78d5df8f7b5db60ac77235f32").unwrap();
    let path = |path: &str| conn_ready(PickupPath::new(path).unwrap().for_dialer(&id).as_str());
    for (message, line) in [
        (Message::KeepAlive, "{\"command\":\"keep-alive\"}\n"),
        (
            path("/revdial"),
            "{\"command\":\"conn-ready\",\"connPath\":\"/revdial?revdial.dialer=7c2fbbc78d5df8f7b5db60ac77235f32\"}\n",
        ),
        (
            path("/revdial?x=1"),
            "{\"command\":\"conn-ready\",\"connPath\":\"/revdial?x=1\\u0026revdial.dialer=7c2fbbc78d5df8f7b5db60ac77235f32\"}\n",
        ),
        (failed(None, ""), "{\"command\":\"pickup-failed\"}\n"),
        (
            failed(Some("/a"), "\"\\<&>\n\r\t\u{1}\u{2028}é"),
            "{\"command\":\"pickup-failed\",\"connPath\":\"/a\",\"err\":\"\\\"\\\\\\u003c\\u0026\\u003e\\n\\r\\t\\u0001\\u2028é\"}\n",
        ),
    ] {
        assert_eq!(message.encode(), line);
    }
}

#[test]
fn an_error_is_cut_so_that_its_line_is_accepted() {
    for error in ["x".repeat(10_000), "<".repeat(10_000), "é".repeat(10_000)] {
        let line = failed(Some("/p"), &error).encode();
        assert!(line.len() <= MAX_LINE_BYTES && line.len() > MAX_LINE_BYTES - 6);
        let Ok(Message::PickupFailed { error: cut, .. }) = Message::decode(&line) else {
            panic!("{line:?}");
        };
        assert!(error.starts_with(&cut) && cut.len() > 600);
    }
    // A long path gives way to the error.
    let line = failed(Some(&"/p".repeat(1000)), "why").encode();
    assert_eq!(Message::decode(&line), Ok(failed(None, "why")));
}

#[test]
fn the_longest_pickup_path_fits_a_line_however_it_is_escaped() {
    let id = DialerId::from_bytes([0xff; 16]);
    let path = PickupPath::new(&format!("/?{}", "&".repeat(510))).unwrap();
    let expected = path.for_dialer(&id);
    let line = conn_ready(expected.as_str()).encode();
    assert_eq!(Message::decode(&line), Ok(conn_ready(expected.as_str())));
    assert!(PickupPath::new(&format!("/?{}", "&".repeat(511))).is_err());
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        Just(Message::KeepAlive),
        Just(Message::Unknown),
        "/[a-z?&=<>é\"]{0,40}".prop_map(|path| conn_ready(&path)),
        ("\\PC{0,60}", proptest::option::of("/[a-z&]{1,20}"))
            .prop_map(|(error, path)| failed(path.as_deref(), &error)),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_however_it_is_cut(
        messages in proptest::collection::vec(message(), 0..20),
        cuts in proptest::collection::vec(1_usize..50, 0..200),
    ) {
        let stream: Vec<u8> = messages.iter().flat_map(Message::encode).collect();
        prop_assert_eq!(decode(&stream, &cuts), (messages, Ok(())));
    }

    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(
        parts in proptest::collection::vec(prop_oneof![
            Just(b"{}\n".to_vec()),
            Just(b"\n".to_vec()),
            (0_usize..5000).prop_map(|len| vec![b' '; len]),
            proptest::collection::vec(any::<u8>(), 0..20),
        ], 0..20),
        cuts in proptest::collection::vec(1_usize..5000, 0..20),
    ) {
        let stream = parts.concat();
        prop_assert_eq!(decode(&stream, &cuts), decode(&stream, &[]));
    }

    #[test]
    fn a_path_that_is_accepted_cannot_end_a_request_line(text in "\\PC{0,40}|/[\\PC\r\n %#?]{0,40}") {
        if let Ok(path) = ConnPath::parse(&text) {
            prop_assert!(path.as_str().starts_with('/') && !path.as_str().starts_with("//"));
            prop_assert!(path.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(ConnPath::parse(path.as_str()), Ok(path));
        }
    }
}
