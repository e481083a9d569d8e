//! Cuts compressed input where members seem to begin, so that threads can decode the parts at the same time.
//!
//! What is found is a guess. Members that carry an index say where they end, others are found by the look of
//! the header that follows; either may be wrong, by chance (about once in 2^37 bytes of compressed data) or by
//! malice. So a part is only ever decoded ahead, and its result used if the part before it really ended there.

use crate::buffer::Buffer;
use crate::format::{HEADER_LEN, MAGIC, TRAILER_LEN, indexed_size, looks_like_header};

/// Compressed bytes from which a part is large enough: much smaller ones would cost more in waking threads than
/// they take to decode.
const ENOUGH_INPUT: usize = 256 << 10;
/// Uncompressed bytes, as the trailers claim, from which a part is large enough.
const ENOUGH_OUTPUT: usize = 1 << 20;
/// Size of the pieces where no member begins and so nothing is gained by larger ones.
const PIECE: usize = 256 << 10;
/// Deflate makes at most so many bytes of one: 258 from two codes of one bit each, RFC 1951 section 3.2.5.
const MAX_EXPANSION: usize = 1032;
/// Bytes that can hold no whole member: header, an empty deflate stream, trailer.
const SMALLEST_MEMBER: usize = HEADER_LEN + 2 + TRAILER_LEN;

/// Consecutive compressed bytes.
#[derive(Default)]
pub(crate) struct Part {
    pub(crate) input: Buffer,
    /// Where the first byte lies in the whole input.
    pub(crate) offset: u64,
    /// Where members seem to begin within, in bytes from the start, without the start itself.
    pub(crate) borders: Vec<usize>,
    /// Whether a member seems to begin at the first byte.
    pub(crate) begins_member: bool,
}

/// Collects input and cuts it into [`Part`]s.
pub(crate) struct Splitter {
    pending: Part,
    /// Bytes of `pending` in which no member begins, or where it is noted already.
    scanned: usize,
    /// What the trailers before the noted borders claim, summed.
    claimed_output: usize,
    /// Claimed output above which nothing is added to a part.
    max_output: usize,
    /// Compressed bytes above which a member's end is not awaited any more.
    max_input: usize,
}

impl Splitter {
    /// `member_limit` is the uncompressed size up to which a member becomes one part.
    pub(crate) fn new(member_limit: usize) -> Self {
        let pending = Part {
            begins_member: true,
            ..Part::default()
        };
        Self {
            pending,
            scanned: 0,
            claimed_output: 0,
            max_output: member_limit,
            // Incompressible data grows by five bytes a stored block; the rest is for header and trailer.
            max_input: member_limit + member_limit / 64 + (64 << 10),
        }
    }

    /// Space for at least `len` more bytes of input; [`filled`](Self::filled) says how many there are.
    pub(crate) fn spare(&mut self, len: usize) -> &mut [u8] {
        self.pending.input.spare(len)
    }

    pub(crate) fn filled(&mut self, len: usize) {
        self.pending.input.grow(len);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.input.is_empty()
    }

    /// The next part, if there is enough for one. `fresh` is an empty buffer for what follows.
    pub(crate) fn next_part(&mut self, mut fresh: impl FnMut() -> Buffer) -> Option<Part> {
        loop {
            let len = self.pending.input.len();
            if !self.pending.begins_member {
                // In the middle of a member: up to the next one, or a piece.
                return match self.find_border() {
                    Some(at) => Some(self.cut(at, true, fresh())),
                    None if len >= PIECE => Some(self.cut(len, false, fresh())),
                    None => None,
                };
            }
            let Some(at) = self.find_border() else {
                if len < self.max_input {
                    return None;
                }
                // Too large to wait for. What is known to be whole goes first.
                return match self.pending.borders.last() {
                    Some(&last) => Some(self.cut(last, true, fresh())),
                    None => Some(self.cut(len, false, fresh())),
                };
            };
            let claim = self.claim_before(at);
            if let Some(&last) = self.pending.borders.last()
                && self.claimed_output.saturating_add(claim) > self.max_output
            {
                // `at` is found again after the cut.
                return Some(self.cut(last, true, fresh()));
            }
            self.claimed_output = self.claimed_output.saturating_add(claim);
            if at >= ENOUGH_INPUT || self.claimed_output >= ENOUGH_OUTPUT {
                return Some(self.cut(at, true, fresh()));
            }
            self.pending.borders.push(at);
            self.scanned = at;
        }
    }

