//! Archives that no program would write.

use std::fs;
use std::path::{Path, PathBuf};

use buildlet_proto::archive::{Encoding, ExtractError, Folder, Policy, Summary, extract};

use super::tree::{Node, Outside, nodes};

/// A tar stream, put together header by header.
#[derive(Clone, Default)]
pub(crate) struct Raw(pub(crate) Vec<u8>);

impl Raw {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        self.entry(b'0', name, "", content.as_bytes())
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.entry(b'5', name, "", b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name, target, b"")
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(b'1', name, target, b"")
    }

    pub(crate) fn pax(self, records: &[u8]) -> Self {
        self.entry(b'x', "pax", "", records)
    }

    pub(crate) fn entry(self, kind: u8, name: &str, link: &str, content: &[u8]) -> Self {
        self.entry_with(kind, name, link, content, |_| {})
    }

    /// An entry whose header is changed before its checksum is made.
    pub(crate) fn entry_with(
        mut self,
        kind: u8,
        name: &str,
        link: &str,
        content: &[u8],
        change: impl FnOnce(&mut [u8; 512]),
    ) -> Self {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        let block = header.as_mut_bytes();
        block[156] = kind;
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[157..157 + link.len()].copy_from_slice(link.as_bytes());
        change(block);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Ends the archive.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

/// Where fields of a header begin.
pub(crate) const MODE: usize = 100;
pub(crate) const SIZE: usize = 124;

/// Changes a field of a header.
pub(crate) fn field(at: usize, value: &[u8]) -> impl FnOnce(&mut [u8; 512]) {
    move |header| header[at..at + value.len()].copy_from_slice(value)
}

/// A pax record.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let len = (1..8)
        .map(|digits| rest + digits)
        .find(|len| len.to_string().len() + rest == *len)
        .unwrap();
    [format!("{len} {key}=").as_bytes(), value, b"\n"].concat()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = pargzip::Writer::new(Vec::new(), pargzip::Config::default()).unwrap();
    std::io::Write::write_all(&mut writer, bytes).unwrap();
    writer.finish().unwrap()
}

/// A folder to unpack to, with something beside it that must not change.
pub(crate) struct Place {
    pub(crate) outside: Outside,
    base: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let outside = Outside::new();
        let base = outside.beside("base");
        fs::create_dir(&base).unwrap();
        Self { outside, base }
    }

    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    pub(crate) fn folder(&self) -> Folder {
        Folder::open(&self.base).unwrap()
    }

    #[track_caller]
    pub(crate) fn extract(&self, tar: &[u8], policy: &Policy) -> Result<Summary, ExtractError> {
        let result = extract(tar, Encoding::Tar, &self.folder(), policy);
        self.outside.assert_untouched();
        result
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        nodes(&self.base)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.nodes().into_iter().map(|node| node.path).collect()
    }

    #[track_caller]
    pub(crate) fn content(&self, path: &str) -> String {
        fs::read_to_string(self.base.join(path)).unwrap()
    }
}

pub(crate) fn policies() -> [(&'static str, Policy); 3] {
    [
        ("upstream", Policy::upstream()),
        ("strict", Policy::strict()),
        ("stage0", Policy::stage0()),
    ]
}
