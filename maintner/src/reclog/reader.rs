use std::io::{self, Read};
use std::ops::Range;

use crate::reclog::{ReadError, Record, RecordError, decode, record};

/// How much is read at a time, and the longest record that is read, if nothing else is said.
const SIZE: usize = 1 << 20;
pub(super) const MAX_RECORD: usize = 256 << 20;

/// Reads the records of a stream.
///
/// It reads in steps of 1 MiB (see [`block_size`](Self::block_size)) and holds one block, and a record that is longer than
/// that while it is read. A length in a header makes it allocate no more than what really arrives, doubled.
///
/// An error of the log is final: every later call gives it again. After an error of the source the same call may be
/// repeated.
#[derive(Debug)]
pub struct Reader<R> {
    blocks: Blocks<R>,
    here: Here,
}

impl<R: Read> Reader<R> {
    /// `offset` is where `source` stands in its file, which headers are checked against.
    pub fn new(source: R, offset: u64) -> Self {
        Self {
            blocks: Blocks::new(source, offset),
            here: Here::at(offset),
        }
    }

    /// How much is read at a time: 1 MiB by default, at least 1 KiB. To be set before the first record is read.
    #[must_use]
    pub fn block_size(mut self, bytes: usize) -> Self {
        self.blocks.cutter.set_block_size(bytes);
        self
    }

    /// The longest record that is read, in bytes of payload: 256 MiB by default, 1 GiB at most. Upstream's daemon begins a new file
    /// when one has 16 MiB.
    #[must_use]
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.blocks.cutter.set_max_record(bytes);
        self
    }

    /// The next record, or `None` at a clean end.
    ///
    /// At the end the source is asked again by the next call, so that a file can be followed.
    ///
    /// # Errors
    ///
    /// When the source cannot be read, or there is no record where one should be.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        if self.here.is_used() {
            let memory = self.here.leave();
            match self.blocks.next(memory)? {
                Some(block) => self.here.enter(block),
                None => return Ok(None),
            }
        }
        Ok(self.here.next())
    }

    /// Where the next record begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.here.offset()
    }
}

/// A block whose records are given out.
#[derive(Debug)]
pub(super) struct Here {
    block: Block,
    /// How many records of it were given out.
    next: usize,
}

impl Here {
    pub(super) fn at(offset: u64) -> Self {
        let block = Block {
            offset,
            ..Block::default()
        };
        Self { block, next: 0 }
    }

    pub(super) fn is_used(&self) -> bool {
        self.next == self.block.payloads.len()
    }

    /// Gives the block's memory away, and stands behind it.
    pub(super) fn leave(&mut self) -> Vec<u8> {
        let behind = Self::at(self.offset());
        std::mem::replace(self, behind).block.data
    }

    pub(super) fn enter(&mut self, block: Block) {
        *self = Self { block, next: 0 };
    }

    pub(super) fn next(&mut self) -> Option<Record<'_>> {
        let offset = self.offset();
        let payload = self.block.payloads.get(self.next)?.clone();
        self.next += 1;
        Some(Record {
            offset,
            payload: &self.block.data[payload.start as usize..payload.end as usize],
            end: self.offset(),
        })
    }

    pub(super) fn offset(&self) -> u64 {
        let used = match self.next {
            0 => 0,
            next => self.block.payloads[next - 1].end,
        };
        self.block.offset + u64::from(used)
    }
}

/// Whole records, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// Where the first record begins in its file.
    pub(crate) offset: u64,
    pub(crate) data: Vec<u8>,
    /// Where the payloads lie in `data`.
    pub(crate) payloads: Vec<Range<u32>>,
}

/// Cuts a stream into blocks of whole records.
#[derive(Debug)]
pub(crate) struct Blocks<R> {
    source: R,
    cutter: Cutter,
}

impl<R: Read> Blocks<R> {
    pub(crate) fn new(source: R, offset: u64) -> Self {
        let cutter = Cutter::new(offset);
        Self { source, cutter }
    }

