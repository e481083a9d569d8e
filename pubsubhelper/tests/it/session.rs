use std::sync::Arc;

use proptest::prelude::*;
use pubsubhelper::{Envelope, Session, SmtpConfig, Step};

use crate::vectors::read;

const TO: &str = "gopherbot@pubsubhelper.golang.org";
const OPENING: &str =
    "EHLO a\r\nMAIL FROM:<x@h>\r\nRCPT TO:<gopherbot@pubsubhelper.golang.org>\r\nDATA\r\n";

fn session() -> Session {
    Session::new(Arc::new(SmtpConfig::new("HOSTNAME", TO).max_mail(64 << 10)))
}

/// What a session says and gets, when its mails are all taken.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    replies: String,
    mails: Vec<Envelope>,
    closed: bool,
}

impl Heard {
    fn listen(&mut self, session: &mut Session) {
        while let Some(step) = session.next_step() {
            match step {
                Step::Reply(bytes) => self.replies.push_str(&String::from_utf8(bytes).unwrap()),
                Step::Mail(mail) => {
                    self.mails.push(mail);
                    session.answer_mail(true);
                }
                Step::Close => self.closed = true,
            }
        }
    }

    fn last(&self) -> &str {
        self.replies.lines().last().unwrap()
    }
}

fn hear<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Heard {
    let (mut session, mut heard) = (session(), Heard::default());
    heard.listen(&mut session);
    for piece in pieces {
        session.receive(piece);
        heard.listen(&mut session);
    }
    heard
}

#[test]
fn every_recorded_dialogue_is_the_same() {
    for (name, lines) in read("smtp_transcripts").as_object().unwrap() {
        let (mut session, mut heard, mut expected) = (session(), Heard::default(), String::new());
        heard.listen(&mut session);
        for line in lines.as_array().unwrap() {
            let line = line.as_str().unwrap();
            if line == "S: <closed>" {
                assert!(heard.closed, "{name}");
            } else if let Some(reply) = line.strip_prefix("S: ") {
                if reply.starts_with("500 line doesn't end") {
                    session.receive(b"HELO a\n");
                    heard.listen(&mut session);
                }
                // The recording shows the reply's backslashes as they are on the wire.
                expected += &format!("{reply}\r\n");
            } else if let Some(sent) = line.strip_prefix("C: ") {
                session.receive(format!("{sent}\r\n").as_bytes());
                heard.listen(&mut session);
            }
        }
        assert_eq!(heard.replies, expected, "{name}");
    }
}

#[test]
fn commands_may_come_in_one_packet_up_to_data() {
    let heard = hear([
        OPENING.as_bytes(),
        b"a: b\r\n\r\n..c\r\n.\r\nMAIL FROM:<>\r\nQUIT\r\n",
    ]);
    assert_eq!(heard.mails.len(), 1);
    assert_eq!(heard.mails[0].sender, "x@h");
    assert_eq!(heard.mails[0].message, b"a: b\r\n\r\n.c\r\n");
    assert!(
        heard
            .replies
            .ends_with("queued\r\n250 2.1.0 Ok\r\n221 2.0.0 Bye\r\n"),
        "{}",
        heard.replies
    );
}

#[test]
fn two_mails_come_in_one_session() {
    let again = OPENING.replace("EHLO a\r\n", "");
    let heard = hear([
        OPENING.as_bytes(),
        b"1\r\n.\r\n",
        again.as_bytes(),
        b"2\r\n.\r\n",
    ]);
    assert_eq!(heard.mails.len(), 2);
}

#[test]
fn a_mail_sent_before_the_reply_to_data_is_none() {
    let heard = hear([[OPENING.as_bytes(), b"a: b\r\n\r\n.\r\n"]
        .concat()
        .as_slice()]);
    assert!(heard.mails.is_empty() && heard.closed);
    assert!(
        heard.last().starts_with("554 5.5.0") && !heard.replies.contains("354"),
        "{}",
        heard.replies
    );
}

