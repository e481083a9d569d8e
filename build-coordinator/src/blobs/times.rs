//! When the lines of a stored log were written: in its first gzip member, which has no text.
//!
//! The member's extra field begins as that of all members, with `IG` and the member's size in four bytes, and goes on with a subfield
//! `TM`: numbers in base 128, the low bits first, with the high bit set in all bytes but the last. The first is the time of the first
//! mark in milliseconds since 1970, then come for each mark the bytes and the milliseconds since the mark before (for the first one:
//! its offset, and 0). Readers of gzip that do not know the field pass over it. Logs without times have no such member.

use crate::model::Timestamp;

/// What stands in a log from `offset` on, up to the next mark, was written at `time` or soon after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "whoever keeps logs elsewhere makes them"
)]
pub struct TimeMark {
    /// In bytes.
    pub offset: u64,
    /// Never earlier than that of the mark before.
    pub time: Timestamp,
}

/// Bytes of the longest such member, and so what must be read of a log to know its times.
pub(super) const LONGEST: u64 = (PREFIX + MAX_FIELD + SUFFIX.len()) as u64;

/// Header, length of the extra field, `IG` with its number, and the subfield's name and length.
const PREFIX: usize = 24;
/// What fits into an extra field beside that.
const MAX_FIELD: usize = u16::MAX as usize - 12;
/// Deflate's way to say nothing, the checksum of nothing and its length.
const SUFFIX: [u8; 10] = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The member for these marks, which are in order; `None` if there are none. Of more than fit, every second one is left out.
pub(super) fn encode(marks: &[TimeMark]) -> Option<Vec<u8>> {
    let mut step = 1;
    let field = loop {
        let field = numbers(marks, step)?;
        if field.len() <= MAX_FIELD {
            break field;
        }
        step *= 2;
    };
    let size = PREFIX + field.len() + SUFFIX.len();
    let mut member = Vec::with_capacity(size);
    // Deflate, with an extra field, without a time, by an unknown system.
    member.extend([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255]);
    member.extend(length(field.len() + 12));
    member.extend(b"IG\x04\x00");
    member.extend(u32::try_from(size).expect("64 KiB").to_le_bytes());
    member.extend(b"TM");
    member.extend(length(field.len()));
    member.extend(field);
    member.extend(SUFFIX);
    Some(member)
}

/// The marks that the beginning of a log says, in order; none if it does not say any, or is damaged.
pub(super) fn decode(log: &[u8]) -> Vec<TimeMark> {
    read(log).unwrap_or_default()
}

fn read(log: &[u8]) -> Option<Vec<TimeMark>> {
    let (prefix, rest) = log.split_first_chunk::<PREFIX>()?;
    let is_ours = prefix[..4] == [0x1f, 0x8b, 8, 4]
        && prefix[12..16] == *b"IG\x04\x00"
        && prefix[20..22] == *b"TM";
    if !is_ours {
        return None;
    }
    let mut field = rest.get(..usize::from(u16::from_le_bytes([prefix[22], prefix[23]])))?;
    let mut time = i64::try_from(number(&mut field)?).ok()?;
    let mut offset = 0_u64;
    let mut marks = Vec::new();
    while !field.is_empty() {
        offset = offset.checked_add(number(&mut field)?)?;
        time = time.checked_add(i64::try_from(number(&mut field)?).ok()?)?;
        marks.push(TimeMark {
            offset,
            time: Timestamp::from_micros(time.checked_mul(1000)?),
        });
    }
    Some(marks)
}

/// The subfield's content.
fn numbers(marks: &[TimeMark], step: usize) -> Option<Vec<u8>> {
    let millis = |mark: &TimeMark| u64::try_from(mark.time.as_micros() / 1000).unwrap_or(0);
    let first = marks.first()?;
    let mut field = Vec::new();
    write(millis(first), &mut field);
    let (mut offset, mut time) = (0, millis(first));
    for mark in marks.iter().step_by(step) {
        write(mark.offset.saturating_sub(offset), &mut field);
        write(millis(mark).saturating_sub(time), &mut field);
        offset = offset.max(mark.offset);
        time = time.max(millis(mark));
    }
    Some(field)
}

fn write(mut number: u64, out: &mut Vec<u8>) {
    while number >= 128 {
        out.push(number.to_le_bytes()[0] | 128);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 127);
        if bits.leading_zeros() < shift {
            return None;
        }
        number |= bits << shift;
        if byte & 128 == 0 {
            return Some(number);
        }
    }
    None
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes)
        .expect("a field that is longer is not made")
        .to_le_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    fn marks(deltas: &[(u64, u64)]) -> Vec<TimeMark> {
        let (mut offset, mut millis) = (0, 1_700_000_000_000_i64);
        let mark = |(bytes, time): &(u64, u64)| {
            offset += bytes;
            millis += i64::try_from(*time).unwrap();
            TimeMark {
                offset,
                time: Timestamp::from_micros(millis * 1000),
            }
        };
        deltas.iter().map(mark).collect()
    }

    #[test]
    fn more_marks_than_fit_are_thinned() {
        let all = marks(&vec![(1 << 40, 1 << 20); 20_000]);
        let member = encode(&all).unwrap();
        assert!(member.len() as u64 <= LONGEST);
        let kept = decode(&member);
        assert!(kept.len() > 4000 && kept.iter().all(|mark| all.contains(mark)));
    }

    #[test]
    fn what_is_no_such_member_has_no_times() {
        assert_eq!(encode(&[]), None);
        let member = encode(&marks(&[(0, 0), (5, 300)])).unwrap();
        for cut in 0..member.len() - SUFFIX.len() {
            assert!(decode(&member[..cut]).is_empty(), "{cut}");
        }
        assert!(decode(b"plain text that is long enough for a header").is_empty());
    }

    proptest! {
        #[test]
        fn marks_survive_and_the_member_is_gzip_of_nothing(deltas in prop::collection::vec((0_u64..1 << 50, 0_u64..1 << 40), 1..50)) {
            let marks = marks(&deltas);
            let member = encode(&marks).unwrap();
            prop_assert_eq!(decode(&member), marks);
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(&member[..]).read_to_end(&mut text).unwrap();
            prop_assert!(text.is_empty());
        }

        #[test]
        fn no_bytes_are_too_much(field in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut member = encode(&marks(&[(0, 0)])).unwrap();
            member.truncate(22);
            member.extend(length(field.len()));
            member.extend(field);
            decode(&member);
        }
    }
}
