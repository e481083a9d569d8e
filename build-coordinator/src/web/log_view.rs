use std::time::Duration;

use futures_util::StreamExt as _;
use memchr::{memchr, memchr_iter};
use tokio::time::{Instant, timeout_at};

use crate::api::Attempt;
use crate::web::ansi::Style;
use crate::web::backend::Log;
use crate::web::failure::Failure;
use crate::web::log_lines::{LogLines, Place, Times};
use crate::web::text::size;

/// A log as a page shows it.
#[derive(Debug, Default)]
pub(super) struct LogView {
    pub(super) html: String,
    /// The line that says best why the attempt failed.
    pub(super) failure: Option<u64>,
    /// Where to go on, if there is more to come.
    pub(super) resume: Place,
    /// Bytes so far.
    pub(super) len: u64,
}

/// A log up to this size is shown whole.
const WHOLE: u64 = 768 << 10;
/// Of a longer one, this much of its beginning and of its end.
const HEAD: u64 = 128 << 10;
const TAIL: u64 = 512 << 10;
/// Bytes of log in an element that a browser can leave out of its work while it cannot be seen.
const CHUNK: usize = 32 << 10;
/// How long to wait for bytes that the log says it has.
const LIMIT: Duration = Duration::from_secs(20);

/// Reads what there is of a log, from its first byte on, and renders it.
pub(super) async fn view(mut log: Log, attempt: &Attempt) -> Result<LogView, Failure> {
    let deadline = Instant::now() + LIMIT;
    let times = Times::new(std::mem::take(&mut log.marks), Some(attempt.started));
    let mut view = View {
        lines: LogLines::new(Place::default(), &attempt.steps, times.clone()),
        html: String::new(),
        since_border: 0,
    };
    let cut = (log.len > WHOLE).then(|| (HEAD, log.len - TAIL));
    let mut skipped: Option<Skipped> = None;
    let mut at = 0;
    while at < log.len {
        let read = timeout_at(deadline, log.bytes.next()).await;
        let chunk = match read {
            Ok(Some(chunk)) => chunk.map_err(|error| Failure::internal(&error))?,
            Ok(None) => break,
            Err(_) => {
                return Err(Failure::unavailable(
                    "The log cannot be read in time; the raw log may be.",
                ));
            }
        };
        // What came after the log was opened is for those who follow it.
        let mut chunk = &chunk[..chunk
            .len()
            .min(usize::try_from(log.len - at).unwrap_or(usize::MAX))];
        while !chunk.is_empty() {
            let Some((head_end, tail_start)) = cut else {
                at += chunk.len() as u64;
                view.push(chunk);
                break;
            };
            if at < head_end {
                let (part, rest) =
                    chunk.split_at(chunk.len().min(usize::try_from(head_end - at).unwrap_or(0)));
                at += part.len() as u64;
                view.push(part);
                chunk = rest;
                continue;
            }
            let gap = skipped.get_or_insert_with(|| Skipped::behind(&view.lines));
            if gap.is_over {
                at += chunk.len() as u64;
                view.push(chunk);
                break;
            }
            let taken = gap.skip(chunk, at, tail_start);
            at += taken as u64;
            chunk = &chunk[taken..];
            if gap.is_over {
                let gap_size = size(gap.place.offset - gap.from);
                let place = gap.place;
                view.close_chunk();
                view.html.push_str(&format!(
                    "<p class=\"gap\">{gap_size} are left out here; the raw log has them.</p>\n"
                ));
                view.lines = LogLines::new(place, &attempt.steps, times.clone());
            }
        }
    }
    let is_live = log.is_live;
    Ok(view.end(is_live, at))
}

struct View {
    lines: LogLines,
    html: String,
    /// Bytes since the last chunk began.
    since_border: usize,
}

