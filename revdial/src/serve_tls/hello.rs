//! What of a TLS `ClientHello` has to be understood: where its server name is, and whether that is a name with a port.

use std::ops::Range;

/// The extension `server_name` (RFC 6066, section 3).
const SERVER_NAME: u16 = 0;
/// What stands in its place while rustls reads the message: of the numbers that are reserved for private use (RFC 8446,
/// section 11). rustls, as every TLS server must, passes over extensions that it does not know.
const HIDDEN: u16 = 0xff7c;
/// The handshake message (RFC 8446, section 4).
pub(super) const CLIENT_HELLO: u8 = 1;
/// Type and length of a handshake message.
pub(super) const HEADER: usize = 4;

/// Hides the server name in a complete `ClientHello` if it is a host with a port, and tells whether it did.
///
/// Lengths stay as they are. A message that already holds what [`reveal`] would change is left alone: its handshake fails.
pub(super) fn hide(message: &mut [u8]) -> bool {
    let Some(at) = to_hide(message) else {
        return false;
    };
    message[at..at + 2].copy_from_slice(&HIDDEN.to_be_bytes());
    true
}

/// Where the extension begins that [`hide`] has to change.
fn to_hide(message: &[u8]) -> Option<usize> {
    if hidden(message).is_some() {
        return None;
    }
    let mut names = extensions(message).filter(|(_, kind, _)| *kind == SERVER_NAME);
    let (at, _, body) = names.next()?;
    // Two names are a fault, which rustls reports.
    (names.next().is_none() && is_name_with_port(&message[body])).then_some(at)
}

/// Where the extension begins that [`hide`] has changed.
fn hidden(message: &[u8]) -> Option<usize> {
    extensions(message).find_map(|(at, kind, body)| {
        (kind == HIDDEN && is_name_with_port(&message[body])).then_some(at)
    })
}

/// The `ClientHello` as the client sent it, if `message` is one whose server name [`hide`] hid.
///
/// The end of the message may be missing, as it is when the binders behind it are checked (RFC 8446, section 4.2.11.2).
pub(super) fn reveal(message: &[u8]) -> Option<Vec<u8>> {
    let at = hidden(message)?;
    let mut revealed = message.to_vec();
    revealed[at..at + 2].copy_from_slice(&SERVER_NAME.to_be_bytes());
    Some(revealed)
}

/// A `ClientHello` as [`hide`] leaves it, and as it was sent.
pub(super) fn sample() -> (Vec<u8>, Vec<u8>) {
    let mut hidden = [
        &[CLIENT_HELLO, 0, 0, 57, 3, 3][..],
        &[0; 32],
        &[0, 0, 2, 0x13, 1, 1, 0],
    ]
    .concat();
    // One extension: its body is a list of one host name, "a:1".
    hidden.extend([0, 12, 0, 0, 0, 8, 0, 6, 0, 0, 3, b'a', b':', b'1']);
    let sent = hidden.clone();
    hide(&mut hidden);
    (hidden, sent)
}

/// The extensions of a `ClientHello`: where each begins, its type, and where its body is. Ends where the bytes do.
fn extensions(message: &[u8]) -> impl Iterator<Item = (usize, u16, Range<usize>)> {
    let mut at = extensions_begin(message).unwrap_or(message.len());
    std::iter::from_fn(move || {
        let kind = u16_at(message, at)?;
        let body = at + 4..at + 4 + usize::from(u16_at(message, at + 2)?);
        message.get(body.clone())?;
        Some((std::mem::replace(&mut at, body.end), kind, body))
    })
}

/// Behind the fixed fields and the lists of RFC 8446, section 4.1.2.
fn extensions_begin(message: &[u8]) -> Option<usize> {
    if *message.first()? != CLIENT_HELLO {
        return None;
    }
    let session_id = HEADER + 2 + 32;
    let suites = session_id + 1 + usize::from(*message.get(session_id)?);
    let compression = suites + 2 + usize::from(u16_at(message, suites)?);
    let extensions = compression + 1 + usize::from(*message.get(compression)?);
    Some(extensions + 2)
}

/// Whether the body of the extension is a list of one host name that ends in a colon and a port.
fn is_name_with_port(body: &[u8]) -> bool {
    let host_name = |body| {
        let (list, []) = prefixed(body)? else {
            return None;
        };
        let (0, list) = (*list.first()?, list.get(1..)?) else {
            return None;
        };
        let (name, []) = prefixed(list)? else {
            return None;
        };
        Some(name)
    };
    let Some(name) = host_name(body) else {
        return false;
    };
    let Some(colon) = name.iter().rposition(|&byte| byte == b':') else {
        return false;
    };
    let (host, port) = (&name[..colon], &name[colon + 1..]);
    !host.is_empty() && matches!(port.len(), 1..=5) && port.iter().all(u8::is_ascii_digit)
}

