//! The reader without its source: compressed bytes in, blocks of bytes out, in order.

use std::collections::VecDeque;
use std::io;
use std::task::Poll;

use crate::border::{Part, Splitter};
use crate::buffer::Buffer;
use crate::compress::Wait;
use crate::config::{Backend, ReaderConfig, threads_or_cpus};
use crate::decode::Decoder;
use crate::error::ReadError;
use crate::error::StickyError;
use crate::format::Header;
#[cfg(feature = "libdeflate")]
use crate::format::HeaderParser;
use crate::pool::{Pool, Ticket, Worker};
#[cfg(feature = "libdeflate")]
use crate::whole::WholeMembers;

/// Parts in flight beyond one a thread, as in the writer.
const AHEAD: usize = 2;
/// Compressed bytes asked of the source at a time.
pub(crate) const READ_SIZE: usize = 128 << 10;
/// A block's space above the member limit, so that a member of just that size is decoded to its end.
const SLACK: usize = 64;

/// What a worker is to decode.
pub(crate) struct Job {
    part: Part,
    /// Where to go on; without one, at the beginning of a member.
    decoder: Option<Decoder>,
    output: Buffer,
}

/// What a worker decoded.
pub(crate) struct Decoded {
    /// As it was handed out, and how much of it was decoded.
    part: Part,
    consumed: usize,
    output: Buffer,
    /// The output has no room left, and the decoder perhaps more.
    full: bool,
    /// The decoder, unless the part ended with a member.
    decoder: Option<Decoder>,
    result: Result<(), ReadError>,
    members: u64,
    header: Option<Header>,
}

/// One thread's decoders.
pub(crate) struct PartDecoder {
    max_output: usize,
    #[cfg(feature = "libdeflate")]
    whole_members: Option<WholeMembers>,
    /// Kept from part to part, as long as none must be handed over.
    decoder: Option<Decoder>,
}

impl PartDecoder {
    fn new(backend: Backend, max_output: usize) -> Self {
        match backend {
            Backend::ZlibRs => Self {
                max_output,
                #[cfg(feature = "libdeflate")]
                whole_members: None,
                decoder: None,
            },
            #[cfg(feature = "libdeflate")]
            Backend::Libdeflate => Self {
                max_output,
                whole_members: Some(WholeMembers::new()),
                decoder: None,
            },
        }
    }
}

impl Worker for PartDecoder {
    type Job = Job;
    type Done = Decoded;

    fn run(&mut self, job: Job) -> Decoded {
        let Job {
            part,
            decoder,
            mut output,
        } = job;
        let input = part.input.filled();
        let mut consumed = 0;
        let mut members = 0;
        let mut header = None;
        #[cfg(feature = "libdeflate")]
        if let (true, None, Some(whole)) = (part.begins_member, &decoder, &mut self.whole_members) {
            (consumed, members) = whole.decode(input, &part.borders, &mut output, self.max_output);
            if members > 0 && part.offset == 0 {
                header = HeaderParser::default().parse(input).1.ok().flatten();
            }
        }
        let offset = part.offset + consumed as u64;
        let mut decoder = decoder.unwrap_or_else(|| match self.decoder.take() {
            Some(mut decoder) => {
                decoder.restart(offset);
                decoder
            }
            None => Decoder::new(offset),
        });
        let room = self.max_output - output.len();
        let (progress, result) =
            decoder.decode(&input[consumed..], &mut output.spare(room)[..room]);
        output.grow(progress.produced);
        consumed += progress.consumed;
        members += decoder.take_members();
        header = header.or(decoder.take_header());
        let full = progress.produced == room && !decoder.at_border();
        let decoder = if decoder.at_border() {
            self.decoder = Some(decoder);
            None
        } else {
            Some(decoder)
        };
        Decoded {
            part,
            consumed,
            output,
            full,
            decoder,
            result,
            members,
            header,
        }
    }
}

/// Consecutive input that was handed out or waits for what comes before it.
enum Item {
    /// Is decoded ahead, in the hope that a member begins there.
    Ahead(Ticket),
    /// Cannot be decoded before what comes before it is.
    Waiting(Part),
}

