use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use memchr::{memchr, memmem};

use crate::api::{Step, Timestamp};
use crate::web::ansi::{Style, render};
use crate::web::backend::TimeMark;
use crate::web::text::{attribute, clock};

/// Bytes of a line; a longer one goes on in the next.
pub(super) const MAX_LINE: usize = 16 << 10;

/// A place in a log, at the beginning of a line, and all that must be known to show it from there on.
///
/// As text it is the id of server-sent events: a browser that lost its connection says with it where to go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Bytes before it.
    pub(super) offset: u64,
    /// Lines before it.
    pub(super) line: u64,
    pub(super) style: Style,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.offset, self.line, self.style.token())
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '.');
        let mut number = || parts.next()?.parse().ok();
        let (offset, line) = (number().ok_or(())?, number().ok_or(())?);
        let style = parts.next().and_then(Style::from_token).ok_or(())?;
        // Beyond that neither a log nor JavaScript's numbers go.
        if offset >= 1 << 53 || line >= 1 << 53 {
            return Err(());
        }
        Ok(Self {
            offset,
            line,
            style,
        })
    }
}

/// Makes lines of a log into HTML, with numbers, times and headings where steps begin.
pub(super) struct LogLines {
    place: Place,
    /// A line that has not ended yet, at most [`MAX_LINE`].
    open: Vec<u8>,
    times: Times,
    headings: Vec<Heading>,
    failure: Failure,
}

struct Heading {
    offset: u64,
    html: String,
}

/// When lines were written.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    marks: Vec<TimeMark>,
    started: Option<Timestamp>,
}

/// Looks for the line that says what went wrong.
#[derive(Clone, Copy, Debug, Default)]
struct Failure {
    /// Where the failed step's output begins and ends.
    range: Option<(u64, u64)>,
    found: Option<u64>,
    last: Option<u64>,
}

impl LogLines {
    /// From `place` on, with the headings of these steps.
    pub(super) fn new(place: Place, steps: &[Step], times: Times) -> Self {
        let mut lines = Self {
            place,
            open: Vec::new(),
            times,
            headings: Vec::new(),
            failure: Failure::default(),
        };
        lines.set_steps(steps);
        lines
    }

    /// Says anew where steps begin; those before the place have been shown.
    pub(super) fn set_steps(&mut self, steps: &[Step]) {
        let offset_of = |step: &Step| step.log_offset.filter(|_| step.started.is_some());
        self.headings = steps
            .iter()
            .enumerate()
            .filter_map(|(n, step)| {
                let offset = offset_of(step).filter(|&at| at >= self.place.offset)?;
                Some(Heading {
                    offset,
                    html: heading(n, step),
                })
            })
            .collect();
        self.headings.sort_by_key(|heading| heading.offset);
        self.headings.reverse();
        self.failure.range = steps
            .iter()
            .position(|step| step.state.is_failure())
            .and_then(|n| {
                let end = steps[n + 1..]
                    .iter()
                    .find_map(offset_of)
                    .unwrap_or(u64::MAX);
                Some((offset_of(&steps[n])?, end))
            });
    }

    /// Takes more of the log, and writes its whole lines to `out`.
    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut String) {
        while !bytes.is_empty() {
            let room = MAX_LINE - self.open.len();
            let (part, ends) = match memchr(b'\n', &bytes[..bytes.len().min(room)]) {
                Some(at) => (at, 1),
                None => (bytes.len().min(room), 0),
            };
            let (taken, rest) = bytes.split_at(part);
            bytes = &rest[ends..];
            if ends == 1 {
                if self.open.is_empty() {
                    self.line(taken, part + 1, out);
                } else {
                    let mut line = std::mem::take(&mut self.open);
                    line.extend_from_slice(taken);
                    self.line(&line, line.len() + 1, out);
                    line.clear();
                    self.open = line;
                }
                continue;
            }
            self.open.extend_from_slice(taken);
            if self.open.len() == MAX_LINE {
                let line = std::mem::take(&mut self.open);
                let cut = character_border(&line);
                self.line(&line[..cut], cut, out);
                self.open = line[cut..].to_vec();
            }
        }
    }

    /// Writes what came of a line that has not ended, without taking it; nothing if there is none.
    pub(super) fn peek(&self, out: &mut String) {
        if !self.open.is_empty() {
            let mut style = self.place.style;
            write_line(&mut style, self.place, &self.open, &self.times, out);
        }
    }

    /// Writes the last line, if nothing ended it.
    pub(super) fn finish(&mut self, out: &mut String) {
        if !self.open.is_empty() {
            let line = std::mem::take(&mut self.open);
            self.line(&line, line.len(), out);
        }
        self.write_headings(u64::MAX, out);
    }

    /// Where the next line begins.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Bytes of the line that has not ended.
    pub(super) fn open_len(&self) -> usize {
        self.open.len()
    }

    /// The number of the line that tells best why the step failed, as far as the lines that were pushed go.
    pub(super) fn failure(&self) -> Option<u64> {
        self.failure.found.or(self.failure.last)
    }

    fn line(&mut self, line: &[u8], len: usize, out: &mut String) {
        self.write_headings(self.place.offset, out);
        self.failure.look(self.place, line);
        let mut style = self.place.style;
        write_line(&mut style, self.place, line, &self.times, out);
        self.place.style = style;
        self.place.offset += len as u64;
        self.place.line += 1;
    }

    fn write_headings(&mut self, up_to: u64, out: &mut String) {
        while self
            .headings
            .last()
            .is_some_and(|heading| heading.offset <= up_to)
        {
            let heading = self.headings.pop().expect("there is a last one");
            out.push_str(&heading.html);
            // What a step did not switch off is not the next one's.
            self.place.style = Style::default();
        }
    }
}

