//! Where a log may be cut.

use crate::config::Cut;

/// How far into the tail a line's end is looked for.
///
/// A reader that meets the gap looks for it while the log is locked; 4 KiB take under a microsecond.
const LINE_SEARCH: usize = 4 << 10;

/// Bytes of a UTF-8 character after its first.
const MAX_CONTINUATION: usize = 3;

/// How many of the first `room` bytes of `data` to keep; `room < data.len()`.
pub(crate) fn keep(data: &[u8], room: usize, cut: Cut) -> usize {
    match cut {
        Cut::Byte => room,
        Cut::Char => keep_chars(data, room),
        Cut::Line => data[..room]
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or_else(|| keep_chars(data, room), |newline| newline + 1),
    }
}

/// How many bytes to skip at the start of a tail, which is given in slices.
pub(crate) fn skip<'a>(tail: impl Iterator<Item = &'a [u8]> + Clone, cut: Cut) -> usize {
    match cut {
        Cut::Byte => 0,
        Cut::Char => skip_chars(tail.flatten()),
        Cut::Line => skip_line(tail.clone()).unwrap_or_else(|| skip_chars(tail.flatten())),
    }
}

fn keep_chars(data: &[u8], room: usize) -> usize {
    (room.saturating_sub(MAX_CONTINUATION)..=room)
        .rev()
        .find(|&end| !is_continuation(data[end]))
        // Either the character began in an earlier write, or this is not UTF-8.
        .unwrap_or(if room <= MAX_CONTINUATION { 0 } else { room })
}

fn skip_chars<'a>(tail: impl Iterator<Item = &'a u8>) -> usize {
    let first = tail.take(MAX_CONTINUATION + 1);
    match first.take_while(|&&byte| is_continuation(byte)).count() {
        all if all > MAX_CONTINUATION => 0,
        some => some,
    }
}

/// To the start of the first line that begins in the tail; `None` if there is none near its start.
fn skip_line<'a>(tail: impl Iterator<Item = &'a [u8]>) -> Option<usize> {
    let mut before = 0;
    let mut found = None;
    for slice in tail {
        if found.is_some() && !slice.is_empty() {
            return found;
        }
        let searched = &slice[..slice.len().min(LINE_SEARCH.saturating_sub(before))];
        if let Some(newline) = searched.iter().position(|&byte| byte == b'\n') {
            found = Some(before + newline + 1);
            if newline + 1 < slice.len() {
                return found;
            }
        }
        before += slice.len();
        if found.is_none() && before >= LINE_SEARCH {
            return None;
        }
    }
    // Nothing follows the line's end: rather half a line than an empty tail.
    None
}

fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_head_ends_before_the_character_that_does_not_fit() {
        let text = "aé€𝄞".as_bytes(); // 1, 2, 3 and 4 bytes
        let kept: Vec<_> = (0..text.len())
            .map(|room| keep(text, room, Cut::Char))
            .collect();
        assert_eq!(kept, [0, 1, 1, 3, 3, 3, 6, 6, 6, 6]);
        assert_eq!(keep(text, 5, Cut::Byte), 5);
        assert_eq!(keep(&[0x80; 9], 7, Cut::Char), 7, "not UTF-8");
        assert_eq!(
            keep(&[0x80; 9], 2, Cut::Char),
            0,
            "the character began earlier"
        );
    }

    #[test]
    fn the_head_ends_after_a_line_if_one_ends_in_this_write() {
        assert_eq!(keep(b"one\ntwo\nthree", 10, Cut::Line), 8);
        assert_eq!(keep(b"one\ntwo", 3, Cut::Line), 3);
        assert_eq!(keep("öööö\n".as_bytes(), 5, Cut::Line), 4);
    }

    #[test]
    fn the_tail_begins_with_a_character_or_a_line() {
        let text = "€uro\nnext".as_bytes();
        assert_eq!(skip([&text[1..]].into_iter(), Cut::Byte), 0);
        assert_eq!(skip([&text[1..2], &text[2..]].into_iter(), Cut::Char), 2);
        assert_eq!(skip([&text[1..5], &text[5..]].into_iter(), Cut::Line), 6);
        assert_eq!(
            skip([&text[1..7], &[], &text[7..]].into_iter(), Cut::Line),
            6
        );
        assert_eq!(skip([&text[1..8]].into_iter(), Cut::Line), 6);
        assert_eq!(
            skip([&text[1..7], &[]].into_iter(), Cut::Line),
            2,
            "an empty tail helps nobody"
        );
        assert_eq!(
            skip([&[0x80; 9][..]].into_iter(), Cut::Char),
            0,
            "not UTF-8"
        );
        assert_eq!(
            skip([&[b'x'; 5000][..], b"\nfar"].into_iter(), Cut::Line),
            0
        );
    }
}
