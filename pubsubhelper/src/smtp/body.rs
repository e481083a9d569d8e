/// The text of a mail as it comes, up to the line that is a dot alone.
///
/// Lines end in CR LF and in nothing else: who takes a bare LF or CR for the end of a line reads other mails out of the same bytes (SMTP smuggling).
#[derive(Debug)]
pub(super) struct Body {
    text: Vec<u8>,
    place: Place,
    line: usize,
    max_text: usize,
    max_line: usize,
    fault: Option<BodyFault>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    LineStart,
    /// Behind a dot at the start of a line.
    Dot,
    /// Behind the CR that follows such a dot.
    DotCr,
    Line,
    Cr,
}

/// What is wrong with a mail that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFault {
    TooLong,
    LongLine,
}

/// Where the bytes of a mail ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// The mail goes on behind them.
    Open,
    /// So many of them are the mail's, with its last line.
    Done(usize),
    /// A CR without LF, or the other way round.
    BareLineEnd,
}

impl Body {
    pub(super) fn new(max_text: usize, max_line: usize) -> Self {
        Self {
            text: Vec::new(),
            place: Place::LineStart,
            line: 0,
            max_text,
            max_line,
            fault: None,
        }
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) -> BodyEnd {
        for (at, &byte) in bytes.iter().enumerate() {
            self.place = match (self.place, byte) {
                (Place::DotCr, b'\n') => return BodyEnd::Done(at + 1),
                (Place::Cr, b'\n') => {
                    self.line = 0;
                    self.keep(b"\r\n");
                    Place::LineStart
                }
                (Place::DotCr | Place::Cr, _) | (_, b'\n') => return BodyEnd::BareLineEnd,
                (Place::Dot, b'\r') => Place::DotCr,
                (_, b'\r') => Place::Cr,
                (Place::LineStart, b'.') => Place::Dot,
                // A dot that somebody put before a line goes.
                (Place::LineStart | Place::Dot | Place::Line, byte) => {
                    self.line += 1;
                    if self.line > self.max_line {
                        self.fault.get_or_insert(BodyFault::LongLine);
                    } else {
                        self.keep(&[byte]);
                    }
                    Place::Line
                }
            };
        }
        BodyEnd::Open
    }

    /// The text, once it is done.
    pub(super) fn finish(self) -> Result<Vec<u8>, BodyFault> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self.text),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.text.len() + bytes.len() > self.max_text {
            self.fault.get_or_insert(BodyFault::TooLong);
        } else {
            self.text.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(wire: &[u8]) -> (BodyEnd, Result<Vec<u8>, BodyFault>) {
        let mut body = Body::new(1000, 100);
        (body.receive(wire), body.finish())
    }

    #[test]
    fn dots_are_taken_off_and_a_dot_alone_ends_it() {
        let (end, text) = read(b"a\r\n..\r\n.b\r\n\r\n.\r\nQUIT\r\n");
        assert_eq!(end, BodyEnd::Done(16));
        assert_eq!(text.unwrap(), b"a\r\n.\r\nb\r\n\r\n");
        assert_eq!(read(b".\r\n").0, BodyEnd::Done(3));
    }

    #[test]
    fn no_other_end_of_a_line_is_one() {
        for smuggled in [
            &b"a\n.\r\n"[..],
            b"a\r\n.\n",
            b"a\r.\r\n",
            b"a\r\n.\r.\r\n",
            b"a\r\r\n.\r\n",
            b"\n",
            b"\r\n.\r\r\n",
        ] {
            assert_eq!(
                read(smuggled).0,
                BodyEnd::BareLineEnd,
                "{}",
                smuggled.escape_ascii()
            );
        }
    }

    #[test]
    fn long_lines_and_long_mails_come_to_their_end() {
        let line = [&[b'x'; 101][..], b"\r\n.\r\n"].concat();
        assert_eq!(read(&line), (BodyEnd::Done(106), Err(BodyFault::LongLine)));
        let mail = [b"x\r\n".repeat(400), b".\r\n".to_vec()].concat();
        assert_eq!(read(&mail), (BodyEnd::Done(1203), Err(BodyFault::TooLong)));
    }

    proptest! {
        #[test]
        fn a_mail_is_what_was_sent_however_it_is_cut(
            lines in prop::collection::vec("[.a-c \\t]{0,5}", 0..8),
            cuts in prop::collection::vec(1..7_usize, 1..8),
        ) {
            let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let stuffed: String = (lines.iter())
                .map(|line| if line.starts_with('.') { format!(".{line}\r\n") } else { format!("{line}\r\n") })
                .collect();
            let wire = format!("{stuffed}.\r\n").into_bytes();
            let mut body = Body::new(1000, 100);
            let mut rest = &wire[..];
            for cut in cuts.into_iter().cycle() {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                let end = body.receive(now);
                rest = later;
                if rest.is_empty() {
                    prop_assert_eq!(end, BodyEnd::Done(now.len()));
                    break;
                }
                prop_assert_eq!(end, BodyEnd::Open);
            }
            prop_assert_eq!(body.finish().unwrap(), text.into_bytes());
        }
    }
}
