//! A log and its readers against a vector that keeps everything.

use std::io::Read as _;

use livelog::{Buffer, Config, Reader, Spill, TRUNCATION_MARKER};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Mode {
    Head { limit: usize },
    HeadAndTail { head: usize, tail: usize },
    Spill { threshold: usize },
}

#[derive(Clone, Debug)]
enum Op {
    Write(usize),
    NewReader(prop::sample::Index),
    Read(prop::sample::Index, usize),
    Chunk(prop::sample::Index),
    CloseReader(prop::sample::Index),
    Close,
}

/// Everything that was written, and how much of it is to be seen.
struct Model {
    mode: Mode,
    written: Vec<u8>,
    closed: bool,
    late: u64,
}

struct ModelReader {
    offset: usize,
    /// The rest of a marker, and where it leads.
    marker: Vec<u8>,
    after_marker: usize,
    closed: bool,
}

impl Model {
    fn write(&mut self, bytes: &[u8]) {
        if self.closed {
            self.late += bytes.len() as u64;
        } else {
            self.written.extend_from_slice(bytes);
        }
    }

    fn gap(&self) -> std::ops::Range<usize> {
        match self.mode {
            Mode::HeadAndTail { head, tail } => {
                head..head.max(self.written.len().saturating_sub(tail))
            }
            Mode::Head { .. } | Mode::Spill { .. } => usize::MAX..usize::MAX,
        }
    }

    /// The text with offsets: for a head, the marker at its end has some.
    fn stream(&self) -> Vec<u8> {
        match self.mode {
            Mode::Head { limit } if self.written.len() > limit - TRUNCATION_MARKER.len() => {
                let mut all = self.written[..limit - TRUNCATION_MARKER.len()].to_vec();
                all.extend_from_slice(TRUNCATION_MARKER.as_bytes());
                all
            }
            _ => self.written.clone(),
        }
    }

    fn end(&self) -> usize {
        match self.mode {
            Mode::Head { limit } if self.written.len() > limit - TRUNCATION_MARKER.len() => limit,
            _ => self.written.len(),
        }
    }

    fn whole(&self) -> Vec<u8> {
        let mut reader = ModelReader::new(0);
        self.read(&mut reader, usize::MAX)
    }

    fn dropped(&self) -> u64 {
        let lost = match self.mode {
            Mode::Head { limit } => self
                .written
                .len()
                .saturating_sub(limit - TRUNCATION_MARKER.len()),
            Mode::HeadAndTail { .. } => self.gap().len(),
            Mode::Spill { .. } => 0,
        };
        lost as u64 + self.late
    }

    fn read(&self, reader: &mut ModelReader, max: usize) -> Vec<u8> {
        let (stream, gap) = (self.stream(), self.gap());
        let mut got = Vec::new();
        while got.len() < max && !reader.closed {
            if !reader.marker.is_empty() {
                let n = reader.marker.len().min(max - got.len());
                got.extend(reader.marker.drain(..n));
                if reader.marker.is_empty() {
                    reader.offset = reader.after_marker;
                }
            } else if gap.contains(&reader.offset) {
                let missed = gap.end - reader.offset;
                reader.marker = format!("\n\n... {missed} bytes dropped ...\n\n").into();
                reader.after_marker = gap.end;
            } else if let Some(&byte) = stream.get(reader.offset) {
                got.push(byte);
                reader.offset += 1;
            } else {
                break;
            }
        }
        got
    }

    fn has_something(&self, reader: &ModelReader) -> bool {
        reader.closed || self.closed || !reader.marker.is_empty() || reader.offset < self.end()
    }
}

impl ModelReader {
    fn new(offset: usize) -> Self {
        Self {
            offset,
            marker: Vec::new(),
            after_marker: 0,
            closed: false,
        }
    }
}

