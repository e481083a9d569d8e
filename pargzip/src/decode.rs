//! Decodes gzip members one after the other, from pieces cut anywhere, into pieces cut anywhere.

use zlib_rs::crc32::crc32;
use zlib_rs::{Inflate, InflateFlush, Status};

use crate::error::ReadError;
use crate::format::{Header, HeaderParser, TRAILER_LEN};

/// Uncompressed bytes between two looks at the checksum: they are still in the processor's cache then.
const CHECKSUM_EVERY: usize = 128 << 10;

/// A decoder that can rest anywhere and go on in another thread.
pub(crate) struct Decoder {
    state: State,
    inflate: Inflate,
    /// Bytes of the whole input that were taken.
    offset: u64,
    /// CRC-32 and length of the current member's uncompressed bytes.
    crc: u32,
    len: u64,
    /// Members that were read to their end.
    members: u64,
    /// Whether some member came before the place where this decoder began.
    later: bool,
    /// The newest header.
    header: Option<Header>,
}

enum State {
    Header(HeaderParser),
    Body,
    Trailer {
        bytes: [u8; TRAILER_LEN],
        have: usize,
    },
    /// Zeros behind the last member, which began at this offset: tapes and block devices pad so.
    Padding(u64),
}

/// What a call of [`Decoder::decode`] took and made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    pub(crate) consumed: usize,
    pub(crate) produced: usize,
}

impl Decoder {
    /// A decoder whose first byte of input is at `offset` of the whole input, where a member begins.
    pub(crate) fn new(offset: u64) -> Self {
        Self {
            state: State::Header(HeaderParser::default()),
            inflate: Inflate::new(false, 15),
            offset,
            crc: 0,
            len: 0,
            members: 0,
            later: offset > 0,
            header: None,
        }
    }

    /// Begins anew at another place.
    pub(crate) fn restart(&mut self, offset: u64) {
        self.state = State::Header(HeaderParser::default());
        self.inflate.reset(false);
        self.offset = offset;
        self.crc = 0;
        self.len = 0;
        self.members = 0;
        self.later = offset > 0;
        self.header = None;
    }

    /// Whether all that was taken are whole members.
    pub(crate) fn at_border(&self) -> bool {
        match &self.state {
            State::Header(parser) => parser.fixed_bytes() == Some(0),
            _ => false,
        }
    }

    /// Members read to their end since the last call.
    pub(crate) fn take_members(&mut self) -> u64 {
        self.later |= self.members > 0;
        std::mem::take(&mut self.members)
    }

    /// The newest header, once.
    pub(crate) fn take_header(&mut self) -> Option<Header> {
        self.header.take()
    }

    fn after_member(&self) -> bool {
        self.later || self.members > 0
    }

    /// Decodes until `input` is used up or `output` is full; if it is full, even with no input left there may be more
    /// output.
    ///
    /// After an error, what was produced before it is valid, and this decoder is not to be used again.
    pub(crate) fn decode(
        &mut self,
        input: &[u8],
        output: &mut [u8],
    ) -> (Progress, Result<(), ReadError>) {
        let mut progress = Progress::default();
        loop {
            let rest = &input[progress.consumed..];
            // Within a deflate stream there may be output left to make of what was taken before.
            if rest.is_empty() && !matches!(self.state, State::Body) {
                return (progress, Ok(()));
            }
            let before = (progress, std::mem::discriminant(&self.state));
            let result = match &mut self.state {
                State::Header(_) => self.decode_header(rest, &mut progress),
                State::Body => {
                    let room = &mut output[progress.produced..];
                    self.decode_body(rest, room, &mut progress)
                }
                State::Trailer { .. } => self.decode_trailer(rest, &mut progress),
                State::Padding(began) => match rest.iter().position(|&b| b != 0) {
                    None => {
                        progress.consumed = input.len();
                        Ok(())
                    }
                    Some(_) => Err(ReadError::TrailingGarbage { offset: *began }),
                },
            };
            self.offset += (progress.consumed - before.0.consumed) as u64;
            let stands_still = before == (progress, std::mem::discriminant(&self.state));
            if result.is_err() || stands_still {
                return (progress, result);
            }
        }
    }

    fn decode_header(&mut self, input: &[u8], progress: &mut Progress) -> Result<(), ReadError> {
        let after_member = self.after_member();
        let State::Header(parser) = &mut self.state else {
            unreachable!("called in this state")
        };
        let before = parser.fixed_bytes();
        if after_member && before == Some(0) && input[0] == 0 {
            // The zeros themselves are taken in the next round.
            self.state = State::Padding(self.offset);
            return Ok(());
        }
        let (used, result) = parser.parse(input);
        progress.consumed += used;
        let began = self.offset - before.unwrap_or(0) as u64;
        match result {
            Ok(None) => Ok(()),
            Ok(Some(header)) => {
                self.header = Some(header);
                self.state = State::Body;
                Ok(())
            }
            Err(crate::format::HeaderError::Magic) if after_member => {
                Err(ReadError::TrailingGarbage { offset: began })
            }
            Err(crate::format::HeaderError::Magic) => Err(ReadError::NotGzip { offset: began }),
            Err(error) => Err(ReadError::header(error, self.offset + used as u64)),
        }
    }

