//! Takes commit objects apart.

use memchr::{memchr, memmem};

use crate::hash::GitHash;
use crate::line::trim;

/// A commit object, as `git cat-file commit` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommitObject<'a> {
    pub(crate) tree: GitHash,
    pub(crate) parents: Vec<GitHash>,
    pub(crate) author: Signature<'a>,
    pub(crate) committer: Signature<'a>,
    /// The Mercurial changeset that it was converted from.
    pub(crate) hg: Option<&'a [u8]>,
    pub(crate) message: &'a [u8],
}

/// The parents that a commit object names, or the beginning of one, whatever else is wrong with it.
pub(crate) fn parents(raw: &[u8]) -> Vec<GitHash> {
    let header = raw
        .split(|&byte| byte == b'\n')
        .take_while(|line| !line.is_empty());
    let parent = |line: &[u8]| GitHash::from_hex(line.strip_prefix(b"parent ")?);
    header.filter_map(parent).collect()
}

/// Who made a commit, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signature<'a> {
    /// `Name <mail>`.
    pub(crate) person: &'a [u8],
    /// Since 1970.
    pub(crate) seconds: i64,
    pub(crate) zone: &'a [u8],
}

impl<'a> CommitObject<'a> {
    /// `None` if something is missing that each commit has. Header lines that nobody here knows are passed over.
    pub(crate) fn parse(raw: &'a [u8]) -> Option<Self> {
        let header_len = memmem::find(raw, b"\n\n")?;
        let message = &raw[header_len + 2..];
        let mut header = &raw[..header_len];
        let (mut tree, mut author, mut committer, mut hg) = (None, None, None, None);
        let mut parents = Vec::new();
        while !header.is_empty() {
            let (line, rest) = match memchr(b'\n', header) {
                Some(end) => (&header[..end], &header[end + 1..]),
                None => (header, &[][..]),
            };
            header = rest;
            if let Some(hash) = line.strip_prefix(b"tree ") {
                tree = Some(GitHash::from_hex(hash)?);
            } else if let Some(hash) = line.strip_prefix(b"parent ") {
                parents.push(GitHash::from_hex(hash)?);
            } else if let Some(signature) = line.strip_prefix(b"author ") {
                author = Some(Signature::parse(signature)?);
            } else if let Some(signature) = line.strip_prefix(b"committer ") {
                committer = Some(Signature::parse(signature)?);
            } else if let Some(changeset) = line.strip_prefix(b"golang-hg ") {
                hg = Some(changeset);
            }
        }
        Some(Self {
            tree: tree?,
            parents,
            author: author?,
            committer: committer?,
            hg,
            message,
        })
    }
}

impl<'a> Signature<'a> {
    /// `Name <mail> SECONDS ZONE`: the last two words are split off, each with one blank before it.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let line = trim(line);
        let zone_at = line.iter().rposition(|&byte| byte == b' ')?;
        let rest = &line[..zone_at];
        let seconds_at = rest.iter().rposition(|&byte| byte == b' ')?;
        Some(Self {
            person: &rest[..seconds_at],
            seconds: std::str::from_utf8(&rest[seconds_at + 1..])
                .ok()?
                .parse()
                .ok()?,
            zone: &line[zone_at + 1..],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_split_at_its_last_two_blanks() {
        let signature = Signature::parse(b" Foo Bar <foo@bar.com> 1257894000 -0800").unwrap();
        assert_eq!(signature.person, b"Foo Bar <foo@bar.com>");
        assert_eq!(
            (signature.seconds, signature.zone),
            (1_257_894_000, b"-0800".as_slice())
        );
        for bad in ["", "x", "x 5", "x notanumber +0000", "x 5  +0000"] {
            assert_eq!(Signature::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn what_lacks_a_part_is_no_commit() {
        let tree = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n";
        let who = "author a <a> 1 +0000\ncommitter b <b> 2 +0000\n";
        let parse = |raw: &str| CommitObject::parse(raw.as_bytes()).is_some();
        assert!(parse(&format!("{tree}{who}\n")));
        assert!(!parse(&format!("{tree}{who}")), "no blank line");
        assert!(!parse(&format!("{who}\n")));
        assert!(!parse(&format!("{tree}\n")));
        assert!(!parse(&format!("{tree}parent 12\n{who}\n")));
    }
}
