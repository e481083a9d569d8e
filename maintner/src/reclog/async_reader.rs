use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::reclog::reader::{Cut, Cutter, Here};
use crate::reclog::{ReadError, Record};

/// Reads the records of an asynchronous stream, as [`Reader`](crate::reclog::Reader) does those of a blocking one, with the same limits and the
/// same errors.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use maintner::reclog::AsyncReader;
///
/// let mut reader = AsyncReader::new(b"REC@0+5=firstREC@d+6=second".as_slice(), 0);
/// while let Some(record) = reader.next_record().await? {
///     println!("{} bytes at {}", record.payload.len(), record.offset);
/// }
/// # assert_eq!(reader.offset(), 27);
/// # Ok::<(), maintner::reclog::ReadError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AsyncReader<R> {
    source: R,
    cutter: Cutter,
    here: Here,
}

impl<R: AsyncRead + Unpin> AsyncReader<R> {
    /// `offset` is where `source` stands in its file, which headers are checked against.
    pub fn new(source: R, offset: u64) -> Self {
        Self {
            source,
            cutter: Cutter::new(offset),
            here: Here::at(offset),
        }
    }

    /// How much is read at a time, at most: 1 MiB by default, at least 1 KiB. To be set before the first record is read. A record is given as soon
    /// as it is whole, however little the source has given.
    #[must_use]
    pub fn block_size(mut self, bytes: usize) -> Self {
        self.cutter.set_block_size(bytes);
        self
    }

    /// The longest record that is read, in bytes of payload: 256 MiB by default, 1 GiB at most.
    #[must_use]
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.cutter.set_max_record(bytes);
        self
    }

    /// The next record, or `None` at a clean end.
    ///
    /// At the end the source is asked again by the next call. How long it may take is for the caller to limit.
    ///
    /// # Errors
    ///
    /// When the source cannot be read, or there is no record where one should be.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped: the next call goes on with what was read.
    pub async fn next_record(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        while self.here.is_used() {
            let memory = self.here.leave();
            self.cutter.begin(memory)?;
            let Cut::Block(block) = self.cut().await? else {
                return Ok(None);
            };
            self.here.enter(block);
        }
        Ok(self.here.next())
    }

    /// Where the next record begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.here.offset()
    }

    async fn cut(&mut self) -> Result<Cut, ReadError> {
        let cutter = &mut self.cutter;
        loop {
            // A record that is whole is not kept back until a block is full.
            let mut at_end = false;
            let missing = cutter.missing();
            if missing > 0 {
                let mut source = (&mut self.source).take(missing as u64);
                let read = source.read_buf(&mut cutter.data).await;
                at_end = read.map_err(|source| cutter.failed_to_read(source))? == 0;
            }
            match cutter.cut(at_end)? {
                Cut::More => {}
                done => return Ok(done),
            }
        }
    }
}
