use std::borrow::Cow;
use std::time::Duration;

use crate::api::{State, Timestamp};

/// Escapes text for HTML, between tags and in quoted attributes.
pub(super) fn attribute(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out.into()
}

/// Characters of a revision that pages show.
const SHORT_REVISION: usize = 10;

pub(super) fn short(revision: &str) -> &str {
    revision.get(..SHORT_REVISION).unwrap_or(revision)
}

/// An author's name, without the address.
pub(super) fn name_of(author: &str) -> &str {
    match author.split_once('<') {
        Some((name, _)) if !name.trim().is_empty() => name.trim(),
        _ => author,
    }
}

/// Minutes, seconds and tenths, as in `61:02.5`: for times within a log, so that they line up.
pub(super) fn clock(since: Duration) -> String {
    let tenths = since.as_millis() / 100;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

/// About how long, in two units at most: `350 ms`, `4.2 s`, `3 m 20 s`, `2 h 5 m`, `3 d 4 h`.
pub(super) fn lasting(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{:.1} s", (time.as_millis() / 100) as f64 / 10.0),
        60..3600 => format!("{} m {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// How long ago, roughly.
pub(super) fn ago(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.since(time).as_secs();
    match seconds {
        0..5 => "just now".to_owned(),
        5..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86400),
    }
}

/// How many bytes, roughly.
pub(super) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut scaled = bytes as f64 / 1024.0;
    let mut unit = 0;
    while scaled >= 1000.0 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", units[unit])
}

/// What a state is called on pages.
pub(super) fn label(state: State) -> &'static str {
    match state {
        State::Waiting => "waiting",
        State::Running => "running",
        State::Succeeded => "ok",
        State::Failed => "failed",
        State::TimedOut => "timed out",
        State::Cancelled => "cancelled",
        State::Superseded => "superseded",
        State::LostBuildlet => "lost machine",
        State::Network => "network",
        State::Preempted => "preempted",
        State::SetupError => "setup error",
        State::CoordinatorLost => "restarted",
    }
}

/// A sign for a state, so that nobody needs to tell colours apart.
pub(super) fn sign(state: State) -> &'static str {
    match state {
        State::Waiting => "○",
        State::Running => "◐",
        State::Succeeded => "✓",
        State::Failed => "✗",
        State::TimedOut => "◔",
        State::Cancelled => "⊘",
        State::Superseded => "↷",
        _ => "⚡",
    }
}

/// The style sheet's class for a state: six colours are enough.
pub(super) fn tone(state: State) -> &'static str {
    match state {
        State::Waiting => "wait",
        State::Running => "run",
        State::Succeeded => "ok",
        State::Failed | State::TimedOut => "bad",
        State::Cancelled | State::Superseded => "off",
        _ => "infra",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_units() {
        let shown = [350, 4_250, 200_000, 7_500_000, 273_600_000]
            .map(|ms| lasting(Duration::from_millis(ms)));
        assert_eq!(shown, ["350 ms", "4.2 s", "3 m 20 s", "2 h 5 m", "3 d 4 h"]);
    }

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(
            [5, 1536, 1_020_000, 5 << 40].map(size),
            ["5 B", "1.5 KiB", "996.1 KiB", "5.0 TiB"]
        );
    }

    #[test]
    fn revisions_that_are_none_do_not_panic() {
        assert_eq!(short("äääääääääää"), "äääää");
        assert_eq!(short("abc"), "abc");
    }

    #[test]
    fn an_author_without_a_name_is_shown_whole() {
        assert_eq!(name_of("A B <a@b>"), "A B");
        assert_eq!(name_of("<a@b>"), "<a@b>");
    }
}
