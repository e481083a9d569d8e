//! What a user of the crate relies on.
#![cfg(not(loom))]

#[cfg(feature = "tokio")]
mod aio;
mod handles;
mod head_and_tail;
mod index;
mod memory;
mod model;
mod spec;
mod spill;
mod truncation;

use std::io::Read as _;

use livelog::{Buffer, Reader};

/// Lets other threads run until `count` readers wait for more.
fn until_waiting(log: &Buffer, count: usize) {
    while log.waiting_readers() != count {
        std::thread::yield_now();
    }
}

/// One read into a slice that is large enough for all of a small log.
fn read(reader: &mut Reader) -> String {
    let mut dst = [0; 4096];
    let n = reader.read(&mut dst).unwrap();
    String::from_utf8(dst[..n].to_vec()).unwrap()
}

fn read_to_end(mut reader: Reader) -> Vec<u8> {
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    all
}
