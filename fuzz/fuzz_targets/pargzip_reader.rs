//! Any bytes: the parallel reader gives what an independent decoder gives, with every backend and cut.

#![no_main]

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use pargzip::{Backend, ReadError, Reader, ReaderConfig};

/// Small, so that members and blocks have borders in short inputs.
const MEMBER_LIMIT: usize = ReaderConfig::MIN_MEMBER_LIMIT;
/// Enough for every border, and no time lost with bombs.
const MAX_OUTPUT: u64 = 1 << 20;

fuzz_target!(|gz: &[u8]| {
    let (expected, expected_result) = oracle(gz);
    let mut first = None;
    for backend in [Backend::ZlibRs, Backend::Libdeflate] {
        for piece in [usize::MAX, 7] {
            let (data, result) = ours(gz, backend, piece);
            // libdeflate takes two length codes that RFC 1951 reserves, and then may read more than the others.
            let may_read_more = backend == Backend::Libdeflate
                && matches!(first, Some((_, Err(ReadError::Deflate { .. }))));
            match &result {
                Ok(()) if may_read_more => assert!(data.starts_with(&expected)),
                Ok(()) => {
                    assert_eq!(data, expected);
                    // Zeros behind the last member are no error to us, nor to gunzip.
                    assert!(expected_result.is_ok() || gz.ends_with(&[0]));
                }
                Err(ReadError::OutputLimit { .. }) => assert!(expected.starts_with(&data)),
                // The other decoder looks past the flags that RFC 1952 reserves.
                Err(ReadError::ReservedFlags { .. }) => assert!(expected.starts_with(&data)),
                Err(_) => {
                    assert!(expected_result.is_err());
                    // How far a decoder gets into damaged data is its own affair.
                    assert!(data.iter().zip(&expected).all(|(a, b)| a == b));
                }
            }
            let outcome = (data, result);
            match &first {
                None => first = Some(outcome),
                Some(_) if may_read_more => {}
                Some(first) => {
                    let differ = first.0.iter().zip(&outcome.0).position(|(a, b)| a != b);
                    assert!(
                        *first == outcome,
                        "{backend}, pieces of {piece}: {} bytes and {:?} instead of {} and {:?}, differing at {differ:?}",
                        outcome.0.len(),
                        outcome.1,
                        first.0.len(),
                        first.1
                    );
                }
            }
        }
    }
});

fn ours(gz: &[u8], backend: Backend, piece: usize) -> (Vec<u8>, Result<(), ReadError>) {
    let config = ReaderConfig::default()
        .threads(2)
        .backend(backend)
        .member_limit(MEMBER_LIMIT)
        .max_output(MAX_OUTPUT);
    let mut reader = Reader::with_config(Pieces(gz, piece), config).expect("a valid configuration");
    let mut data = Vec::new();
    let result = match reader.read_to_end(&mut data) {
        Ok(_) => Ok(()),
        Err(error) => Err(ReadError::of(&error)
            .expect("an error of the input")
            .clone()),
    };
    (data, result)
}

fn oracle(gz: &[u8]) -> (Vec<u8>, io::Result<()>) {
    let mut data = Vec::new();
    let decoder = flate2::read::MultiGzDecoder::new(gz);
    let result = decoder
        .take(MAX_OUTPUT + (1 << 20))
        .read_to_end(&mut data)
        .map(drop);
    (data, result)
}

/// A source that gives at most so many bytes at a time.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.1.min(buf.len()).min(self.0.len());
        let (now, later) = self.0.split_at(len);
        buf[..len].copy_from_slice(now);
        self.0 = later;
        Ok(len)
    }
}