/// A vector behind its length in two bytes, and what follows it.
fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = usize::from(u16_at(bytes, 0)?);
    bytes[2..].split_at_checked(len)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A `ClientHello` with these extensions.
    pub(crate) fn hello(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut body = [&[3, 3][..], &[7; 32], &[2, 9, 9], &[0, 2, 0x13, 1], &[1, 0]].concat();
        let mut list = Vec::new();
        for (kind, content) in extensions {
            list.extend(kind.to_be_bytes());
            list.extend((content.len() as u16).to_be_bytes());
            list.extend(content);
        }
        body.extend((list.len() as u16).to_be_bytes());
        body.extend(list);
        let len = (body.len() as u32).to_be_bytes();
        [&[CLIENT_HELLO], &len[1..], &body].concat()
    }

    /// The body of a server name extension.
    pub(crate) fn name(name: &str) -> Vec<u8> {
        let len = name.len() as u16;
        [
            &(len + 3).to_be_bytes()[..],
            &[0],
            &len.to_be_bytes(),
            name.as_bytes(),
        ]
        .concat()
    }

    #[test]
    fn a_name_with_a_port_is_hidden_and_revealed() {
        for with_port in [
            "localhost:8119",
            "127.0.0.1:1",
            "[::1]:65535",
            "build.example.org:8443",
        ] {
            let sent = hello(&[
                (16, vec![1]),
                (SERVER_NAME, name(with_port)),
                (43, vec![2; 9]),
            ]);
            let mut read = sent.clone();
            assert!(hide(&mut read), "{with_port}");
            assert_ne!(read, sent);
            assert_eq!(read.len(), sent.len());
            assert_eq!(reveal(&read).as_deref(), Some(&sent[..]));
            // Without its end too.
            let cut = sent.len() - 5;
            assert_eq!(reveal(&read[..cut]).as_deref(), Some(&sent[..cut]));
        }
    }

    #[test]
    fn every_other_hello_stays_as_it_is() {
        let twice = (SERVER_NAME, name("a:1"));
        for (extensions, why) in [
            (vec![], "no name"),
            (vec![(SERVER_NAME, name("localhost"))], "a name"),
            (vec![(SERVER_NAME, name("localhost:"))], "no port"),
            (vec![(SERVER_NAME, name(":8119"))], "no host"),
            (
                vec![(SERVER_NAME, name("localhost:811900"))],
                "no port, for its length",
            ),
            (vec![(SERVER_NAME, name("local host"))], "not a name at all"),
            (vec![(SERVER_NAME, vec![])], "an empty body"),
            (
                vec![(SERVER_NAME, [name("a:1"), vec![0]].concat())],
                "a byte too many",
            ),
            (vec![twice.clone(), twice.clone()], "two names"),
            (
                vec![twice.clone(), (SERVER_NAME, name("a"))],
                "two names, one of them good",
            ),
            (vec![(HIDDEN, name("a:1")), twice], "already hidden"),
            (vec![(16, name("a:1"))], "another extension"),
        ] {
            let sent = hello(&extensions);
            let mut read = sent.clone();
            assert!(!hide(&mut read), "{why}");
            assert_eq!(read, sent, "{why}");
        }
    }

    #[test]
    fn only_a_client_hello_is_looked_into() {
        let mut other = hello(&[(SERVER_NAME, name("a:1"))]);
        other[0] = 2;
        assert!(!hide(&mut other));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_come_back(mut bytes in any::<Vec<u8>>(), begin in any::<bool>()) {
            if let (true, Some(first)) = (begin, bytes.first_mut()) {
                *first = CLIENT_HELLO;
            }
            let sent = bytes.clone();
            if hide(&mut bytes) {
                prop_assert_eq!(reveal(&bytes), Some(sent));
            } else {
                prop_assert_eq!(bytes, sent);
            }
        }

        #[test]
        fn a_hello_cut_anywhere_is_survived(at in 0..200_usize, host in "[a-z:0-9]{1,20}") {
            let mut cut = hello(&[(5, vec![1; 30]), (SERVER_NAME, name(&host)), (41, vec![2; 50])]);
            cut.truncate(at);
            let sent = cut.clone();
            if hide(&mut cut) {
                prop_assert_eq!(reveal(&cut), Some(sent));
            }
        }
    }
}