    /// The next block, in the memory of `memory`, or `None` at a clean end. What is good before an error comes first.
    pub(crate) fn next(&mut self, memory: Vec<u8>) -> Result<Option<Block>, ReadError> {
        let cutter = &mut self.cutter;
        cutter.begin(memory)?;
        loop {
            let missing = cutter.missing();
            let source = (&mut self.source).take(missing as u64);
            let read = { source }.read_to_end(&mut cutter.data);
            let read = read.map_err(|source| cutter.failed_to_read(source))?;
            match cutter.cut(read < missing)? {
                Cut::Block(block) => return Ok(Some(block)),
                Cut::End => return Ok(None),
                Cut::More => {}
            }
        }
    }
}

/// Cuts bytes into blocks of whole records. Somebody else reads them, into `data`.
#[derive(Debug)]
pub(super) struct Cutter {
    /// Where `data` begins in the file.
    offset: u64,
    /// What was read and is in no block yet.
    pub(super) data: Vec<u8>,
    /// How many bytes it is to have before it is looked at.
    want: usize,
    /// Behind the whole records of the last block came this, which the next call must say.
    failed: Option<RecordError>,
    size: usize,
    max_record: usize,
}

/// What came of looking.
pub(super) enum Cut {
    Block(Block),
    /// The source has no more, and nothing is left over.
    End,
    /// It takes more bytes.
    More,
}

impl Cutter {
    pub(super) fn new(offset: u64) -> Self {
        Self {
            offset,
            data: Vec::new(),
            want: SIZE,
            failed: None,
            size: SIZE,
            max_record: MAX_RECORD,
        }
    }

    pub(super) fn set_block_size(&mut self, bytes: usize) {
        self.size = bytes.max(1 << 10);
        self.want = self.size;
    }

    pub(super) fn set_max_record(&mut self, bytes: usize) {
        self.max_record = bytes.min(1 << 30);
    }

    /// Goes on with what is left over, in this memory.
    pub(super) fn begin(&mut self, mut memory: Vec<u8>) -> Result<(), ReadError> {
        if let Some(error) = &self.failed {
            return Err(error.clone().into());
        }
        memory.clear();
        memory.append(&mut self.data);
        self.data = memory;
        self.want = self.size;
        Ok(())
    }

    /// How many bytes are to be read.
    pub(super) fn missing(&self) -> usize {
        self.want.saturating_sub(self.data.len())
    }

    pub(super) fn failed_to_read(&self, source: io::Error) -> ReadError {
        let offset = self.offset + self.data.len() as u64;
        ReadError::Io { offset, source }
    }

    /// Looks at what was read: all that was missing, or at the source's end what there was.
    pub(super) fn cut(&mut self, at_end: bool) -> Result<Cut, ReadError> {
        let mut payloads = Vec::new();
        let (len, stopped_by) = scan(&self.data, self.offset, &mut payloads);
        if len > 0 {
            let rest = self.data[len..].to_vec();
            let mut data = std::mem::replace(&mut self.data, rest);
            data.truncate(len);
            let offset = self.offset;
            self.offset += len as u64;
            self.failed = stopped_by.filter(|error| !error.is_incomplete());
            return Ok(Cut::Block(Block {
                offset,
                data,
                payloads,
            }));
        }
        match stopped_by {
            None => Ok(Cut::End),
            Some(RecordError::Truncated { offset, want, .. }) if want > self.max_record as u64 => {
                let (len, max) = (want, self.max_record);
                Err(ReadError::TooLong { offset, len, max })
            }
            Some(error) if !error.is_incomplete() => {
                self.failed = Some(error.clone());
                Err(error.into())
            }
            Some(error) if at_end => Err(error.into()),
            // The record is longer than a block.
            Some(RecordError::Truncated { want: payload, .. }) => {
                self.want = payload as usize + record::MAX_HEADER_LEN;
                Ok(Cut::More)
            }
            Some(_) => {
                self.want = self.data.len() + self.size;
                Ok(Cut::More)
            }
        }
    }
}

/// Finds whole records: where their payloads lie, how many bytes they have together, and what stopped the search.
fn scan(data: &[u8], offset: u64, payloads: &mut Vec<Range<u32>>) -> (usize, Option<RecordError>) {
    let mut at = 0;
    loop {
        match decode(&data[at..], offset + at as u64) {
            Ok(None) => return (at, None),
            Ok(Some((record, rest))) => {
                let end = data.len() - rest.len();
                // Blocks are far smaller than 4 GiB.
                payloads.push((end - record.payload.len()) as u32..end as u32);
                at = end;
            }
            Err(error) => return (at, Some(error)),
        }
    }
}