    fn decode_body(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        progress: &mut Progress,
    ) -> Result<(), ReadError> {
        let room = output.len().min(CHECKSUM_EVERY);
        let output = &mut output[..room];
        let (total_in, total_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(input, output, InflateFlush::NoFlush);
        // Both differences are within the slices.
        let consumed = (self.inflate.total_in() - total_in) as usize;
        let produced = (self.inflate.total_out() - total_out) as usize;
        progress.consumed += consumed;
        progress.produced += produced;
        self.crc = crc32(self.crc, &output[..produced]);
        self.len += produced as u64;
        match status {
            Ok(Status::StreamEnd) => {
                self.state = State::Trailer {
                    bytes: [0; TRAILER_LEN],
                    have: 0,
                };
                Ok(())
            }
            Ok(Status::Ok | Status::BufError) => Ok(()),
            Err(_) => Err(ReadError::Deflate {
                offset: self.offset + consumed as u64,
            }),
        }
    }

    fn decode_trailer(&mut self, input: &[u8], progress: &mut Progress) -> Result<(), ReadError> {
        let State::Trailer { bytes, have } = &mut self.state else {
            unreachable!("called in this state")
        };
        let taken = input.len().min(TRAILER_LEN - *have);
        bytes[*have..*have + taken].copy_from_slice(&input[..taken]);
        *have += taken;
        progress.consumed += taken;
        if *have < TRAILER_LEN {
            return Ok(());
        }
        let [c0, c1, c2, c3, l0, l1, l2, l3] = *bytes;
        let end = self.offset + taken as u64;
        let (stored, computed) = (u32::from_le_bytes([c0, c1, c2, c3]), self.crc);
        if stored != computed {
            return Err(ReadError::Checksum {
                offset: end - 8,
                stored,
                computed,
            });
        }
        // Modulo 2^32, as the format has it.
        let (stored, computed) = (u32::from_le_bytes([l0, l1, l2, l3]), self.len as u32);
        if stored != computed {
            return Err(ReadError::Length {
                offset: end - 4,
                stored,
                computed,
            });
        }
        self.members += 1;
        self.crc = 0;
        self.len = 0;
        self.inflate.reset(false);
        self.state = State::Header(HeaderParser::default());
        Ok(())
    }

    /// The error, if the input ends here.
    pub(crate) fn end(&self) -> Result<(), ReadError> {
        match &self.state {
            State::Padding(_) => Ok(()),
            State::Header(parser) => match parser.fixed_bytes() {
                Some(0) if self.after_member() => Ok(()),
                // One byte that happens to be the first of the magic bytes begins no member.
                Some(1) if self.after_member() => Err(ReadError::TrailingGarbage {
                    offset: self.offset - 1,
                }),
                _ => Err(ReadError::Truncated {
                    offset: self.offset,
                }),
            },
            _ => Err(ReadError::Truncated {
                offset: self.offset,
            }),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn member(data: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(data).unwrap();
        writer.finish().unwrap()
    }

    /// Decodes with input and output cut as said; what was decoded, the members, and the error if any.
    fn decode(
        input: &[u8],
        cuts: &[usize],
        rooms: &[usize],
    ) -> (Vec<u8>, u64, Result<(), ReadError>) {
        let mut decoder = Decoder::new(0);
        let (mut data, mut members) = (Vec::new(), 0);
        let mut rooms = rooms.iter().cycle();
        let mut rest = input;
        for &cut in cuts.iter().cycle() {
            let (mut now, later) = rest.split_at(cut.min(rest.len()));
            loop {
                let mut output = vec![0; *rooms.next().unwrap()];
                let (progress, result) = decoder.decode(now, &mut output);
                data.extend(&output[..progress.produced]);
                now = &now[progress.consumed..];
                members += decoder.take_members();
                if result.is_err() {
                    return (data, members, result);
                }
                if now.is_empty() && progress.produced < output.len() {
                    break;
                }
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let end = decoder.end();
        (data, members, end)
    }

    proptest! {
        #[test]
        fn cuts_of_input_and_output_change_nothing(
            members in prop::collection::vec(prop::collection::vec(0u8..3, 0..2000), 1..5),
            damage in prop::option::of((any::<prop::sample::Index>(), 1u8..)),
            cuts in prop::collection::vec(1usize..50, 1..5),
            rooms in prop::collection::vec(1usize..500, 1..5),
        ) {
            let mut input: Vec<u8> = members.iter().flat_map(|data| member(data)).collect();
            if let Some((at, flip)) = damage {
                let at = at.index(input.len());
                input[at] ^= flip;
            }
            let whole = decode(&input, &[input.len()], &[1 << 20]);
            let pieces = decode(&input, &cuts, &rooms);
            match &whole.2 {
                // Where exactly a broken stream is noticed depends on how much of it is seen at once.
                Err(ReadError::Deflate { .. }) => {
                    let same = matches!(pieces.2, Err(ReadError::Deflate { .. }));
                    prop_assert!(same);
                    prop_assert!(pieces.0.iter().zip(&whole.0).all(|(a, b)| a == b));
                }
                _ => prop_assert_eq!(&pieces, &whole),
            }
            if damage.is_none() {
                prop_assert_eq!(whole, (members.concat(), members.len() as u64, Ok(())));
            }
        }
    }

    #[test]
    fn a_restarted_decoder_is_as_new() {
        let gz = member(b"hello");
        let mut decoder = Decoder::new(0);
        let mut output = [0; 10];
        let (_, result) = decoder.decode(b"\x1f\x8b\x08\x00", &mut output);
        assert_eq!(result, Ok(()));
        assert!(!decoder.at_border());
        decoder.restart(1000);
        assert!(decoder.at_border());
        let (progress, result) = decoder.decode(&gz, &mut output);
        assert_eq!(
            (progress.consumed, progress.produced, result),
            (gz.len(), 5, Ok(()))
        );
        assert_eq!((decoder.at_border(), decoder.take_members()), (true, 1));
        let (_, result) = decoder.decode(b"x", &mut output);
        assert_eq!(
            result,
            Err(ReadError::TrailingGarbage {
                offset: 1000 + gz.len() as u64
            })
        );
    }
}
