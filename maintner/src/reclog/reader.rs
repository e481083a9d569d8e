use std::io::Read;
use std::ops::Range;

use crate::reclog::{ReadError, Record, RecordError, decode, record};

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
    block: Block,
    /// How many records of the block were given out.
    next: usize,
}

impl<R: Read> Reader<R> {
    /// `offset` is where `source` stands in its file, which headers are checked against.
    pub fn new(source: R, offset: u64) -> Self {
        Self {
            blocks: Blocks::new(source, offset),
            block: Block {
                offset,
                ..Block::default()
            },
            next: 0,
        }
    }

    /// How much is read at a time: 1 MiB by default, at least 1 KiB. To be set before the first record is read.
    #[must_use]
    pub fn block_size(mut self, bytes: usize) -> Self {
        self.blocks.size = bytes.max(1 << 10);
        self
    }

    /// The longest record that is read, in bytes of payload: 256 MiB by default, 1 GiB at most. Upstream's daemon begins a new file
    /// when one has 16 MiB.
    #[must_use]
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.blocks.max_record = bytes.min(1 << 30);
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
        if self.next == self.block.payloads.len() && !self.next_block()? {
            return Ok(None);
        }
        let offset = self.offset();
        let payload = self.block.payloads[self.next].clone();
        self.next += 1;
        Ok(Some(Record {
            offset,
            payload: &self.block.data[payload.start as usize..payload.end as usize],
            end: self.offset(),
        }))
    }

    /// Where the next record begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        let used = match self.next {
            0 => 0,
            next => self.block.payloads[next - 1].end,
        };
        self.block.offset + u64::from(used)
    }

    fn next_block(&mut self) -> Result<bool, ReadError> {
        let data = std::mem::take(&mut self.block.data);
        self.block = Block {
            offset: self.blocks.offset,
            ..Block::default()
        };
        self.next = 0;
        let next = self.blocks.next(data)?;
        let any = next.is_some();
        if let Some(block) = next {
            self.block = block;
        }
        Ok(any)
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
    /// Where `rest` begins in the file.
    offset: u64,
    /// What was read of the record behind the last block.
    rest: Vec<u8>,
    /// Behind the whole records of the last block came this, which the next call must say.
    failed: Option<RecordError>,
    size: usize,
    max_record: usize,
}

impl<R: Read> Blocks<R> {
    pub(crate) const SIZE: usize = 1 << 20;
    pub(crate) const MAX_RECORD: usize = 256 << 20;

    pub(crate) fn new(source: R, offset: u64) -> Self {
        Self {
            source,
            offset,
            rest: Vec::new(),
            failed: None,
            size: Self::SIZE,
            max_record: Self::MAX_RECORD,
        }
    }

    /// The next block, in the memory of `data`, or `None` at a clean end. What is good before an error comes first.
    pub(crate) fn next(&mut self, mut data: Vec<u8>) -> Result<Option<Block>, ReadError> {
        if let Some(error) = &self.failed {
            return Err(error.clone().into());
        }
        data.clear();
        data.append(&mut self.rest);
        let mut want = self.size;
        loop {
            let missing = want.saturating_sub(data.len());
            let read = (&mut self.source)
                .take(missing as u64)
                .read_to_end(&mut data);
            let at_end = match read {
                Ok(read) => read < missing,
                Err(source) => {
                    let offset = self.offset + data.len() as u64;
                    self.rest = data;
                    return Err(ReadError::Io { offset, source });
                }
            };
            let mut payloads = Vec::new();
            let (len, stopped_by) = scan(&data, self.offset, &mut payloads);
            let too_long = match &stopped_by {
                Some(RecordError::Truncated { offset, want, .. })
                    if *want > self.max_record as u64 =>
                {
                    Some((*offset, *want))
                }
                _ => None,
            };
            if len > 0 {
                self.rest.extend_from_slice(&data[len..]);
                data.truncate(len);
                let offset = self.offset;
                self.offset += len as u64;
                if let Some(error) = stopped_by
                    && !error.is_incomplete()
                {
                    self.failed = Some(error);
                }
                return Ok(Some(Block {
                    offset,
                    data,
                    payloads,
                }));
            }
            if let Some((offset, len)) = too_long {
                let max = self.max_record;
                self.rest = data;
                return Err(ReadError::TooLong { offset, len, max });
            }
            match stopped_by {
                None => return Ok(None),
                Some(error) if !error.is_incomplete() || at_end => {
                    if error.is_incomplete() {
                        self.rest = data;
                    } else {
                        self.failed = Some(error.clone());
                    }
                    return Err(error.into());
                }
                // The record is longer than a block.
                Some(RecordError::Truncated { want: payload, .. }) => {
                    want = payload as usize + record::MAX_HEADER_LEN;
                }
                Some(_) => want = data.len() + self.size,
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