    /// All that is left, however little: the input ends here, or is slow.
    pub(crate) fn rest(&mut self, fresh: Buffer) -> Part {
        let len = self.pending.input.len();
        // More may follow that completes a header at the end.
        self.cut(len, false, fresh)
    }

    /// What a trailer right before `at` claims as uncompressed length, as far as it can be true.
    fn claim_before(&self, at: usize) -> usize {
        let began = self.pending.borders.last().copied().unwrap_or(0);
        let member = &self.pending.input.filled()[began..at];
        let claim = member
            .last_chunk()
            .map_or(0, |len| u32::from_le_bytes(*len) as usize);
        claim.min(member.len() * MAX_EXPANSION)
    }

    fn cut(&mut self, at: usize, begins_member: bool, mut rest: Buffer) -> Part {
        let input = self.pending.input.filled();
        rest.extend(&input[at..]);
        let next = Part {
            input: rest,
            offset: self.pending.offset + at as u64,
            borders: Vec::new(),
            begins_member,
        };
        let mut part = std::mem::replace(&mut self.pending, next);
        part.input.truncate(at);
        part.borders.retain(|&border| border < at);
        self.scanned = 0;
        self.claimed_output = 0;
        part
    }

    /// Where the next member seems to begin behind `scanned`, if enough bytes are there to tell.
    fn find_border(&mut self) -> Option<usize> {
        let input = self.pending.input.filled();
        let newest = self.pending.borders.last().copied().unwrap_or(0);
        let at_member = self.pending.begins_member || newest > 0;
        if at_member && self.scanned == newest {
            // An index saves the search, if what it points at looks right.
            match indexed_size(&input[newest..]).map(|size| newest.saturating_add(size)) {
                Some(end) if end < newest + SMALLEST_MEMBER || end > newest + self.max_input => {}
                Some(end) if end + HEADER_LEN > input.len() => return None,
                Some(end) if header_at(input, end) => return Some(end),
                Some(_) | None => {}
            }
            self.scanned = newest + SMALLEST_MEMBER;
        }
        while let Some(found) = input
            .get(self.scanned..)
            .and_then(|rest| find_pair(rest, [MAGIC[0], MAGIC[1]]))
        {
            let at = self.scanned + found;
            if at + HEADER_LEN > input.len() {
                self.scanned = at;
                return None;
            }
            if header_at(input, at) {
                self.scanned = at;
                return Some(at);
            }
            self.scanned = at + 1;
        }
        // The last byte may be the first of a pair.
        self.scanned = self.scanned.max(input.len().saturating_sub(1));
        None
    }
}

fn header_at(input: &[u8], at: usize) -> bool {
    input
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .is_some_and(looks_like_header)
}

