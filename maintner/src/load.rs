//! Reads segments, takes their records apart on all cores, and hands them on in order.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::digest::{Batch, digest};
use crate::load_error::LoadError;
use crate::reclog::{Block, Blocks, ReadError};
use crate::store::Hasher;

/// A part of a segment.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) path: PathBuf,
    /// The segment, if `path` is not sure to lead to it.
    pub(crate) file: Option<Arc<File>>,
    pub(crate) from: u64,
    /// Where it ends; behind the end of the file, which then counts, if that may have grown.
    pub(crate) to: u64,
}

/// Fewer bytes are not worth a thread.
const SERIAL_BELOW: u64 = 2 << 20;

/// Reads the parts and calls `take` with each batch and the index of its part, in order. `take` gives the batch's memory back.
///
/// With blocks of 1 MiB and twice as many of them on the way as there are threads, it holds some megabytes.
pub(crate) fn load(
    parts: &[Part],
    bytes: u64,
    threads: usize,
    hasher: &Hasher,
    mut take: impl FnMut(usize, Batch) -> Result<Vec<u8>, LoadError>,
) -> Result<(), LoadError> {
    if threads < 2 || bytes < SERIAL_BELOW {
        let mut spare = Vec::new();
        return read(
            parts,
            || std::mem::take(&mut spare),
            |part, block| take(part, digest(block, hasher)).map(|_| ()),
        );
    }
    // One applies, and is mostly waited for.
    let workers = threads - 1;
    thread::scope(|scope| {
        let (jobs, todo) = mpsc::sync_channel::<Job>(workers);
        let (ordered, arriving) =
            mpsc::sync_channel::<Result<(usize, Receiver<Batch>), LoadError>>(2 * workers);
        let (give_back, spares) = mpsc::channel();
        let todo = Mutex::new(todo);
        let todo = Arc::new(todo);
        for _ in 0..workers {
            let todo = Arc::clone(&todo);
            scope.spawn(move || work(&todo, hasher));
        }
        drop(todo);
        scope.spawn(move || read_ahead(parts, &spares, &jobs, &ordered));
        apply(&arriving, &give_back, &mut take)
        // Dropping `arriving` stops the reader, which stops the workers.
    })
}

/// A block to be digested, and where to.
struct Job {
    block: Block,
    to: SyncSender<Batch>,
}

fn work(todo: &Mutex<Receiver<Job>>, hasher: &Hasher) {
    loop {
        let job = match todo.lock() {
            Ok(todo) => todo.recv(),
            Err(_) => return,
        };
        let Ok(job) = job else {
            return;
        };
        // Nobody waits any more after an error.
        drop(job.to.send(digest(job.block, hasher)));
    }
}

fn read_ahead(
    parts: &[Part],
    spares: &Receiver<Vec<u8>>,
    jobs: &SyncSender<Job>,
    ordered: &SyncSender<Result<(usize, Receiver<Batch>), LoadError>>,
) {
    let result = read(
        parts,
        || spares.try_recv().unwrap_or_default(),
        |part, block| {
            let (to, from) = mpsc::sync_channel(1);
            let sent =
                jobs.send(Job { block, to }).is_ok() && ordered.send(Ok((part, from))).is_ok();
            if sent { Ok(()) } else { Err(LoadError::Full) } // told to nobody: the other side has gone
        },
    );
    if let Err(error) = result {
        drop(ordered.send(Err(error)));
    }
}

fn apply(
    arriving: &Receiver<Result<(usize, Receiver<Batch>), LoadError>>,
    give_back: &Sender<Vec<u8>>,
    take: &mut impl FnMut(usize, Batch) -> Result<Vec<u8>, LoadError>,
) -> Result<(), LoadError> {
    for next in arriving {
        let (part, from) = next?;
        let Ok(batch) = from.recv() else {
            break; // a worker panicked, which the scope tells
        };
        let memory = take(part, batch)?;
        drop(give_back.send(memory)); // the reader may have ended
    }
    Ok(())
}

/// Reads the parts block by block.
fn read(
    parts: &[Part],
    mut memory: impl FnMut() -> Vec<u8>,
    mut take: impl FnMut(usize, Block) -> Result<(), LoadError>,
) -> Result<(), LoadError> {
    for (index, part) in parts.iter().enumerate() {
        let failed = |source| LoadError::Segment {
            segment: part.path.clone(),
            source,
        };
        let io = |source| {
            failed(ReadError::Io {
                offset: part.from,
                source,
            })
        };
        let file = match &part.file {
            Some(file) => Arc::clone(file),
            None => Arc::new(File::open(&part.path).map_err(io)?),
        };
        (&*file).seek(SeekFrom::Start(part.from)).map_err(io)?;
        let mut blocks = Blocks::new((&*file).take(part.to - part.from), part.from);
        while let Some(block) = blocks.next(memory()).map_err(failed)? {
            take(index, block)?;
        }
    }
    Ok(())
}
