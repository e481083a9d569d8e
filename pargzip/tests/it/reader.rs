//! The reader: every gzip file that gunzip reads, and an error with its place for every other.

use std::io::{self, BufRead, ErrorKind, Read, Write};

use pargzip::{Backend, Config, ConfigError, ReadError, Reader, ReaderConfig};

use crate::data::{Pieces, Random, backends, compress, decompress, noise, oracle, single, text};

/// Reads with both backends, few and many threads, and different cuts of the source; all must agree.
fn read_all(gz: &[u8]) -> Result<Vec<u8>, ReadError> {
    let mut first = None;
    for backend in backends() {
        for threads in [1, 4] {
            for sizes in [vec![usize::MAX], vec![64 << 10], vec![1, 5, 1000]] {
                let config = ReaderConfig::default()
                    .backend(backend)
                    .threads(threads)
                    .member_limit(8192);
                let mut reader =
                    Reader::with_config(Pieces::new(gz, sizes.clone()), config).unwrap();
                let mut data = Vec::new();
                let result = reader.read_to_end(&mut data).map_err(|error| {
                    let again = reader.read(&mut [0]).unwrap_err();
                    assert_eq!(ReadError::of(&again), ReadError::of(&error), "errors stay");
                    ReadError::of(&error)
                        .expect("an error of the input")
                        .clone()
                });
                let outcome = (data, result);
                match &first {
                    None => first = Some(outcome),
                    Some(first) => assert!(
                        *first == outcome,
                        "{backend}, {threads} threads, cuts {sizes:?}"
                    ),
                }
            }
        }
    }
    let (data, result) = first.unwrap();
    result.map(|_| data)
}

/// What was delivered before the error, and the error.
fn read_until_error(gz: &[u8]) -> (Vec<u8>, ReadError) {
    let mut data = Vec::new();
    let error = Reader::new(gz).read_to_end(&mut data).unwrap_err();
    (
        data,
        ReadError::of(&error)
            .expect("an error of the input")
            .clone(),
    )
}

/// A member with the given header fields behind the fixed part.
fn member_with_fields(flags: u8, fields: &[u8], data: &[u8]) -> Vec<u8> {
    let plain = compress(data, Config::default());
    [&plain[..3], &[flags], &plain[4..10], fields, &plain[10..]].concat()
}

fn members(count: usize) -> (Vec<u8>, Vec<u8>) {
    let data = text(count * 5000);
    let gz = compress(&data, Config::default().chunk_size(5000));
    (data, gz)
}

#[test]
fn every_header_field_is_read_and_skipped() {
    let data = text(1000);
    let extra = member_with_fields(1 << 2, b"\x05\x00XY\x01\x00z", &data);
    let name = member_with_fields(1 << 3, b"name\0", &data);
    let comment = member_with_fields(1 << 4, b"comment\0", &data);
    let all = member_with_fields(0b1_1101, b"\x00\x00name\0comment\0", &data);
    for gz in [&extra, &name, &comment, &all] {
        assert_eq!(read_all(gz).unwrap(), data);
    }
    let mut reader = Reader::new(&all[..]);
    assert_eq!(reader.header(), None);
    reader.fill_buf().unwrap();
    let header = reader.header().unwrap();
    assert_eq!(header.file_name.as_deref(), Some(&b"name"[..]));
    assert_eq!(header.comment.as_deref(), Some(&b"comment"[..]));
    assert_eq!(header.extra.as_deref(), Some(&b""[..]));
    let long = member_with_fields(1 << 3, &[vec![b'n'; 1 << 20], vec![0]].concat(), &data);
    assert_eq!(
        read_all(&long).unwrap(),
        data,
        "gunzip has no limit for names either"
    );
}