pub(crate) struct Decompressor {
    splitter: Splitter,
    pool: Pool<PartDecoder>,
    items: VecDeque<Item>,
    /// The part before the items, where the decoding had to wait for what comes before.
    running: Option<Ticket>,
    /// The decoder within a member, between two parts.
    carry: Option<Decoder>,
    max_in_flight: usize,
    ended: bool,
    failed: Option<Failure>,
    input_len: u64,
    left_of_output: Option<u64>,
    limit: u64,
    members: u64,
    header: Option<Header>,
    spare_inputs: Vec<Buffer>,
    spare_outputs: Vec<Buffer>,
}

/// What ended the reading; told to every later caller too.
enum Failure {
    /// The input.
    Read(ReadError),
    /// This machine: no thread to be had, or a defect.
    Pool(StickyError),
}

impl Failure {
    fn again(&self) -> io::Error {
        match self {
            Self::Read(error) => error.clone().into(),
            Self::Pool(error) => error.again(),
        }
    }
}

/// What comes next.
pub(crate) enum Next {
    Block(Buffer),
    /// Input, or its end.
    NeedsInput,
    End,
}

impl Decompressor {
    /// `config` was validated.
    pub(crate) fn new(config: &ReaderConfig) -> Self {
        let ReaderConfig {
            threads,
            backend,
            member_limit,
            max_output,
        } = *config;
        let threads = threads_or_cpus(threads);
        Self {
            splitter: Splitter::new(member_limit),
            pool: Pool::new(threads, move || {
                PartDecoder::new(backend, member_limit + SLACK)
            }),
            items: VecDeque::new(),
            running: None,
            carry: None,
            max_in_flight: threads + AHEAD,
            ended: false,
            failed: None,
            input_len: 0,
            left_of_output: max_output,
            limit: max_output.unwrap_or(u64::MAX),
            members: 0,
            header: None,
            spare_inputs: Vec::new(),
            spare_outputs: Vec::new(),
        }
    }

    /// Whether more input can be taken now.
    pub(crate) fn wants_input(&self) -> bool {
        !self.ended && self.failed.is_none() && self.items.len() < self.max_in_flight
    }

