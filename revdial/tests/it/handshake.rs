//! Replies to a registration or a pick-up.

use bytes::Bytes;
use proptest::prelude::*;
use revdial::proto::{
    ConnPath, Handshake, HeadError, Header, MAX_HEAD_BYTES, PathError, SwitchError,
};

/// What a handshake makes of replies that come in pieces of these sizes: requests, and the outcome.
fn run(replies: &[u8], cuts: &[usize]) -> (Vec<Bytes>, Result<Option<Bytes>, SwitchError>) {
    let mut handshake = Handshake::new(ConnPath::parse("/revdial?x=1").unwrap(), &[]);
    let mut requests = Vec::new();
    let mut rest = replies;
    let mut cuts = cuts.iter().copied().chain(std::iter::repeat(usize::MAX));
    loop {
        let request = handshake.poll_transmit();
        let piece = if request.is_some() {
            &[][..]
        } else if rest.is_empty() {
            return (requests, Err(handshake.closed()));
        } else {
            let (piece, behind) = rest.split_at(cuts.next().unwrap().clamp(1, rest.len()));
            rest = behind;
            piece
        };
        requests.extend(request);
        match handshake.receive(piece) {
            Ok(None) => {}
            Ok(Some(first)) => {
                // What has not been received yet is of the stream, too.
                let stream = [&first, rest].concat();
                return (requests, Ok(Some(stream.into())));
            }
            Err(error) => return (requests, Err(error)),
        }
    }
}

fn outcome(replies: &[u8]) -> Result<Option<Bytes>, SwitchError> {
    run(replies, &[]).1
}

fn error(replies: &str) -> String {
    outcome(replies.as_bytes()).unwrap_err().to_string()
}

#[test]
fn any_version_of_http_may_switch() {
    for reply in [
        "HTTP/0.0 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: revdial\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/2.0 101 Switching Protocols\r\n\r\n",
        "HTTP/9.9 101\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\n\n",
    ] {
        assert_eq!(outcome(reply.as_bytes()), Ok(Some(Bytes::new())), "{reply}");
        let with_more = format!("{reply}0123456789");
        assert_eq!(outcome(with_more.as_bytes()), Ok(Some("0123456789".into())));
    }
}

#[test]
fn a_relative_redirect_is_followed_on_the_same_connection() {
    let redirect = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /x/revdial?revdial.dialer=1\r\nContent-Length: 2\r\n\r\nhi";
    for redirect in [
        redirect.to_owned(),
        redirect.replace(
            "Content-Length: 2\r\n\r\nhi",
            "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nT: v\r\n\r\n",
        ),
    ] {
        let replies = format!("{redirect}HTTP/0.0 101 Switching Protocols\r\n\r\nrest");
        let (requests, outcome) = run(replies.as_bytes(), &[redirect.len()]);
        assert_eq!(outcome, Ok(Some("rest".into())));
        assert_eq!(
            requests,
            [
                "GET /revdial?x=1 HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\n\r\n",
                "GET /x/revdial?revdial.dialer=1 HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\n\r\n",
            ]
        );
    }
}