#[test]
fn header_checksums_are_checked() {
    let data = text(1000);
    let plain = compress(&data, Config::default());
    let header = [&plain[..3], &[1 << 1], &plain[4..10]].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&header);
    let crc = (crc.sum() & 0xffff) as u16;
    let good = [&header[..], &crc.to_le_bytes(), &plain[10..]].concat();
    assert_eq!(read_all(&good).unwrap(), data);
    let bad = [&header[..], &(!crc).to_le_bytes(), &plain[10..]].concat();
    let expected = ReadError::HeaderChecksum {
        offset: 11,
        stored: !crc,
        computed: crc,
    };
    assert_eq!(read_all(&bad), Err(expected));
    let second = [&plain[..], &bad].concat();
    let offset = plain.len() as u64 + 11;
    let expected = ReadError::HeaderChecksum {
        offset,
        stored: !crc,
        computed: crc,
    };
    assert_eq!(read_all(&second), Err(expected));
}

#[test]
fn many_members_large_and_small_are_one_stream() {
    let mut random = Random(5);
    let mut gz = Vec::new();
    let mut data = Vec::new();
    for _ in 0..200 {
        let len = (random.next() % 40_000) as usize * usize::from(!random.next().is_multiple_of(3));
        let piece = if random.next().is_multiple_of(2) {
            text(len)
        } else {
            noise(len)
        };
        let config = Config::default()
            .chunk_size(10_000)
            .index(random.next().is_multiple_of(2));
        gz.extend(compress(&piece, config));
        data.extend(piece);
    }
    assert!(read_all(&gz).unwrap() == data);
}

#[test]
fn members_are_counted() {
    let (data, gz) = members(7);
    let mut reader = Reader::new(&gz[..]);
    io::copy(&mut reader, &mut io::sink()).unwrap();
    assert_eq!(reader.members(), 7);
    assert_eq!(decompress(&gz, ReaderConfig::default()).unwrap(), data);
}

#[test]
fn equal_members_are_all_delivered() {
    // A decoder that stops behind the first trailer and looks at the last eight bytes would be content with one.
    let member = compress(&text(3000), Config::default());
    let gz = member.repeat(50);
    assert_eq!(read_all(&gz).unwrap(), text(3000).repeat(50));
}

#[test]
fn a_member_inside_stored_data_is_data() {
    // Level 0 shows the headers of an inner file in the clear, trailers and all: every one is a false border.
    let (inner, gz_inner) = members(60);
    let outer = compress(&gz_inner, Config::default().level(0).chunk_size(70_000));
    let read = read_all(&outer).unwrap();
    assert!(read == gz_inner);
    assert!(read_all(&read).unwrap() == inner);
}

#[test]
fn an_index_that_lies_changes_nothing() {
    let data = text(50_000);
    let good = compress(&data, Config::default().chunk_size(5000).index(true));
    for claim in [0u32, 1, 28, 100, 5000, u32::MAX] {
        let mut gz = good.clone();
        let mut at = 0;
        while at < gz.len() {
            let size = u32::from_le_bytes(gz[at + 16..at + 20].try_into().unwrap()) as usize;
            gz[at + 16..at + 20].copy_from_slice(&claim.to_le_bytes());
            at += size;
        }
        assert_eq!(read_all(&gz).unwrap(), data, "claim {claim}");
    }
}

#[test]
fn an_index_that_points_at_a_false_member_changes_nothing() {
    // The claimed size leads to a header in stored data.
    let (_, gz_inner) = members(3);
    let outer = compress(&gz_inner, Config::default().level(0).index(true));
    let inside = outer
        .windows(3)
        .rposition(|w| w == [0x1f, 0x8b, 8])
        .unwrap();
    let mut gz = outer;
    gz[16..20].copy_from_slice(&u32::try_from(inside).unwrap().to_le_bytes());
    assert_eq!(read_all(&gz).unwrap(), gz_inner);
}

#[test]
fn junk_hidden_between_a_member_and_a_copy_of_its_trailer_is_found() {
    let data = text(3000);
    let member = compress(&data, Config::default());
    let trailer = &member[member.len() - 8..];
    let gz = [&member[..], b"hidden", trailer, &member].concat();
    let (before, error) = read_until_error(&gz);
    assert_eq!(before, data);
    assert_eq!(
        error,
        ReadError::TrailingGarbage {
            offset: member.len() as u64
        }
    );
    assert_eq!(read_all(&gz), Err(error));
}

