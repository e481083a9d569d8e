//! The writer without its sink: bytes in, blocks of compressed bytes out, in order.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use zlib_rs::crc32::crc32_combine;

use crate::buffer::Buffer;
use crate::config::{Config, ConfigError, Mode, threads_or_cpus};
use crate::encode::{Chunk, Compressed, Encoder, WINDOW};
use crate::format;
use crate::pool::{Pool, Ticket, Worker as _, WorkerPanicked};

/// Chunks in flight beyond one a thread: one to begin when a thread ends its chunk, one to be written out.
const AHEAD: usize = 2;

/// How long to wait for a block.
pub(crate) enum Wait<'a, 'b> {
    /// As long as it takes.
    Block,
    /// Not at all.
    Never,
    /// Not here: the task is woken.
    #[cfg_attr(
        not(feature = "tokio"),
        expect(dead_code, reason = "the async adapters' way of waiting")
    )]
    Task(&'a mut Context<'b>),
}

impl Wait<'_, '_> {
    /// Takes the result of `ticket` by the rules of this wait.
    pub(crate) fn take<W: crate::pool::Worker + 'static>(
        &mut self,
        pool: &Pool<W>,
        ticket: &Ticket,
    ) -> Poll<Result<W::Done, WorkerPanicked>> {
        match self {
            Self::Block => Poll::Ready(pool.wait(ticket)),
            Self::Never => pool.try_take(ticket).map_or(Poll::Pending, Poll::Ready),
            Self::Task(cx) => pool.poll(ticket, cx),
        }
    }
}

pub(crate) struct Compressor {
    config: Arc<Config>,
    pool: Pool<Encoder>,
    /// The chunk being filled, behind the dictionary that it will be compressed with.
    current: Buffer,
    dictionary_len: usize,
    in_flight: VecDeque<InFlight>,
    max_in_flight: usize,
    chunks: u64,
    sealed: bool,
    /// The compressed bytes of a sealed single member need a trailer yet.
    trailer_due: bool,
    crc: u32,
    len: u64,
    spare_inputs: Vec<Buffer>,
    spare_outputs: Vec<Buffer>,
}

enum InFlight {
    Submitted(Ticket),
    /// Compressed by the caller's own thread.
    Done(Compressed),
}

impl Compressor {
    pub(crate) fn new(config: Config) -> Result<Self, ConfigError> {
        let config = config.validate()?;
        let threads = threads_or_cpus(config.threads);
        let for_workers = Arc::clone(&config);
        Ok(Self {
            trailer_due: config.mode == Mode::SingleMember,
            pool: Pool::new(threads, move || Encoder::new(Arc::clone(&for_workers))),
            config,
            current: Buffer::default(),
            dictionary_len: 0,
            in_flight: VecDeque::with_capacity(threads + AHEAD),
            max_in_flight: threads + AHEAD,
            chunks: 0,
            sealed: false,
            crc: 0,
            len: 0,
            spare_inputs: Vec::new(),
            spare_outputs: Vec::new(),
        })
    }

    /// Takes bytes from the front of `bytes` and returns how many: 0 means that a block must be taken first.
    ///
    /// A full chunk is submitted only when more bytes follow it, so that the last one is known as the last.
    #[inline]
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let filled = self.current.len() - self.dictionary_len;
        if filled + bytes.len() <= self.config.chunk_size {
            self.current.extend(bytes);
            return Ok(bytes.len());
        }
        self.write_over_border(bytes, filled)
    }

    /// Chunks cut off so far.
    pub(crate) fn chunks(&self) -> u64 {
        self.chunks
    }

    fn write_over_border(&mut self, bytes: &[u8], filled: usize) -> io::Result<usize> {
        let mut room = self.config.chunk_size - filled;
        if room == 0 {
            if self.in_flight.len() >= self.max_in_flight {
                return Ok(0);
            }
            self.submit(false)?;
            room = self.config.chunk_size;
        }
        let taken = room.min(bytes.len());
        self.current.extend(&bytes[..taken]);
        Ok(taken)
    }

    /// Says that no bytes follow. `inline` compresses a lone chunk at once instead of starting a thread for it.
    pub(crate) fn seal(&mut self, inline: bool) -> io::Result<()> {
        if self.sealed {
            return Ok(());
        }
        if inline && self.chunks == 0 {
            let chunk = self.next_chunk(true);
            let done = Encoder::new(Arc::clone(&self.config)).run(chunk);
            self.in_flight.push_back(InFlight::Done(done));
        } else {
            // One above the limit: nothing else follows.
            self.submit(true)?;
        }
        self.sealed = true;
        Ok(())
    }

    fn submit(&mut self, last: bool) -> io::Result<()> {
        let chunk = self.next_chunk(last);
        let ticket = self.pool.submit(chunk)?;
        self.in_flight.push_back(InFlight::Submitted(ticket));
        Ok(())
    }

    /// Cuts the current chunk off and begins the next one, with its dictionary.
    fn next_chunk(&mut self, last: bool) -> Chunk {
        let mut next = self.spare_inputs.pop().unwrap_or_default();
        let carry = match self.config.mode {
            Mode::SingleMember if !last => {
                &self.current.filled()[self.current.len().saturating_sub(WINDOW)..]
            }
            _ => &[],
        };
        next.extend(carry);
        let next_dictionary_len = carry.len();
        let chunk = Chunk {
            input: std::mem::replace(&mut self.current, next),
            dictionary_len: std::mem::replace(&mut self.dictionary_len, next_dictionary_len),
            output: self.spare_outputs.pop().unwrap_or_default(),
            first: self.chunks == 0,
            last,
        };
        self.chunks += 1;
        chunk
    }

    /// The next compressed bytes; `None` when nothing is in flight. After [`seal`](Self::seal) that is the end.
    pub(crate) fn next_block(
        &mut self,
        mut wait: Wait<'_, '_>,
    ) -> Poll<io::Result<Option<Buffer>>> {
        let done = match self.in_flight.front_mut() {
            None if self.sealed && self.trailer_due => {
                self.trailer_due = false;
                let mut block = self.spare_outputs.pop().unwrap_or_default();
                block.extend(&format::trailer(self.crc, self.len));
                return Poll::Ready(Ok(Some(block)));
            }
            None => return Poll::Ready(Ok(None)),
            Some(InFlight::Submitted(ticket)) => match wait.take(&self.pool, ticket) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(done) => {
                    self.in_flight.pop_front();
                    done?
                }
            },
            Some(InFlight::Done(_)) => match self.in_flight.pop_front() {
                Some(InFlight::Done(done)) => done,
                _ => unreachable!("the front is compressed"),
            },
        };
        if self.config.mode == Mode::SingleMember {
            self.crc = crc32_combine(self.crc, done.crc, done.len as u64);
            self.len += done.len as u64;
        }
        if !self.sealed {
            self.spare_inputs.push(done.input);
        }
        Poll::Ready(Ok(Some(done.output)))
    }

    /// Gives a block's memory back to be filled again.
    pub(crate) fn recycle(&mut self, mut block: Buffer) {
        block.clear();
        if !self.sealed {
            self.spare_outputs.push(block);
        }
    }

    /// Makes dropping this wait for no thread.
    #[cfg(feature = "tokio")]
    pub(crate) fn detach(&mut self) {
        self.pool.detach();
    }
}
