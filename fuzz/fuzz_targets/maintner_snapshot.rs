//! A snapshot that was changed, and given the checksums that fit: opening it, asking it and going on with it end, whatever it says.
//!
//! The input is changes: three bytes of place and one to be mixed in, each.

#![no_main]

#[path = "queries/queries.rs"]
mod queries;

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use maintner::reclog::Records;
use maintner::{Config, Corpus};
use tempfile::TempDir;

const LOG: &[u8] =
    include_bytes!("../../maintner/tests/data/disk/12-gerrit-cl-life/maintner-2020-01-02.mutlog");

struct Base {
    dir: TempDir,
    snapshot: Vec<u8>,
}

impl Base {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("log")).expect("a folder in it");
        fs::write(dir.path().join("log/maintner-2020-01-02.mutlog"), LOG).expect("a log");
        let mut base = Self {
            dir,
            snapshot: Vec::new(),
        };
        let mut corpus = base.corpus();
        corpus.update().expect("a good log");
        corpus.save_snapshot().expect("a snapshot");
        base.snapshot = fs::read(base.path()).expect("the snapshot");
        base
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("snapshot")
    }

    fn corpus(&self) -> Corpus {
        let config = Config::default().snapshot(self.path());
        Corpus::at(self.dir.path().join("log"), config)
    }
}

/// Where the layout has the place of the checksums, and the header's own.
const SUMS: usize = 192;
const HEADER_SUM: usize = 208;
const PAGE: usize = 4096;

fn seal(snapshot: &mut [u8]) {
    let sums = u64::from_ne_bytes(snapshot[SUMS..SUMS + 8].try_into().expect("eight bytes"));
    let sums = sums as usize;
    let pieces: Vec<u32> = snapshot[PAGE..sums]
        .chunks(1 << 20)
        .map(crc32fast::hash)
        .collect();
    for (piece, sum) in pieces.iter().enumerate() {
        snapshot[sums + 4 * piece..][..4].copy_from_slice(&sum.to_ne_bytes());
    }
    let header = crc32fast::hash(&snapshot[..HEADER_SUM]);
    snapshot[HEADER_SUM..HEADER_SUM + 4].copy_from_slice(&header.to_ne_bytes());
}

fuzz_target!(|changes: &[u8]| {
    static BASE: OnceLock<Base> = OnceLock::new();
    let base = BASE.get_or_init(Base::new);
    let mut snapshot = base.snapshot.clone();
    for change in changes.chunks_exact(4) {
        let place = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize;
        // Behind the header, and not its checksums.
        let said = snapshot.len() - PAGE - 4;
        snapshot[PAGE + place % said] ^= change[3];
    }
    seal(&mut snapshot);
    fs::remove_file(base.path()).ok();
    fs::write(base.path(), snapshot).expect("room for a snapshot");
    let mut corpus = base.corpus();
    let _ = corpus.update();
    queries::ask_everything(&corpus.view());
    let records = Records::new(LOG, 0).map_while(Result::ok);
    let _ = corpus.apply(records.map(|record| record.payload));
    queries::ask_everything(&corpus.view());
});