#[test]
fn zeros_behind_the_last_member_are_padding() {
    let (data, gz) = members(3);
    for zeros in [1, 512, 1 << 20] {
        let padded = [&gz[..], &vec![0; zeros]].concat();
        assert_eq!(read_all(&padded).unwrap(), data);
    }
    let garbage = [&gz[..], &[0; 600], b"x"].concat();
    assert_eq!(
        read_all(&garbage),
        Err(ReadError::TrailingGarbage {
            offset: gz.len() as u64
        })
    );
}

#[test]
fn garbage_behind_the_last_member_is_an_error_after_all_data() {
    let (data, gz) = members(3);
    for garbage in [&b"garbage"[..], b"\x1f", b"\x1f\x00"] {
        let (before, error) = read_until_error(&[&gz[..], garbage].concat());
        assert_eq!(before, data);
        assert_eq!(
            error,
            ReadError::TrailingGarbage {
                offset: gz.len() as u64
            }
        );
    }
}

#[test]
fn every_truncation_is_found_at_its_byte() {
    let data = text(12_000);
    let gz = compress(&data, Config::default().chunk_size(5000));
    let borders: Vec<usize> = gz
        .windows(3)
        .enumerate()
        .filter(|(_, w)| *w == [0x1f, 0x8b, 8])
        .map(|(at, _)| at)
        .collect();
    assert_eq!(borders.len(), 3);
    for len in 0..gz.len() {
        let mut read = Vec::new();
        let result = Reader::new(&gz[..len]).read_to_end(&mut read);
        assert!(
            data.starts_with(&read),
            "only right bytes come before an error"
        );
        match result {
            Ok(_) => assert!(borders[1..].contains(&len)),
            Err(error) => {
                let (kind, expected) = if borders.iter().any(|&b| b > 0 && b + 1 == len) {
                    (
                        ErrorKind::InvalidData,
                        ReadError::TrailingGarbage {
                            offset: len as u64 - 1,
                        },
                    )
                } else {
                    (
                        ErrorKind::UnexpectedEof,
                        ReadError::Truncated { offset: len as u64 },
                    )
                };
                assert_eq!(error.kind(), kind);
                assert_eq!(ReadError::of(&error), Some(&expected));
            }
        }
    }
}

#[test]
fn what_is_no_gzip_is_told_apart() {
    assert_eq!(read_all(b""), Err(ReadError::Truncated { offset: 0 }));
    assert_eq!(read_all(b"\x1f"), Err(ReadError::Truncated { offset: 1 }));
    assert_eq!(read_all(b"\0\0\0\0"), Err(ReadError::NotGzip { offset: 0 }));
    assert_eq!(
        read_all(b"PK\x03\x04 and more"),
        Err(ReadError::NotGzip { offset: 0 })
    );
    assert_eq!(
        read_all(b"\x1f\x8b\x07\0\0\0\0\0\0\0"),
        Err(ReadError::UnknownMethod {
            offset: 2,
            method: 7
        })
    );
    let flags = b"\x1f\x8b\x08\xe0\0\0\0\0\0\0";
    assert_eq!(
        read_all(flags),
        Err(ReadError::ReservedFlags {
            offset: 3,
            flags: 0xe0
        })
    );
}

/// `Backend::Libdeflate` says so: found by fuzzing.
#[test]
fn a_length_code_that_rfc_1951_reserves_is_an_error_or_read_with_the_right_checksum() {
    // A fixed block with the byte 0, the code 286 with distance 1, and the end of the block.
    let mut bits = Bits::default();
    bits.low_first(0b011, 3);
    bits.code(0b0011_0000, 8);
    bits.code(0b1100_0110, 8);
    bits.code(0, 5);
    bits.code(0, 7);
    let zeros = vec![0; 1 + 258];
    let mut gz = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    gz.extend(bits.0);
    let mut crc = flate2::Crc::new();
    crc.update(&zeros);
    gz.extend(crc.sum().to_le_bytes());
    gz.extend(259_u32.to_le_bytes());

    for backend in backends() {
        let config = ReaderConfig::default().backend(backend);
        let mut reader = Reader::with_config(&gz[..], config).unwrap();
        let mut data = Vec::new();
        match reader.read_to_end(&mut data) {
            Ok(_) => {
                assert_ne!(backend, Backend::ZlibRs);
                assert_eq!(data, zeros);
            }
            Err(error) => assert!(matches!(
                ReadError::of(&error),
                Some(ReadError::Deflate { .. })
            )),
        }
    }
}