#[test]
fn headers_are_sent_again_after_a_redirect() {
    let header = Header::new("X-Go-Builder-Key", "00").unwrap();
    let mut handshake = Handshake::new(ConnPath::parse("/reverse").unwrap(), &[header]);
    let first = handshake.poll_transmit().unwrap();
    handshake
        .receive(b"HTTP/1.1 307 .\r\nLocation: /new/place\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    let second = handshake.poll_transmit().unwrap();
    assert_eq!(
        String::from_utf8(first.to_vec())
            .unwrap()
            .replace("/reverse", "/new/place"),
        String::from_utf8(second.to_vec()).unwrap()
    );
}

#[test]
fn a_redirect_leads_nowhere_else_and_only_once() {
    let redirect = |location: &str| {
        format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    assert_eq!(
        error(&redirect("//evil.example/revdial")),
        "redirect Location must be relative: URL \"//evil.example/revdial\" is not relative: contains host"
    );
    assert_eq!(
        error(&redirect("https://evil.example/revdial")),
        "redirect Location must be relative: URL \"https://evil.example/revdial\" is not relative: contains scheme"
    );
    assert_eq!(
        error(&(redirect("/again") + &redirect("/and-again"))),
        "too many redirects"
    );
    assert!(
        error("HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 3\r\n\r\nabc")
            .starts_with("redirect missing Location header; got ")
    );
    let bad = outcome(redirect("elsewhere").as_bytes());
    assert!(matches!(
        bad,
        Err(SwitchError::BadLocation {
            source: PathError::NotAbsolute,
            ..
        })
    ));
}

#[test]
fn other_statuses_are_errors_with_their_text() {
    for (reply, expected) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
            "200 OK:\n\tOK",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n",
            "302 Found:\n\t",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n",
            "100 Continue:\n\t",
        ),
        (
            "HTTP/1.1 400 Bad Request\r\n\r\nuntil the end",
            "400 Bad Request:\n\tuntil the end",
        ),
        (
            "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 18\r\n\r\ninvalid build key\n",
            "412 Precondition Failed:\n\tinvalid build key\n",
        ),
        (
            "HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00a\r\n0123456789\r\n0\r\n\r\n",
            "500 X:\n\tabc0123456789",
        ),
        // As much as came is better than nothing.
        (
            "HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\nthe beginning",
            "500 X:\n\tthe beginning",
        ),
    ] {
        assert_eq!(
            error(reply),
            format!("want HTTP status 101 or 307; got {expected}")
        );
    }
}

#[test]
fn a_reply_that_is_none_is_an_error() {
    for (reply, expected) in [
        ("", "unexpected EOF"),
        ("HTTP/1.1 101 Switching Protocols\r\n", "unexpected EOF"),
        (
            "HTTP/1.1 307 X\r\nLocation: /a\r\nContent-Length: 9\r\n\r\nshort",
            "unexpected EOF",
        ),
        ("NOT HTTP\r\n\r\n", "malformed HTTP status code \"HTTP\""),
        ("garbage\n", "malformed HTTP response \"garbage\""),
        (
            "HTTP/1.10 101 X\r\n\r\n",
            "malformed HTTP version \"HTTP/1.10\"",
        ),
        (
            "HTTP/1.1 +10 X\r\n\r\n",
            "malformed HTTP status code \"+10\"",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "malformed chunked encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "unknown Transfer-Encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "two Content-Length headers that differ",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "bad Content-Length",
        ),
    ] {
        assert_eq!(
            error(reply),
            format!("error reading response: {expected}"),
            "{reply:?}"
        );
    }
}

#[test]
fn an_endless_reply_is_given_up() {
    let endless_head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nX: {}",
        "x".repeat(MAX_HEAD_BYTES)
    );
    assert_eq!(
        outcome(endless_head.as_bytes()),
        Err(SwitchError::Malformed(HeadError::TooLarge))
    );
    let endless_line = "x".repeat(MAX_HEAD_BYTES);
    assert_eq!(
        outcome(endless_line.as_bytes()),
        Err(SwitchError::Malformed(HeadError::TooLarge))
    );
    let many_headers = format!("HTTP/1.1 101 X\r\n{}\r\n", "a: b\r\n".repeat(65));
    assert_eq!(
        outcome(many_headers.as_bytes()),
        Err(SwitchError::Malformed(HeadError::TooLarge))
    );
    let long_redirect = format!(
        "HTTP/1.1 307 X\r\nLocation: /a\r\n\r\n{}",
        "x".repeat(70_000)
    );
    assert_eq!(
        outcome(long_redirect.as_bytes()),
        Err(SwitchError::BodyTooLong)
    );
    // Of an error's body only the beginning counts, and the rest is not waited for.
    let long_error = format!(
        "HTTP/1.1 500 X\r\nContent-Length: 99999999999\r\n\r\n{}",
        "x".repeat(5000)
    );
    let Err(SwitchError::Status { body, .. }) = outcome(long_error.as_bytes()) else {
        panic!("the status is the error");
    };
    assert_eq!(body.len(), 4096);
}