impl View {
    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(CHUNK) {
            if self.since_border == 0 {
                self.html.push_str("<div class=\"chunk\">");
            }
            self.lines.push(piece, &mut self.html);
            self.since_border += piece.len();
            if self.since_border >= CHUNK {
                self.close_chunk();
            }
        }
    }

    fn close_chunk(&mut self) {
        if self.since_border > 0 {
            self.html.push_str("</div>");
            self.since_border = 0;
        }
    }

    fn end(mut self, is_live: bool, len: u64) -> LogView {
        // A line that has not ended is shown by those who follow.
        let resume = self.lines.place();
        if !is_live {
            if self.since_border == 0 && self.lines.open_len() > 0 {
                self.html.push_str("<div class=\"chunk\">");
                self.since_border = 1;
            }
            self.lines.finish(&mut self.html);
        }
        self.close_chunk();
        LogView {
            failure: self.lines.failure(),
            html: self.html,
            resume,
            len,
        }
    }
}

/// What stands between beginning and end of a long log.
struct Skipped {
    from: u64,
    /// Where the next line begins, as far as has been looked.
    place: Place,
    is_over: bool,
}

impl Skipped {
    fn behind(lines: &LogLines) -> Self {
        Self {
            from: lines.place().offset,
            place: lines.place(),
            is_over: false,
        }
    }

    /// Skips up to the first line that begins at `to` or behind it; says how many bytes of `chunk`, which begins at `at`.
    fn skip(&mut self, chunk: &[u8], at: u64, to: u64) -> usize {
        let before = chunk
            .len()
            .min(usize::try_from(to.saturating_sub(at)).unwrap_or(usize::MAX));
        self.place.line += memchr_iter(b'\n', &chunk[..before]).count() as u64;
        self.place.style = Style::default();
        if before == chunk.len() {
            return before;
        }
        match memchr(b'\n', &chunk[before..]) {
            Some(end) => {
                let taken = before + end + 1;
                self.place.line += 1;
                self.place.offset = at + taken as u64;
                self.is_over = true;
                taken
            }
            None => chunk.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;

    use super::*;
    use crate::api::{State, Timestamp};

    fn attempt() -> Attempt {
        Attempt {
            number: 1,
            state: State::Running,
            reason: None,
            machine: None,
            started: Timestamp::default(),
            awaited_until: None,
            ended: None,
            steps: Vec::new(),
            spans: Vec::new(),
            artifacts: Vec::new(),
            log_bytes: None,
        }
    }

    fn log(text: &[u8], piece: usize, is_live: bool) -> Log {
        let pieces: Vec<_> = text
            .chunks(piece)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        Log {
            bytes: Box::pin(stream::iter(pieces)),
            len: text.len() as u64,
            is_live,
            marks: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_short_log_is_shown_whole() {
        let shown = view(log(b"one\ntwo", 3, false), &attempt()).await.unwrap();
        assert!(
            shown.html.contains(">one<") && shown.html.contains(">two<"),
            "{}",
            shown.html
        );
        assert_eq!(shown.len, 7);
    }

    #[tokio::test]
    async fn of_a_live_log_whole_lines_are_shown() {
        let shown = view(log(b"one\ntwo", 3, true), &attempt()).await.unwrap();
        assert!(shown.html.contains(">one<") && !shown.html.contains("two"));
        assert_eq!((shown.resume.offset, shown.resume.line), (4, 1));
    }

    #[tokio::test]
    async fn of_a_long_log_beginning_and_end_are_shown_with_their_numbers() {
        let mut text = String::new();
        for n in 1..=200_000 {
            text.push_str(&format!("line {n}\n"));
        }
        for piece in [1000, 1 << 20, 7919] {
            let shown = view(log(text.as_bytes(), piece, false), &attempt())
                .await
                .unwrap();
            assert!(shown.html.contains(">1</a><span>line 1</span>"));
            assert!(shown.html.contains(">200000</a><span>line 200000</span>"));
            assert_eq!(shown.html.matches("are left out here").count(), 1);
            // Every line that is shown has its own number.
            for line in shown.html.split("<div class=\"l\" id=\"L").skip(1) {
                let number = line.split('"').next().unwrap();
                assert!(
                    line.contains(&format!("<span>line {number}</span>")),
                    "{line}"
                );
            }
            assert_eq!(
                shown.html.matches("<div").count(),
                shown.html.matches("</div>").count()
            );
        }
    }
}