/// A stream of deflate's bits, by hand.
#[derive(Default)]
struct Bits(Vec<u8>, u32);

impl Bits {
    fn low_first(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            if self.1.is_multiple_of(8) {
                self.0.push(0);
            }
            *self.0.last_mut().unwrap() |= ((value >> bit & 1) as u8) << (self.1 % 8);
            self.1 += 1;
        }
    }

    /// Huffman codes begin with their highest bit.
    fn code(&mut self, code: u32, count: u32) {
        self.low_first(code.reverse_bits() >> (32 - count), count);
    }
}

#[test]
fn bad_checksums_lengths_and_data_are_told_apart() {
    let (data, gz) = members(4);
    let last = gz.windows(3).rposition(|w| w == [0x1f, 0x8b, 8]).unwrap();
    let end = gz.len();
    let flipped = |at: usize| {
        let mut bad = gz.clone();
        bad[at] ^= 0x40;
        bad
    };
    match read_all(&flipped(end - 8)) {
        Err(ReadError::Checksum {
            offset,
            stored,
            computed,
        }) => {
            assert_eq!((offset, stored), (end as u64 - 8, computed ^ 0x40));
        }
        other => panic!("{other:?}"),
    }
    let expected = ReadError::Length {
        offset: end as u64 - 4,
        stored: 5000 ^ 0x40,
        computed: 5000,
    };
    assert_eq!(read_all(&flipped(end - 4)), Err(expected));
    let mut bad = gz.clone();
    bad[last + 10] = 0x07; // the reserved block type
    let (before, error) = read_until_error(&bad);
    assert_eq!(before, data[..15_000]);
    assert!(
        matches!(error, ReadError::Deflate { offset } if offset >= last as u64 + 10),
        "{error:?}"
    );
}

#[test]
fn every_flipped_bit_gives_the_right_data_or_an_error() {
    let data = text(3000);
    let gz = compress(&data, Config::default().chunk_size(1000));
    for bit in 0..gz.len() * 8 {
        let mut bad = gz.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        // Time, effort and system bytes are no data.
        if let Ok(read) = decompress(&bad, ReaderConfig::default()) {
            assert_eq!(read, data, "bit {bit}");
        }
        assert_eq!(
            decompress(&bad, ReaderConfig::default()).is_ok(),
            oracle(&bad).is_ok(),
            "bit {bit}"
        );
    }
}

#[test]
fn the_output_limit_is_exact() {
    let (data, gz) = members(10);
    let len = data.len() as u64;
    let config = |limit| ReaderConfig::default().max_output(limit);
    assert_eq!(decompress(&gz, config(len)).unwrap(), data);
    for limit in [0, 1, 4999, 5000, 5001, len - 1] {
        let mut read = Vec::new();
        let error = Reader::with_config(&gz[..], config(limit))
            .unwrap()
            .read_to_end(&mut read)
            .unwrap_err();
        assert_eq!(
            ReadError::of(&error),
            Some(&ReadError::OutputLimit { limit })
        );
        assert_eq!(read, data[..limit as usize]);
    }
}

#[test]
fn a_bomb_is_read_in_bounded_blocks() {
    let bomb = compress(&vec![0; 64 << 20], single(Config::default().level(9)));
    assert!(bomb.len() < 100_000);
    let limit = 1 << 20;
    let mut reader = Reader::with_config(
        &bomb[..],
        ReaderConfig::default().threads(4).member_limit(limit),
    )
    .unwrap();
    let mut total = 0;
    loop {
        let block = reader.fill_buf().unwrap().len();
        if block == 0 {
            break;
        }
        assert!(block <= limit + 64, "a block of {block} bytes");
        total += block;
        reader.consume(block);
    }
    assert_eq!(total, 64 << 20);
}

#[test]
fn highly_compressed_members_are_read() {
    let data = vec![b'a'; 40 << 20];
    for backend in backends() {
        let gz = compress(
            &data,
            Config::default().backend(backend).chunk_size(100_000),
        );
        for backend in backends() {
            let config = ReaderConfig::default().backend(backend).threads(3);
            assert!(decompress(&gz, config).unwrap() == data);
        }
    }
}