    /// Space for input of [`READ_SIZE`] bytes.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        &mut self.splitter.spare(READ_SIZE)[..READ_SIZE]
    }

    /// Says that so many bytes of input stand in the space.
    pub(crate) fn filled(&mut self, len: usize) -> io::Result<()> {
        let taken = self.take_input(len);
        self.note(taken)
    }

    fn take_input(&mut self, len: usize) -> io::Result<()> {
        self.splitter.filled(len);
        self.input_len += len as u64;
        self.hand_out()?;
        // A slow source, and nothing to do: what is there must do.
        if len < READ_SIZE
            && self.items.is_empty()
            && self.running.is_none()
            && !self.splitter.is_empty()
        {
            self.accept_rest()?;
            self.go_on()?;
        }
        Ok(())
    }

    /// Says that the input ends here.
    pub(crate) fn end_input(&mut self) -> io::Result<()> {
        self.ended = true;
        let handed_out = self.hand_out();
        self.note(handed_out)
    }

    /// Remembers an error of the pool, and hands it on.
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let error = StickyError::new("cannot decompress", error);
            let again = error.again();
            self.failed = Some(Failure::Pool(error));
            again
        })
    }

    /// Cuts parts off the input while there is room for them in flight.
    fn hand_out(&mut self) -> io::Result<()> {
        while self.items.len() < self.max_in_flight {
            let spare = &mut self.spare_inputs;
            if let Some(part) = self.splitter.next_part(|| spare.pop().unwrap_or_default()) {
                self.accept(part)?;
            } else {
                if self.ended && !self.splitter.is_empty() {
                    self.accept_rest()?;
                }
                break;
            }
        }
        self.go_on()
    }

    fn accept_rest(&mut self) -> io::Result<()> {
        let fresh = self.spare_inputs.pop().unwrap_or_default();
        let rest = self.splitter.rest(fresh);
        self.accept(rest)
    }

    fn accept(&mut self, part: Part) -> io::Result<()> {
        let item = if part.begins_member {
            let output = self.spare_outputs.pop().unwrap_or_default();
            Item::Ahead(self.pool.submit(Job {
                part,
                decoder: None,
                output,
            })?)
        } else {
            Item::Waiting(part)
        };
        self.items.push_back(item);
        Ok(())
    }

    /// Hands the first part out if it waited for what comes before it, and that is decoded.
    fn go_on(&mut self) -> io::Result<()> {
        if self.running.is_some() || self.failed.is_some() {
            return Ok(());
        }
        match self.items.pop_front() {
            Some(Item::Waiting(part)) => {
                let output = self.spare_outputs.pop().unwrap_or_default();
                let job = Job {
                    part,
                    decoder: self.carry.take(),
                    output,
                };
                self.running = Some(self.pool.submit_first(job)?);
            }
            Some(ahead) => self.items.push_front(ahead),
            None => {}
        }
        Ok(())
    }

    /// The next decoded bytes, never none.
    pub(crate) fn next(&mut self, wait: Wait<'_, '_>) -> Poll<io::Result<Next>> {
        if let Some(error) = &self.failed {
            return Poll::Ready(Err(error.again()));
        }
        match self.advance(wait) {
            // The input's errors are noted where they are found.
            Poll::Ready(Err(error)) if self.failed.is_none() => Poll::Ready(self.note(Err(error))),
            next => next,
        }
    }

    fn advance(&mut self, mut wait: Wait<'_, '_>) -> Poll<io::Result<Next>> {
        loop {
            if let Some(error) = &self.failed {
                return Poll::Ready(Err(error.again()));
            }
            let decoded = match (&self.running, self.items.front()) {
                (Some(ticket), _) => match wait.take(&self.pool, ticket) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(decoded) => {
                        self.running = None;
                        decoded?
                    }
                },
                (None, Some(Item::Ahead(ticket))) => {
                    let decoded = match wait.take(&self.pool, ticket) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(decoded) => decoded?,
                    };
                    self.items.pop_front();
                    if self.carry.is_some() {
                        // No member begins there: the one before goes on.
                        self.recycle(decoded.output);
                        self.items.push_front(Item::Waiting(decoded.part));
                        continue;
                    }
                    decoded
                }
                (None, Some(Item::Waiting(_))) => {
                    self.go_on()?;
                    continue;
                }
                (None, None) if !self.ended => return Poll::Ready(Ok(Next::NeedsInput)),
                (None, None) => match self.end() {
                    Ok(()) => return Poll::Ready(Ok(Next::End)),
                    Err(error) => {
                        self.failed = Some(Failure::Read(error));
                        continue;
                    }
                },
            };
            if let Some(block) = self.use_decoded(decoded)? {
                return Poll::Ready(Ok(Next::Block(block)));
            }
        }
    }

    /// Goes behind what was decoded, and sets the next work going before the caller uses the bytes.
    fn use_decoded(&mut self, decoded: Decoded) -> io::Result<Option<Buffer>> {
        let Decoded {
            mut part,
            consumed,
            mut output,
            full,
            decoder,
            result,
            members,
            header,
        } = decoded;
        self.members += members;
        if self.header.is_none() {
            self.header = header;
        }
        self.carry = decoder;
        part.input.consume(consumed);
        if let Err(error) = result {
            self.failed = Some(Failure::Read(error));
        } else if part.input.is_empty() && !full {
            part.input.clear();
            self.spare_inputs.push(part.input);
        } else {
            // The rest goes into the next block.
            part.offset += consumed as u64;
            part.borders.clear();
            part.begins_member = false;
            self.items.push_front(Item::Waiting(part));
        }
        if let Some(left) = &mut self.left_of_output {
            let len = output.len() as u64;
            if len > *left {
                // `left` is less than a length in memory.
                output.truncate(*left as usize);
                self.failed = Some(Failure::Read(ReadError::OutputLimit { limit: self.limit }));
            }
            *left = left.saturating_sub(len);
        }
        if self.failed.is_none() {
            self.hand_out()?;
        }
        if output.is_empty() {
            self.recycle(output);
            return Ok(None);
        }
        Ok(Some(output))
    }

    /// Whether the input may end where it does.
    fn end(&self) -> Result<(), ReadError> {
        match &self.carry {
            Some(decoder) => decoder.end(),
            None if self.members > 0 => Ok(()),
            None => Err(ReadError::Truncated {
                offset: self.input_len,
            }),
        }
    }

    /// Gives a block's memory back to be filled again.
    pub(crate) fn recycle(&mut self, mut block: Buffer) {
        if block.has_memory() {
            block.clear();
            self.spare_outputs.push(block);
        }
    }

    /// The header of the first member, once it was read.
    pub(crate) fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Members read to their end.
    pub(crate) fn members(&self) -> u64 {
        self.members
    }

    /// Makes dropping this wait for no thread.
    #[cfg(feature = "tokio")]
    pub(crate) fn detach(&mut self) {
        self.pool.detach();
    }
}