impl Times {
    /// For an attempt that began at `started`.
    pub(super) fn new(marks: Vec<TimeMark>, started: Option<Timestamp>) -> Self {
        Self { marks, started }
    }

    /// How long after the attempt's beginning the byte at `offset` came, if that is known.
    fn at(&self, offset: u64) -> Option<(Timestamp, std::time::Duration)> {
        let after = self.marks.partition_point(|mark| mark.offset <= offset);
        let time = self.marks[after.checked_sub(1)?].time;
        Some((time, time.since(self.started?)))
    }
}

impl Failure {
    /// Words that a compiler, a test runner or an interpreter says before a cause, rather than behind it.
    const SIGNS: [&[u8]; 14] = [
        b"error:",
        b"error[",
        b"Error:",
        b"ERROR",
        b"FAIL",
        b"panic:",
        b"panicked at",
        b"fatal:",
        b"Traceback (most recent call last)",
        b"undefined reference",
        b"Assertion",
        b"assertion",
        b"command not found",
        b"No such file or directory",
    ];

    fn look(&mut self, place: Place, line: &[u8]) {
        let Some((from, to)) = self.range else { return };
        if self.found.is_some() || place.offset < from || place.offset >= to {
            return;
        }
        let number = place.line + 1;
        if Self::SIGNS
            .iter()
            .any(|sign| memmem::find(line, sign).is_some())
        {
            self.found = Some(number);
        } else if !line.trim_ascii().is_empty() {
            self.last = Some(number);
        }
    }
}

fn write_line(style: &mut Style, place: Place, line: &[u8], times: &Times, out: &mut String) {
    let number = place.line + 1;
    let _ = write!(
        out,
        "<div class=\"l\" id=\"L{number}\"><a href=\"#L{number}\">{number}</a>"
    );
    if let Some((time, since)) = times.at(place.offset) {
        let _ = write!(out, "<time datetime=\"{time}\">{}</time>", clock(since));
    }
    out.push_str("<span>");
    render(style, line, out);
    out.push_str("</span></div>\n");
}

fn heading(n: usize, step: &Step) -> String {
    let number = n + 1;
    let name = attribute(&step.name);
    format!("<h3 class=\"step\" id=\"step-{number}\">{name}</h3>\n")
}

