use std::fmt;
use std::io::{self, BufRead, ErrorKind, Read};
use std::task::Poll;

use crate::buffer::Buffer;
use crate::compress::Wait;
use crate::config::{ConfigError, ReaderConfig};
use crate::decompress::{Decompressor, Next, READ_SIZE};
use crate::format::Header;

/// Reads gzip from a source and decompresses it on several threads, where it is cut into members.
///
/// Members are found by the index that [`Config::index`](crate::Config::index), mgzip, gzp or bgzip wrote, or
/// else by their headers; neither needs a source that can seek. A file of one single member is decompressed one
/// thread ahead of the caller. The caller's thread reads the source and takes finished blocks; the source
/// needs to be neither `Send` nor `'static`.
///
/// All that `gunzip` reads is read, with the same bytes: any header, any number of members, zeros behind the
/// last one. What is wrong is a [`ReadError`](crate::ReadError) with the byte offset inside the [`io::Error`],
/// after all that was right before it.
///
/// The reader reads ahead, so it is not for a peer that waits for an answer to what it just sent. Use
/// [`BufRead`] to get at the blocks without a copy.
pub struct Reader<R> {
    source: R,
    core: Decompressor,
    block: Buffer,
    /// The source gave less than it was asked for: it is a pipe, perhaps a slow one.
    source_is_short: bool,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads `source` with the default configuration.
    pub fn new(source: R) -> Self {
        Self::with_valid_config(source, &ReaderConfig::default())
    }

    /// Reads `source`. Nothing is read yet, and no thread started.
    ///
    /// # Errors
    ///
    /// The configuration cannot be; its error says what can.
    pub fn with_config(source: R, config: ReaderConfig) -> Result<Self, ConfigError> {
        Ok(Self::with_valid_config(source, &config.validate()?))
    }

    fn with_valid_config(source: R, config: &ReaderConfig) -> Self {
        Self {
            source,
            core: Decompressor::new(config),
            block: Buffer::default(),
            source_is_short: false,
            ended: false,
        }
    }

    /// The source, from which some bytes were read ahead.
    pub fn get_ref(&self) -> &R {
        &self.source
    }

    /// The source. What was read ahead of the delivered bytes is lost.
    pub fn into_inner(self) -> R {
        self.source
    }

    /// The header of the first member, once some byte was read.
    pub fn header(&self) -> Option<&Header> {
        self.core.header()
    }

    /// Members decompressed to their end so far, those ahead of the caller not counted.
    pub fn members(&self) -> u64 {
        self.core.members()
    }

    /// Gets the next block, when the one before is used up.
    fn next_block(&mut self) -> io::Result<()> {
        let old = std::mem::take(&mut self.block);
        self.core.recycle(old);
        while !self.ended {
            if self.core.wants_input() {
                // A file: read as far ahead as allowed, before the caller's work on a block begins. A pipe: not
                // while there is something to deliver.
                if self.source_is_short && self.try_block(Wait::Never)? {
                    return Ok(());
                }
                self.read_source()?;
            } else if self.try_block(Wait::Block)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes a block if one is there within `wait`; whether one was. Notes the end.
    fn try_block(&mut self, wait: Wait<'_, '_>) -> io::Result<bool> {
        match self.core.next(wait) {
            Poll::Ready(Ok(Next::Block(block))) => {
                self.block = block;
                return Ok(true);
            }
            Poll::Ready(Ok(Next::End)) => self.ended = true,
            Poll::Ready(Ok(Next::NeedsInput)) | Poll::Pending => {}
            Poll::Ready(Err(error)) => return Err(error),
        }
        Ok(false)
    }

    fn read_source(&mut self) -> io::Result<()> {
        let len = loop {
            match self.source.read(self.core.spare()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if len == 0 {
            return self.core.end_input();
        }
        self.source_is_short = len < READ_SIZE;
        self.core.filled(len)
    }
}

impl<R: Read> BufRead for Reader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.block.is_empty() {
            self.next_block()?;
        }
        Ok(self.block.filled())
    }

    fn consume(&mut self, len: usize) {
        self.block.consume(len);
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let available = self.fill_buf()?;
        let len = available.len().min(buf.len());
        buf[..len].copy_from_slice(&available[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
