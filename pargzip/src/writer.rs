use std::fmt;
use std::io::{self, Write};
use std::task::Poll;

use crate::buffer::Buffer;
use crate::compress::{Compressor, Wait};
use crate::config::{Config, ConfigError};
use crate::error::StickyError;

/// Compresses on several threads what is written to it, and writes gzip to a sink.
///
/// The caller's thread copies bytes into chunks and writes compressed chunks to the sink, in order; other
/// threads compress. The sink needs to be neither `Send` nor `'static`, and a slow one slows the caller: no
/// more than `threads + 3` chunks are held (see [`Config::chunk_size`]).
///
/// # Ending
///
/// Call [`finish`](Self::finish). Dropping the writer without it leaves the sink with a file that is cut short:
/// chunks that nobody wrote out are forgotten, and the drop waits only for chunks being compressed.
///
/// # Errors
///
/// The first error of the sink is kept: what follows is refused with an error of the same kind that has the
/// first as its source, for the output has a hole.
pub struct Writer<W: Write> {
    sink: W,
    core: Compressor,
    failed: Option<StickyError>,
}

impl<W: Write> Writer<W> {
    /// Begins a gzip file in `sink`. Nothing is written yet, and no thread started.
    ///
    /// # Errors
    ///
    /// The configuration cannot be; its error says what can.
    pub fn new(sink: W, config: Config) -> Result<Self, ConfigError> {
        Ok(Self {
            sink,
            core: Compressor::new(config)?,
            failed: None,
        })
    }

    /// The sink.
    #[must_use]
    pub fn get_ref(&self) -> &W {
        &self.sink
    }

    /// Compresses and writes what is left, flushes the sink and gives it back.
    ///
    /// Input of no bytes makes an empty member, which is a valid gzip file; the Go package writes nothing then.
    ///
    /// # Errors
    ///
    /// An error of the sink, now or earlier; the sink comes with it.
    pub fn finish(mut self) -> Result<W, FinishError<W>> {
        let result = self.finish_in_place();
        match result {
            Ok(()) => Ok(self.sink),
            Err(error) => Err(FinishError {
                error,
                sink: self.sink,
            }),
        }
    }

    fn finish_in_place(&mut self) -> io::Result<()> {
        self.check()?;
        let sealed = self.core.seal(true);
        self.note(sealed)?;
        while self.write_block(Wait::Block)? {}
        let flushed = self.sink.flush();
        self.note(flushed)
    }

    fn check(&self) -> io::Result<()> {
        self.failed
            .as_ref()
            .map_or(Ok(()), |failed| Err(failed.again()))
    }

    /// Remembers an error, and hands it on.
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            self.failed
                .insert(StickyError::new("cannot write compressed data", error))
                .again()
        })
    }

    /// Writes the oldest chunk out if it is there within `wait`; whether it was.
    fn write_block(&mut self, wait: Wait<'_, '_>) -> io::Result<bool> {
        let Poll::Ready(next) = self.core.next_block(wait) else {
            return Ok(false);
        };
        let Some(block) = self.note(next)? else {
            return Ok(false);
        };
        self.write_out(block)?;
        Ok(true)
    }

    fn write_out(&mut self, block: Buffer) -> io::Result<()> {
        let written = self.sink.write_all(block.filled());
        self.note(written)?;
        self.core.recycle(block);
        Ok(())
    }

    #[cold]
    fn write_when_full(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.write_block(Wait::Block)?;
            let written = self.core.write(bytes);
            let written = self.note(written)?;
            if written > 0 {
                return Ok(written);
            }
        }
    }
}

impl<W: Write> Write for Writer<W> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        let chunks = self.core.chunks();
        let written = self.core.write(bytes);
        let written = match self.note(written)? {
            0 if !bytes.is_empty() => self.write_when_full(bytes)?,
            written => written,
        };
        if self.core.chunks() != chunks {
            // Once a chunk, so that what is ready does not wait for the chunks behind it.
            while self.write_block(Wait::Never)? {}
        }
        Ok(written)
    }

    /// Waits until every chunk that is complete is written out, and flushes the sink.
    ///
    /// The chunk being filled stays, so that flushing changes no byte of the output.
    fn flush(&mut self) -> io::Result<()> {
        self.check()?;
        while self.write_block(Wait::Block)? {}
        let flushed = self.sink.flush();
        self.note(flushed)
    }
}

impl<W: Write> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// Why [`Writer::finish`] failed, with the sink.
///
/// Becomes an [`io::Error`] by `?` where one is expected.
pub struct FinishError<W> {
    error: io::Error,
    sink: W,
}

impl<W> FinishError<W> {
    /// What went wrong.
    #[must_use]
    pub fn error(&self) -> &io::Error {
        &self.error
    }

    /// What went wrong, and the sink with the bytes written until then.
    #[must_use]
    pub fn into_parts(self) -> (io::Error, W) {
        (self.error, self.sink)
    }
}

impl<W> From<FinishError<W>> for io::Error {
    fn from(error: FinishError<W>) -> Self {
        error.error
    }
}

impl<W> fmt::Debug for FinishError<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FinishError")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<W> fmt::Display for FinishError<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot finish the gzip file")
    }
}

impl<W> std::error::Error for FinishError<W> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
