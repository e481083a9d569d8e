//! What is written reads back, whatever the sizes, settings and cuts.

use std::io::{Read, Write};

use pargzip::{Backend, Config, Reader, ReaderConfig, Writer};
use proptest::prelude::*;

use crate::data::{Pieces, backends, compress, decompress, noise, oracle, single, text};

/// Input around chunk borders: text, noise and zeros, cut to a length near a multiple of the chunk size.
fn input(chunk: usize) -> impl Strategy<Value = Vec<u8>> {
    (0usize..5, -2isize..=2, 0..3u8).prop_map(move |(chunks, delta, kind)| {
        let len = (chunks * chunk).saturating_add_signed(delta);
        match kind {
            0 => text(len),
            1 => noise(len),
            _ => vec![0; len],
        }
    })
}

fn backend() -> impl Strategy<Value = Backend> {
    prop::sample::select(backends())
}

#[derive(Debug, Clone)]
struct Case {
    data: Vec<u8>,
    config: Config,
    threads: usize,
    cuts: Vec<usize>,
}

fn case() -> impl Strategy<Value = Case> {
    let chunk = prop_oneof![Just(1usize), Just(100), Just(4096), Just(65_537)];
    (chunk, backend(), 0u32..13, any::<bool>(), any::<bool>()).prop_flat_map(
        |(chunk, backend, level, one_member, index)| {
            let config = Config::default()
                .chunk_size(chunk)
                .backend(backend)
                .level(level.min(backend.max_level()));
            let config = if one_member && backend.carries_dictionary() {
                single(config)
            } else {
                config.index(index)
            };
            (
                input(chunk),
                1usize..5,
                prop::collection::vec(1usize..100_000, 1..4),
            )
                .prop_map(move |(data, threads, cuts)| Case {
                    data,
                    config: config.clone(),
                    threads,
                    cuts,
                })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_configuration_round_trips(case in case()) {
        let expected = compress(&case.data, case.config.clone().threads(1));

        let mut writer = Writer::new(Vec::new(), case.config.threads(case.threads)).unwrap();
        let mut rest = &case.data[..];
        for cut in case.cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            writer.write_all(now).unwrap();
            rest = later;
        }
        let gz = writer.finish().unwrap();

        prop_assert_eq!(&gz, &expected, "threads and cuts must not change the output");
        prop_assert_eq!(&oracle(&gz).unwrap(), &case.data);
        for backend in backends() {
            let config = ReaderConfig::default().threads(case.threads).backend(backend);
            let config = config.member_limit(ReaderConfig::MIN_MEMBER_LIMIT);
            let mut data = Vec::new();
            let source = Pieces::new(&gz, case.cuts.clone());
            Reader::with_config(source, config).unwrap().read_to_end(&mut data).unwrap();
            prop_assert_eq!(&data, &case.data);
        }
    }
}

#[test]
fn every_level_round_trips_in_both_modes() {
    let data = [text(300_000), noise(50_000), vec![0; 100_000]].concat();
    for backend in backends() {
        let mut last = usize::MAX / 2;
        for level in 0..=backend.max_level() {
            let config = Config::default()
                .backend(backend)
                .level(level)
                .chunk_size(100_000)
                .threads(2);
            let gz = compress(&data, config.clone());
            assert_eq!(oracle(&gz).unwrap(), data, "{backend} level {level}");
            assert_eq!(
                decompress(&gz, ReaderConfig::default().backend(backend)).unwrap(),
                data
            );
            if level == 0 {
                assert!(gz.len() > data.len(), "level 0 stores");
            } else {
                assert!(gz.len() < data.len() / 2);
            }
            assert!(
                gz.len() < last + last / 8,
                "{backend} level {level} is far worse than the one below"
            );
            last = gz.len();
            if backend.carries_dictionary() {
                let gz = compress(&data, single(config));
                assert_eq!(
                    oracle(&gz).unwrap(),
                    data,
                    "{backend} level {level}, one member"
                );
            }
        }
    }
}

#[test]
fn a_dictionary_makes_one_member_smaller_than_many() {
    let data = text(1 << 20);
    let config = Config::default().chunk_size(32 << 10);
    let many = compress(&data, config.clone());
    let one = compress(&data, single(config));
    assert!(
        one.len() < many.len(),
        "{} is not below {}",
        one.len(),
        many.len()
    );
    // The whole in one chunk is the best that can be hoped for; a sync flush costs a few bytes a chunk.
    let whole = compress(&data, Config::default());
    assert!(
        one.len() < whole.len() + whole.len() / 50,
        "{} against {}",
        one.len(),
        whole.len()
    );
}
