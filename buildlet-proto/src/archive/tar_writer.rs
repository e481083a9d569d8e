//! Writes a tar stream: ustar headers, with pax records before them for what does not fit.

use std::io::{self, Write};

use super::header::{BLOCK, HeaderWriter, Kind};

/// What a header says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Item<'a> {
    pub(crate) kind: Kind,
    /// With a slash at its end for a directory.
    pub(crate) name: &'a [u8],
    pub(crate) link: &'a [u8],
    /// The twelve permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) user: &'a [u8],
    pub(crate) group: &'a [u8],
    pub(crate) size: u64,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
    pub(crate) device: (u32, u32),
}

pub(crate) struct TarWriter<W> {
    sink: W,
    /// Bytes of content that are still to come.
    content: u64,
    padding: usize,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(sink: W) -> Self {
        Self {
            sink,
            content: 0,
            padding: 0,
        }
    }

    /// Begins an entry. Its [`content`](Self::content) must follow.
    pub(crate) fn begin(&mut self, item: &Item<'_>) -> io::Result<()> {
        let mut header = HeaderWriter::new(item.kind);
        let mut pax = Vec::new();
        header.mode(item.mode);
        if !header.name(item.name) {
            record(&mut pax, "path", item.name);
            header.stand_in_name(item.name);
        }
        if !header.link(item.link) {
            record(&mut pax, "linkpath", item.link);
        }
        if !header.user(item.user) {
            record(&mut pax, "uname", item.user);
        }
        if !header.group(item.group) {
            record(&mut pax, "gname", item.group);
        }
        let mut numbers = |fits: bool, key, number: &dyn ToString| {
            if !fits {
                record(&mut pax, key, number.to_string().as_bytes());
            }
        };
        numbers(header.uid(item.uid), "uid", &item.uid);
        numbers(header.gid(item.gid), "gid", &item.gid);
        numbers(header.size(item.size), "size", &item.size);
        numbers(header.mtime(item.mtime), "mtime", &item.mtime);
        // pax has no record for device numbers; what does not fit stays 0, as no archive could say it.
        header.device(item.device.0, item.device.1);
        if !pax.is_empty() {
            self.begin_records(item.name, &pax)?;
        }
        self.sink.write_all(&header.finish())?;
        self.expect(item.size);
        Ok(())
    }

    fn begin_records(&mut self, name: &[u8], records: &[u8]) -> io::Result<()> {
        let mut header = HeaderWriter::new(Kind::Other(b'x'));
        let last = name.strip_suffix(b"/").unwrap_or(name);
        let last = last.rsplit(|&byte| byte == b'/').next().unwrap_or(last);
        header.stand_in_name(&[b"PaxHeaders.0/", last].concat());
        header.mode(0o644);
        // At most three paths and a few numbers.
        header.size(records.len() as u64);
        self.sink.write_all(&header.finish())?;
        self.expect(records.len() as u64);
        self.content(records)
    }

    fn expect(&mut self, size: u64) {
        self.content = size;
        self.padding = padding(size);
    }

    /// A piece of the entry's content. The pieces must have as many bytes as the header says.
    pub(crate) fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.write_all(bytes)?;
        self.content -= bytes.len() as u64;
        if self.content == 0 {
            self.sink.write_all(&[0; BLOCK][..self.padding])?;
            self.padding = 0;
        }
        Ok(())
    }

    /// Writes the end of the archive and gives the sink back, not flushed.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.sink.write_all(&[0; 2 * BLOCK])?;
        Ok(self.sink)
    }
}

fn padding(size: u64) -> usize {
    // Less than a block.
    (size.wrapping_neg() % BLOCK as u64) as usize
}

/// Appends `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + decimal_digits(len) != len {
        len = rest + decimal_digits(len);
    }
    records.extend_from_slice(format!("{len} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn decimal_digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_digits() {
        for len in 0..1100 {
            let mut records = Vec::new();
            record(&mut records, "path", &vec![b'x'; len]);
            let text = String::from_utf8(records).unwrap();
            let stated: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(stated, text.len());
        }
    }
}
