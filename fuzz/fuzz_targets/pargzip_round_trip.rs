//! Any data and configuration: what is written reads back here and elsewhere, whatever the threads and cuts.

#![no_main]

use std::io::{Read, Write};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pargzip::{Backend, Config, Mode, Reader, Writer};

#[derive(Debug, Arbitrary)]
struct Case<'a> {
    level: u8,
    chunk_size: u16,
    single_member: bool,
    libdeflate: bool,
    index: bool,
    threads: u8,
    cut: u16,
    file_name: Option<Vec<u8>>,
    data: &'a [u8],
}

fuzz_target!(|case: Case<'_>| {
    let mut config = Config::default()
        .level(u32::from(case.level % 13))
        .chunk_size(usize::from(case.chunk_size))
        .index(case.index);
    if case.single_member {
        config = config.mode(Mode::SingleMember);
    }
    if case.libdeflate {
        config = config.backend(Backend::Libdeflate);
    }
    if let Some(name) = case.file_name {
        config = config.file_name(name);
    }
    // Small chunks of much data are many jobs and nothing new.
    if case.data.len() > 64 * usize::from(case.chunk_size) {
        return;
    }
    let Some(one) = compress(case.data, config.clone().threads(1), case.data.len().max(1)) else {
        return;
    };
    let threads = usize::from(case.threads % 4) + 1;
    let cut = usize::from(case.cut).max(1);
    let many = compress(case.data, config.threads(threads), cut)
        .expect("the configuration was good before");
    assert_eq!(one, many);

    let mut data = Vec::new();
    flate2::read::MultiGzDecoder::new(&one[..])
        .read_to_end(&mut data)
        .expect("another decoder reads it");
    assert_eq!(data, case.data);
    data.clear();
    Reader::new(&one[..])
        .read_to_end(&mut data)
        .expect("this crate reads it");
    assert_eq!(data, case.data);
});

/// The compressed bytes, or nothing if the configuration cannot be.
fn compress(data: &[u8], config: Config, cut: usize) -> Option<Vec<u8>> {
    let mut writer = Writer::new(Vec::new(), config).ok()?;
    for piece in data.chunks(cut) {
        writer.write_all(piece).expect("a vector takes everything");
    }
    Some(writer.finish().expect("a vector takes everything"))
}
