//! Files that the Go package wrote, for machines without Go; see `tests/data/README.md`.

use std::io::{Read as _, Write as _};

use pargzip::{Config, Reader, Writer};

const LOG: &[u8] = include_bytes!("../data/log.txt");
const DEFAULT: &[u8] = include_bytes!("../data/go-pargzip-default.gz");
const CHUNKS: &[u8] = include_bytes!("../data/go-pargzip-chunks-of-1000.gz");

#[test]
fn files_of_the_go_package_are_read() {
    for (gz, members) in [(DEFAULT, 1), (CHUNKS, LOG.len().div_ceil(1000) as u64)] {
        let mut reader = Reader::new(gz);
        let mut log = Vec::new();
        reader.read_to_end(&mut log).unwrap();
        assert_eq!(log, LOG);
        assert_eq!(reader.members(), members);
    }
}

#[test]
fn headers_are_those_of_the_go_package() {
    let mut writer = Writer::new(Vec::new(), Config::default().chunk_size(1000)).unwrap();
    writer.write_all(LOG).unwrap();
    let ours = writer.finish().unwrap();
    assert_eq!(ours[..10], CHUNKS[..10]);
    let headers = |gz: &[u8]| {
        gz.windows(10)
            .filter(|window| *window == &CHUNKS[..10])
            .count()
    };
    assert_eq!(headers(&ours), headers(CHUNKS));
}