#[test]
fn smuggled_ends_of_a_mail_end_the_session() {
    for end in [
        "\n.\n",
        "\n.\r\n",
        "\r.\r\n",
        "\r\n.\n",
        "\r\n.\r",
        "\r\r\n.\r\n",
    ] {
        let mail = format!("a: b\r\n\r\nc{end}MAIL FROM:<evil@h>\r\n.\r\n");
        let heard = hear([OPENING.as_bytes(), mail.as_bytes()]);
        assert!(heard.mails.is_empty() && heard.closed, "{end:?}");
        assert!(heard.last().starts_with("554 5.5.2"), "{end:?}");
    }
}

#[test]
fn a_long_header_line_costs_the_mail_and_not_the_session() {
    let mail = format!("X: {}\r\n\r\n.\r\nNOOP\r\n", "y".repeat(100_000));
    let heard = hear([OPENING.as_bytes(), mail.as_bytes()]);
    assert!(heard.mails.is_empty() && !heard.closed);
    assert!(
        heard.replies.ends_with("too long\r\n250 2.0.0 OK\r\n"),
        "{}",
        heard.replies
    );
}

#[test]
fn a_mail_over_the_limit_is_refused_at_its_end() {
    let mail = format!("{}.\r\n", "0123456789abcdef\r\n".repeat(5000));
    let heard = hear([OPENING.as_bytes(), mail.as_bytes()]);
    assert!(heard.mails.is_empty() && heard.last().starts_with("552 "));
}

#[test]
fn long_commands_and_many_errors_end_the_session() {
    let heard = hear([&[b'x'; 5000][..]]);
    assert!(heard.closed && heard.last().starts_with("500 5.5.6"));
    let heard = hear(std::iter::repeat_n(&b"VRFY a\r\n"[..], 30));
    assert!(heard.closed && heard.last().starts_with("421 "));
    assert_eq!(heard.replies.lines().count(), 22);
}

#[test]
fn a_mail_that_cannot_be_checked_comes_again() {
    let mut session = session();
    session.receive(OPENING.as_bytes());
    while session.next_step().is_some() {}
    session.receive(b"a: b\r\n\r\n.\r\nNOOP\r\n");
    assert!(matches!(session.next_step(), Some(Step::Mail(_))));
    assert_eq!(session.next_step(), None); // nothing behind the mail is answered before it
    session.answer_mail(false);
    let mut heard = Heard::default();
    heard.listen(&mut session);
    assert!(heard.replies.starts_with("451 ") && heard.replies.ends_with("250 2.0.0 OK\r\n"));
}

proptest! {
    #[test]
    fn a_dialogue_is_the_same_however_it_is_cut(
        commands in prop::collection::vec(prop_oneof![
            Just("EHLO a"), Just("MAIL FROM:<x@h>"), Just("RCPT TO:<gopherbot@pubsubhelper.golang.org>"), Just("RSET"),
            Just("NOOP"), Just("NOPE"), Just("RCPT TO:<o@h>"), Just("RSET x"), Just("MAIL FROM: <x>"), Just("a\rb"),
        ], 0..12),
        cuts in prop::collection::vec(1..20_usize, 1..8),
    ) {
        let wire = commands.join("\r\n") + "\r\nQUIT\r\nNOOP\r\n";
        let whole = hear([wire.as_bytes()]);
        let (mut pieces, mut rest, mut cuts) = (Vec::new(), wire.as_bytes(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = later;
        }
        prop_assert!(whole.closed);
        prop_assert_eq!(hear(pieces), whole);
    }

    #[test]
    fn no_bytes_make_it_panic_and_every_mail_has_whole_lines(bytes in prop::collection::vec(
        prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a'), any::<u8>()], 0..200)) {
        let heard = hear([OPENING.as_bytes(), &bytes]);
        for mail in heard.mails {
            let text = String::from_utf8_lossy(&mail.message).replace("\r\n", "");
            prop_assert!(!text.contains(['\r', '\n']));
        }
    }
}