/// The first place of two bytes in a row.
///
/// Looks at a block at a time without a branch inside, which compilers turn into vector instructions.
pub(crate) fn find_pair(haystack: &[u8], pair: [u8; 2]) -> Option<usize> {
    const BLOCK: usize = 64;
    let mut at = 0;
    while let Some(block) = haystack.get(at..=at + BLOCK) {
        let hits = block[..BLOCK]
            .iter()
            .zip(&block[1..])
            .fold(0, |hits, (&a, &b)| {
                hits | (u8::from(a == pair[0]) & u8::from(b == pair[1]))
            });
        if hits != 0 {
            break;
        }
        at += BLOCK;
    }
    haystack[at..]
        .windows(2)
        .position(|w| w == pair)
        .map(|found| at + found)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;
    use crate::format::{header, trailer};

    /// What looks like a member from outside: header, `body` bytes, and a trailer that claims `len`.
    fn member(index: bool, body: usize, len: u64) -> Vec<u8> {
        let mut member = header(&Config::default().index(index), false);
        member.extend(vec![0xaa; body]);
        member.extend(trailer(0, len));
        if index {
            let size = u32::try_from(member.len()).unwrap();
            member[16..20].copy_from_slice(&size.to_le_bytes());
        }
        member
    }

    /// Feeds `input` in pieces and returns the parts.
    fn split(input: &[u8], member_limit: usize, pieces: &[usize]) -> Vec<Part> {
        let mut splitter = Splitter::new(member_limit);
        let mut parts = Vec::new();
        let mut rest = input;
        for &piece in pieces.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at(piece.min(rest.len()));
            splitter.spare(now.len())[..now.len()].copy_from_slice(now);
            splitter.filled(now.len());
            parts.extend(std::iter::from_fn(|| splitter.next_part(Buffer::default)));
            rest = later;
        }
        if !splitter.is_empty() {
            parts.push(splitter.rest(Buffer::default()));
        }
        parts
    }

    #[test]
    fn members_of_upstreams_size_are_parts_of_their_own() {
        for index in [false, true] {
            let input = member(index, 200_000, 1 << 20).repeat(5);
            let parts = split(&input, 4 << 20, &[READ]);
            assert_eq!(parts.len(), 5, "index: {index}");
            assert!(
                parts
                    .iter()
                    .all(|part| part.begins_member && part.borders.is_empty())
            );
        }
    }

    #[test]
    fn small_members_are_taken_together() {
        for index in [false, true] {
            let input = member(index, 5000, 20_000).repeat(200);
            let parts = split(&input, 4 << 20, &[READ]);
            assert!(parts.len() < 10, "{} parts, index: {index}", parts.len());
            let members: usize = parts.iter().map(|part| part.borders.len() + 1).sum();
            assert_eq!(members, 200);
        }
    }

    #[test]
    fn a_part_does_not_claim_more_than_the_limit() {
        let input = member(false, 500, 90_000).repeat(10);
        let parts = split(&input, 100_000, &[READ]);
        // Nothing says where the last member ends, so it stays with the one before.
        let members: Vec<usize> = parts.iter().map(|part| part.borders.len() + 1).collect();
        assert_eq!(members, [1, 1, 1, 1, 1, 1, 1, 1, 2]);
    }

    #[test]
    fn claims_that_no_deflate_stream_can_keep_are_not_believed() {
        // Else every tiny member would become a part, and be copied about for it.
        let input = member(false, 4, u64::from(u32::MAX)).repeat(2000);
        let parts = split(&input, 4 << 20, &[READ]);
        assert!(parts.len() < 60, "{} parts", parts.len());
    }

    #[test]
    fn a_member_above_the_limit_is_cut_into_pieces() {
        let input = member(false, 3 << 20, 3 << 20);
        let parts = split(
            &[&input[..], &member(false, 10, 10)].concat(),
            1 << 20,
            &[READ],
        );
        assert!(parts.len() >= 5);
        assert!(
            parts[1..parts.len() - 1]
                .iter()
                .all(|part| !part.begins_member)
        );
        assert!(parts.last().unwrap().begins_member);
    }

    const READ: usize = 128 << 10;

    proptest! {
        #[test]
        fn parts_are_the_input_and_begin_where_they_say(
            members in prop::collection::vec((any::<bool>(), 0usize..60_000, 0u64..200_000), 1..30),
            pieces in prop::collection::vec(1usize..READ, 1..5),
        ) {
            let input: Vec<u8> =
                members.iter().flat_map(|&(index, body, len)| member(index, body, len)).collect();
            let parts = split(&input, 150_000, &pieces);
            let mut joined: Vec<u8> = Vec::new();
            for part in &parts {
                prop_assert_eq!(part.offset, joined.len() as u64);
                joined.extend(part.input.filled());
                for &border in &part.borders {
                    prop_assert!(part.input.filled()[border..].starts_with(&MAGIC));
                }
                prop_assert!(!part.begins_member || part.input.filled().starts_with(&MAGIC));
            }
            prop_assert!(joined == input);
        }

        #[test]
        fn pairs_are_found_as_by_a_plain_search(
            haystack in prop::collection::vec(0u8..4, 0..300),
            pair in prop::array::uniform2(0u8..4),
        ) {
            let plain = haystack.windows(2).position(|window| window == pair);
            prop_assert_eq!(find_pair(&haystack, pair), plain);
        }
    }
}
