//! Compresses one chunk: the work of the writer's threads.

use std::sync::Arc;

use zlib_rs::{Deflate, DeflateFlush, Status};

use crate::buffer::Buffer;
use crate::config::{Backend, Config, Mode};
use crate::format;
use crate::pool::Worker;

/// How far deflate looks back, and so how much of a chunk the next one can use: RFC 1951 section 2.
pub(crate) const WINDOW: usize = 32 << 10;

/// Bytes that a chunk's output may need besides its content: a header without texts, a trailer, and the ends of
/// deflate blocks.
const ENVELOPE: usize = 1024;

/// A chunk to compress.
pub(crate) struct Chunk {
    /// The dictionary, then the chunk's own bytes.
    pub(crate) input: Buffer,
    pub(crate) dictionary_len: usize,
    /// Empty; keeps the allocation of an earlier chunk.
    pub(crate) output: Buffer,
    pub(crate) first: bool,
    pub(crate) last: bool,
}

/// A compressed chunk: a whole member, or in single-member mode a piece of the deflate stream.
pub(crate) struct Compressed {
    /// The chunk's input, given back to be filled again.
    pub(crate) input: Buffer,
    pub(crate) output: Buffer,
    /// CRC-32 and length of the chunk's uncompressed bytes.
    pub(crate) crc: u32,
    pub(crate) len: usize,
}

/// One thread's compressor.
pub(crate) struct Encoder {
    config: Arc<Config>,
    engine: Engine,
}

enum Engine {
    ZlibRs(Deflate),
    #[cfg(feature = "libdeflate")]
    Libdeflate(libdeflater::Compressor),
}

impl Encoder {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        // `Config::validate` checked the level against the backend.
        let level = config.level as i32;
        let engine = match config.backend {
            Backend::ZlibRs => Engine::ZlibRs(Deflate::new(level, false, 15)),
            #[cfg(feature = "libdeflate")]
            Backend::Libdeflate => {
                let level = libdeflater::CompressionLvl::new(level)
                    .expect("the level was checked against the backend");
                Engine::Libdeflate(libdeflater::Compressor::new(level))
            }
        };
        Self { config, engine }
    }
}

impl Worker for Encoder {
    type Job = Chunk;
    type Done = Compressed;

    fn run(&mut self, chunk: Chunk) -> Compressed {
        let Chunk {
            mut input,
            dictionary_len,
            mut output,
            first,
            last,
        } = chunk;
        let (dictionary, data) = input.filled().split_at(dictionary_len);
        let whole_member = self.config.mode == Mode::MultiMember;
        let len = data.len();
        // All that is needed nearly always, at once: fresh memory costs nothing until it is written to.
        output.spare(len + len / 512 + ENVELOPE);
        if whole_member || first {
            output.extend(&format::header(&self.config, first));
        }
        let crc = match &mut self.engine {
            Engine::ZlibRs(deflate) => {
                deflate.reset();
                let flush = if whole_member || last {
                    DeflateFlush::Finish
                } else {
                    DeflateFlush::SyncFlush
                };
                deflate_all(deflate, dictionary, data, flush, &mut output);
                zlib_rs::crc32::crc32(0, data)
            }
            #[cfg(feature = "libdeflate")]
            Engine::Libdeflate(compressor) => {
                let room = compressor.deflate_compress_bound(len);
                let n = compressor
                    .deflate_compress(data, output.spare(room))
                    .expect("the output has the room that the library asked for");
                output.grow(n);
                libdeflater::crc32(data)
            }
        };
        if whole_member {
            output.extend(&format::trailer(crc, len as u64));
            if self.config.index {
                let size =
                    u32::try_from(output.len()).expect("chunks have a limit far below 4 GiB");
                output.patch(format::INDEX_AT, &size.to_le_bytes());
            }
        }
        input.clear();
        Compressed {
            input,
            output,
            crc,
            len,
        }
    }
}

/// Compresses all of `data` behind `output` and ends as `flush` says.
fn deflate_all(
    deflate: &mut Deflate,
    dictionary: &[u8],
    data: &[u8],
    flush: DeflateFlush,
    output: &mut Buffer,
) {
    if !dictionary.is_empty() {
        deflate
            .set_dictionary(dictionary)
            .expect("a stream that was just reset takes a dictionary");
    }
    // Room for stored blocks, so that one call does for nearly every chunk; the loop is for the others.
    let mut room = data.len() + data.len() / 512 + 512;
    loop {
        let (total_in, total_out) = (deflate.total_in(), deflate.total_out());
        let consumed = usize::try_from(total_in).expect("a chunk fits into memory");
        let spare = output.spare(room);
        let spare_len = spare.len();
        let status = deflate
            .compress(&data[consumed..], spare, flush)
            .expect("a deflate stream in a valid state");
        let produced =
            usize::try_from(deflate.total_out() - total_out).expect("no more than the spare space");
        output.grow(produced);
        // A flush is complete when it leaves room: zlib's manual, `deflate()`.
        if status == Status::StreamEnd || (flush == DeflateFlush::SyncFlush && produced < spare_len)
        {
            return;
        }
        room = 64 << 10;
    }
}