fn modes() -> impl Strategy<Value = Mode> {
    let size = prop_oneof![0..40usize, 0..20_000usize, 0..200_000usize];
    prop_oneof![
        size.clone().prop_map(|room| Mode::Head {
            limit: room + TRUNCATION_MARKER.len()
        }),
        (size.clone(), size.clone()).prop_map(|(head, tail)| Mode::HeadAndTail { head, tail }),
        size.prop_map(|threshold| Mode::Spill { threshold }),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    let size = || prop_oneof![4 => 0..100usize, 2 => 0..5000usize, 1 => 0..150_000usize];
    let any_index = any::<prop::sample::Index>;
    prop_oneof![
        12 => size().prop_map(Op::Write),
        4 => any_index().prop_map(Op::NewReader),
        12 => (any_index(), size()).prop_map(|(reader, n)| Op::Read(reader, n)),
        6 => any_index().prop_map(Op::Chunk),
        1 => any_index().prop_map(Op::CloseReader),
        1 => Just(Op::Close),
    ]
}

fn log(mode: Mode, dir: &std::path::Path) -> Buffer {
    let config = match mode {
        Mode::Head { limit } => Config::default().limit(limit),
        Mode::HeadAndTail { head, tail } => Config::default().head_and_tail(head, tail),
        Mode::Spill { threshold } => Config::default()
            .unlimited()
            .spill(Spill::in_dir(dir).threshold(threshold)),
    };
    Buffer::with_config(config).unwrap()
}

/// Reads to the end of a log, however that falls into pieces.
fn drain(mut reader: Reader) -> Vec<u8> {
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_log_is_what_was_written_to_it(mode in modes(), ops in prop::collection::vec(ops(), 1..150)) {
        let dir = tempfile::tempdir().unwrap();
        let log = log(mode, dir.path());
        let mut model = Model { mode, written: Vec::new(), closed: false, late: 0 };
        let mut readers = vec![(log.reader(), ModelReader::new(0))];
        for op in ops {
            match op {
                Op::Write(n) => {
                    let bytes: Vec<u8> = (0..n).map(|k| (model.written.len() + k).to_le_bytes()[k % 2]).collect();
                    log.append(&bytes);
                    model.write(&bytes);
                }
                Op::NewReader(at) => {
                    let offset = at.index(model.end() + 10);
                    readers.push((log.reader_at(offset as u64), ModelReader::new(offset)));
                }
                Op::Read(reader, n) => {
                    let at = reader.index(readers.len());
                    let (reader, expected) = &mut readers[at];
                    if n == 0 || model.has_something(expected) {
                        let mut dst = vec![0; n];
                        // A read does not wait to fill its destination, and stops where the file does.
                        let got = reader.read(&mut dst).unwrap();
                        let wanted = match mode {
                            Mode::Spill { .. } => model.read(expected, got.max(n.min(1))),
                            _ => model.read(expected, n),
                        };
                        prop_assert!(dst[..got] == wanted);
                        prop_assert_eq!(reader.offset(), expected.offset as u64);
                    }
                }
                Op::Chunk(reader) => {
                    let at = reader.index(readers.len());
                    let (reader, expected) = &mut readers[at];
                    if model.has_something(expected) {
                        let chunk = reader.blocking_chunk().unwrap();
                        prop_assert!(chunk.as_ref().is_none_or(|chunk| !chunk.is_empty()));
                        let got = chunk.unwrap_or_default();
                        prop_assert!(got == model.read(expected, got.len().max(1)));
                        prop_assert_eq!(reader.offset(), expected.offset as u64);
                    }
                }
                Op::CloseReader(reader) => {
                    let at = reader.index(readers.len());
                    let (reader, expected) = &mut readers[at];
                    reader.close();
                    expected.closed = true;
                    expected.marker.clear();
                }
                Op::Close => {
                    log.close();
                    model.closed = true;
                }
            }
            prop_assert_eq!(log.dropped(), model.dropped());
            prop_assert_eq!(log.is_closed(), model.closed);
        }
        let whole = model.whole();
        prop_assert_eq!(log.len(), whole.len() as u64);
        prop_assert_eq!(log.end(), model.end() as u64);
        prop_assert!(log.to_vec().unwrap() == whole);
        log.close();
        model.closed = true;
        for (reader, mut expected) in readers {
            prop_assert!(drain(reader) == model.read(&mut expected, usize::MAX));
        }
    }
}
