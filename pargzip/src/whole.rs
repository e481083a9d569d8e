//! Decodes whole members with libdeflate, which knows nothing of pieces.

use libdeflater::{Decompressor, crc32};

use crate::border::find_pair;
use crate::buffer::Buffer;
use crate::format::{FLAG_HEADER_CRC, HEADER_LEN, TRAILER_LEN, trailer};

pub(crate) struct WholeMembers(Decompressor);

impl WholeMembers {
    pub(crate) fn new() -> Self {
        Self(Decompressor::new())
    }

    /// Decodes the members between `borders` to `output`, up to `max_output` bytes, as long as each is certain
    /// to be just that. Returns the bytes consumed and the members decoded; what is left, another decoder must
    /// look at.
    pub(crate) fn decode(
        &mut self,
        input: &[u8],
        borders: &[usize],
        output: &mut Buffer,
        max_output: usize,
    ) -> (usize, u64) {
        let mut began = 0;
        let mut members = 0;
        for &end in borders.iter().chain([&input.len()]) {
            let room = max_output - output.len();
            let Some(len) = self.decode_member(&input[began..end], &mut output.spare(room)[..room])
            else {
                break;
            };
            output.grow(len);
            began = end;
            members += 1;
        }
        (began, members)
    }

    /// Decodes `member` and returns the length, if it is one whole member and nothing else.
    fn decode_member(&mut self, member: &[u8], output: &mut [u8]) -> Option<usize> {
        // libdeflate skips a header's checksum; others do not.
        if member.len() < HEADER_LEN + TRAILER_LEN || member[3] & FLAG_HEADER_CRC != 0 {
            return None;
        }
        let len = self.0.gzip_decompress(member, output).ok()?;
        // It found the right trailer behind the deflate stream, but does not say where. If those eight bytes
        // stand nowhere but at the end, it was there, and nothing follows that would be lost.
        let trailer = trailer(crc32(&output[..len]), len as u64);
        let (body, end) = member.split_at(member.len() - TRAILER_LEN);
        (end == trailer
            && !stands_before_end(&member[HEADER_LEN..], body.len() - HEADER_LEN, trailer))
        .then_some(len)
    }
}

/// Whether `needle` stands in `bytes` at some place before `end`.
fn stands_before_end(bytes: &[u8], end: usize, needle: [u8; TRAILER_LEN]) -> bool {
    let mut at = 0;
    // Up to the last byte that such a place could begin with, and the one behind it.
    while let Some(found) = bytes
        .get(at..=end)
        .and_then(|rest| find_pair(rest, [needle[0], needle[1]]))
    {
        at += found;
        if at < end && bytes[at..].starts_with(&needle) {
            return true;
        }
        at += 1;
    }
    false
}