#[test]
fn errors_of_the_source_pass_through_and_can_be_overcome() {
    struct Fails<R>(R, u32);
    impl<R: Read> Read for Fails<R> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            match self.1 % 3 {
                0 => Err(ErrorKind::Interrupted.into()),
                1 => Err(io::Error::new(ErrorKind::TimedOut, "later")),
                _ => self.0.read(buf),
            }
        }
    }
    let (data, gz) = members(40);
    let mut reader = Reader::new(Fails(Pieces::new(&gz, [3000]), 0));
    let mut read = Vec::new();
    loop {
        match reader.read_to_end(&mut read) {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
        }
    }
    assert_eq!(read, data);
}

#[test]
fn a_slow_source_gets_its_bytes_through() {
    // What a pipe delivered so far comes out although the member is not complete, and nothing else follows yet.
    struct Stops<'a>(&'a [u8]);
    impl Read for Stops<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(ErrorKind::WouldBlock.into());
            }
            let len = self.0.len().min(buf.len());
            buf[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }
    let data = text(60_000);
    let gz = compress(&data, single(Config::default().chunk_size(10_000)));
    let mut reader = Reader::new(Stops(&gz[..gz.len() / 2]));
    let mut got = 0;
    loop {
        match reader.fill_buf() {
            Ok(block) => {
                assert!(data[got..].starts_with(block));
                got += block.len();
                let len = block.len();
                reader.consume(len);
            }
            // The bytes may be on their way through the pool yet.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if got > 20_000 {
                    break;
                }
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn dropping_a_reader_in_the_middle_neither_hangs_nor_panics() {
    let (_, gz) = members(500);
    for blocks in [0, 1, 3] {
        let config = ReaderConfig::default().threads(3).member_limit(8192);
        let mut reader = Reader::with_config(&gz[..], config).unwrap();
        for _ in 0..blocks {
            let len = reader.fill_buf().unwrap().len();
            reader.consume(len);
        }
        drop(reader);
    }
}

#[test]
fn what_cannot_be_configured_is_said() {
    let error = |config: ReaderConfig| Reader::with_config(io::empty(), config).unwrap_err();
    assert_eq!(
        error(ReaderConfig::default().threads(0)),
        ConfigError::Threads { threads: 0 }
    );
    assert_eq!(
        error(ReaderConfig::default().member_limit(1)),
        ConfigError::MemberLimit { bytes: 1 }
    );
}

#[test]
fn bgzf_blocks_are_read_by_their_own_index() {
    let mut gz = Vec::new();
    let data = text(300_000);
    for piece in data.chunks(60_000).chain([&[][..]]) {
        let plain = compress(piece, Config::default());
        let size = u16::try_from(plain.len() + 8 - 1).unwrap();
        gz.write_all(&plain[..3]).unwrap();
        gz.push(4);
        gz.extend(&plain[4..10]);
        gz.extend(b"\x06\x00BC\x02\x00");
        gz.extend(size.to_le_bytes());
        gz.extend(&plain[10..]);
    }
    assert_eq!(read_all(&gz).unwrap(), data);
}

#[test]
fn what_a_truncated_file_holds_is_delivered_to_the_last_byte() {
    // The decoder has taken all input long before the last of many repeated bytes has room in a block.
    let bomb = compress(&vec![0; 300_000], Config::default().level(9));
    let cut = &bomb[..bomb.len() - 12];
    let mut expected = Vec::new();
    flate2::read::MultiGzDecoder::new(cut)
        .read_to_end(&mut expected)
        .unwrap_err();
    for piece in [1, 7, 100, usize::MAX] {
        let config = ReaderConfig::default()
            .threads(2)
            .member_limit(ReaderConfig::MIN_MEMBER_LIMIT);
        let mut read = Vec::new();
        let mut reader = Reader::with_config(Pieces::new(cut, [piece]), config).unwrap();
        reader.read_to_end(&mut read).unwrap_err();
        assert_eq!(read.len(), expected.len(), "pieces of {piece}");
    }
}