#[test]
fn a_reply_that_stops_is_told_by_its_status_if_that_came() {
    let after = |reply: &[u8]| {
        let mut handshake = Handshake::new(ConnPath::parse("/").unwrap(), &[]);
        handshake.poll_transmit();
        assert_eq!(handshake.receive(reply), Ok(None));
        handshake.timed_out()
    };
    assert_eq!(after(b"HTTP/1.1 400 Bad"), SwitchError::TimedOut);
    assert_eq!(
        after(b"HTTP/1.1 307 X\r\nLocation: /a\r\n\r\n"),
        SwitchError::TimedOut
    );
    let error = after(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\nunk");
    assert_eq!(
        error.to_string(),
        "want HTTP status 101 or 307; got 400 Bad Request:\n\tunk"
    );
}

#[test]
fn a_header_cannot_smuggle_another_one() {
    for value in [
        "a\r\nX: y",
        "a\nb",
        " a",
        "a ",
        "\0",
        "\u{7f}",
        &"x".repeat(8193),
    ] {
        assert!(Header::new("X-Go-Host-Type", value).is_err(), "{value:?}");
    }
    assert!(Header::new("X-Go Host", "a").is_err());
    let key = Header::new("X-Go-Builder-Key", "secret").unwrap();
    assert!(!format!("{key:?}").contains("secret"));
}

#[test]
fn paths_that_lead_elsewhere_or_crash_a_go_listener_are_refused() {
    for (text, expected) in [
        ("", Err(PathError::NotAbsolute)),
        ("abc", Err(PathError::NotAbsolute)),
        ("https://other.example/p", Err(PathError::NotAbsolute)),
        ("//other.example/p", Err(PathError::Host)),
        ("/a\r\nX: y", Err(PathError::ControlByte)),
        ("/a\u{7f}", Err(PathError::ControlByte)),
        ("/%zz", Err(PathError::BadEscape)),
        ("/%4", Err(PathError::BadEscape)),
        ("/?%zz", Ok("/?%zz")),
        ("/a b#frag", Ok("/a%20b")),
        ("/é", Ok("/%C3%A9")),
        ("/a%20b?c=d&e", Ok("/a%20b?c=d&e")),
    ] {
        let path = ConnPath::parse(text);
        assert_eq!(
            path.as_ref().map(ConnPath::as_str),
            expected.as_ref().map(|&path| path),
            "{text:?}"
        );
    }
    let long = "/".to_owned() + &"é".repeat(700);
    assert!(matches!(
        ConnPath::parse(&long),
        Err(PathError::TooLong { .. })
    ));
}

proptest! {
    #[test]
    fn a_reply_means_the_same_however_it_is_cut(
        parts in proptest::collection::vec(prop_oneof![
            Just("HTTP/1.1 307 X\r\nLocation: /a\r\nContent-Length: 2\r\n\r\nhi".to_owned()),
            Just("HTTP/1.1 307 X\r\nLocation: /a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".to_owned()),
            Just("HTTP/0.0 101 Switching Protocols\r\n\r\n".to_owned()),
            Just("HTTP/1.1 400 Bad Request\r\n\r\n".to_owned()),
            "[a-zA-Z0-9/: .\r\n]{0,40}",
        ], 1..4),
        cuts in proptest::collection::vec(1_usize..40, 0..100),
    ) {
        let replies = parts.concat();
        let whole = run(replies.as_bytes(), &[]);
        prop_assert_eq!(run(replies.as_bytes(), &cuts), whole);
    }

    #[test]
    fn no_bytes_make_it_panic(replies in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = run(&replies, &[]);
        let _ = run(&[b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice(), &replies].concat(), &[]);
    }
}