/// Where to cut a line that is too long: not within a character.
fn character_border(line: &[u8]) -> usize {
    let is_border = |at: usize| line.get(at).is_none_or(|b| b & 0xc0 != 0x80);
    (line.len() - 3..line.len())
        .rev()
        .find(|&at| is_border(at) && line[at] >= 0xc0)
        .unwrap_or(line.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::State;

    fn step(name: &str, state: State, offset: u64) -> Step {
        Step {
            name: name.to_owned(),
            state,
            log_offset: Some(offset),
            started: Some(Timestamp::default()),
            ended: None,
            exit: None,
        }
    }

    fn lines(text: &[u8], steps: &[Step]) -> (String, LogLines) {
        let mut lines = LogLines::new(Place::default(), steps, Times::default());
        let mut out = String::new();
        lines.push(text, &mut out);
        (out, lines)
    }

    #[test]
    fn lines_are_numbered() {
        let (mut out, mut lines) = lines(b"one\ntwo", &[]);
        assert_eq!(
            out,
            "<div class=\"l\" id=\"L1\"><a href=\"#L1\">1</a><span>one</span></div>\n"
        );
        assert_eq!(lines.open_len(), 3);
        out.clear();
        lines.peek(&mut out);
        let last = "<div class=\"l\" id=\"L2\"><a href=\"#L2\">2</a><span>two</span></div>\n";
        assert_eq!(out, last);
        out.clear();
        lines.finish(&mut out);
        assert_eq!(out, last);
    }

    #[test]
    fn steps_have_headings_where_they_begin() {
        let steps = [
            step("a<b", State::Succeeded, 0),
            step("test", State::Running, 4),
        ];
        let (out, _) = lines(b"one\ntwo\n", &steps);
        let order: Vec<_> = [
            "id=\"step-1\">a&lt;b<",
            ">one<",
            "id=\"step-2\">test<",
            ">two<",
        ]
        .iter()
        .map(|part| out.find(part).expect(part))
        .collect();
        assert!(order.is_sorted(), "{out}");
    }

    #[test]
    fn the_line_that_says_why_is_found() {
        let steps = [
            step("make", State::Succeeded, 0),
            step("test", State::Failed, 14),
            step("clean", State::Succeeded, 40),
        ];
        let (_, lines) = lines(
            b"error: harmless\nrunning\nerror: this one\nsummary\n",
            &steps,
        );
        assert_eq!(lines.failure(), Some(3));
    }

    #[test]
    fn without_a_sign_it_is_the_last_line_of_the_step() {
        let (_, lines) = lines(b"one\ntwo\n\n", &[step("test", State::Failed, 0)]);
        assert_eq!(lines.failure(), Some(2));
    }

    #[test]
    fn long_lines_go_on_in_the_next_and_characters_stay_whole() {
        let text = format!("{}é{}\n", "a".repeat(MAX_LINE - 1), "b".repeat(10));
        let (out, lines) = lines(text.as_bytes(), &[]);
        assert!(out.contains(">é bbbbb".replace(' ', "").as_str()), "{out}");
        assert!(!out.contains('\u{fffd}'));
        assert_eq!(lines.place().offset, text.len() as u64);
        assert_eq!(lines.place().line, 2);
    }

    #[test]
    fn times_are_those_of_the_last_mark_before() {
        let mark = |offset, millis: i64| TimeMark {
            offset,
            time: Timestamp::from_micros(millis * 1000),
        };
        let times = Times::new(
            vec![mark(0, 1000), mark(4, 62_500)],
            Some(Timestamp::from_micros(500_000)),
        );
        let mut lines = LogLines::new(Place::default(), &[], times);
        let mut out = String::new();
        lines.push(b"one\ntwo\nthree\n", &mut out);
        let shown: Vec<_> = out
            .split("Z\">")
            .skip(1)
            .map(|rest| rest.split('<').next().unwrap())
            .collect();
        assert_eq!(shown, ["0:00.5", "1:02.0", "1:02.0"], "{out}");
    }

    #[test]
    fn places_from_strangers_are_checked() {
        let place = Place {
            offset: 12,
            line: 3,
            style: Style::default(),
        };
        assert_eq!(place.to_string().parse(), Ok(place));
        for text in [
            "",
            "1",
            "1.2",
            "1.2.zz",
            "1.2.000000.4",
            "-1.2.000000",
            "99999999999999999.0.000000",
        ] {
            assert_eq!(text.parse::<Place>(), Err(()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn cuts_of_writes_do_not_show(text in "[a\n\u{1b}\\[31mé]{0,80}", cut in 0usize..80) {
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            let whole = lines(bytes, &[]);
            let (mut out, mut cutted) = lines(&bytes[..cut], &[]);
            cutted.push(&bytes[cut..], &mut out);
            prop_assert_eq!(out, whole.0);
            prop_assert_eq!(cutted.place(), whole.1.place());
        }

        #[test]
        fn one_may_go_on_at_any_line(text in "[a\n\u{1b}\\[31m]{0,80}", cut in 0usize..80) {
            let bytes = text.as_bytes();
            let (first, lines_so_far) = lines(&bytes[..cut.min(bytes.len())], &[]);
            let place: Place = lines_so_far.place().to_string().parse().unwrap();
            let mut again = LogLines::new(place, &[], Times::default());
            let mut out = first;
            again.push(&bytes[usize::try_from(place.offset).unwrap()..], &mut out);
            prop_assert_eq!(out, lines(bytes, &[]).0);
        }
    }
}
