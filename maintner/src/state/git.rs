use std::sync::Arc;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::digest::{Batch, Commit, Span, Traits, Who};
use crate::hash::GitHash;
use crate::state::Core;
use crate::store::Text;
use crate::time::{GitTime, Time, zone_offset};

/// The index of a commit.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(transparent)]
pub(crate) struct CommitId(pub(crate) u32);

impl CommitId {
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(crate) fn known(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}

/// A commit as it is stored, in a snapshot too.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct CommitRow {
    author_seconds: i64,
    commit_seconds: i64,
    hash: [u8; 20],
    tree: [u8; 20],
    first_parent: CommitId,
    /// The other parents' ids, four bytes each.
    more_parents: Text,
    pub(crate) author: Text,
    pub(crate) committer: Text,
    pub(crate) message: Text,
    /// Encoded, see [`DiffFiles`].
    pub(crate) files: Text,
    /// Which set of Gerrit projects knows it.
    pub(crate) projects: u32,
    author_zone: Zone,
    commit_zone: Zone,
    pub(crate) traits: Traits,
    /// Not 0 if not only its hash is known.
    present: u8,
    unused: [u8; 2],
}

/// A zone: for a sign and four digits these, otherwise the index of its text behind them.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
struct Zone(u32);

/// Two signs, and 10,000 numbers each.
const PLAIN_ZONES: u32 = 20_000;

impl CommitRow {
    /// What is known of a commit of which nothing is.
    const NOTHING: Self = Self {
        author_seconds: 0,
        commit_seconds: 0,
        hash: [0; 20],
        tree: [0; 20],
        first_parent: CommitId::NONE,
        more_parents: Text::EMPTY,
        author: Text::EMPTY,
        committer: Text::EMPTY,
        message: Text::EMPTY,
        files: Text::EMPTY,
        projects: 0,
        author_zone: Zone(0),
        commit_zone: Zone(0),
        traits: Traits::NONE,
        present: 0,
        unused: [0; 2],
    };

    fn placeholder(hash: GitHash) -> Self {
        Self {
            hash: hash.0,
            ..Self::NOTHING
        }
    }

    pub(crate) fn hash(&self) -> GitHash {
        GitHash(self.hash)
    }

    pub(crate) fn tree(&self) -> GitHash {
        GitHash(self.tree)
    }

    /// Not only its hash is known.
    pub(crate) fn is_present(&self) -> bool {
        self.present != 0
    }

    pub(crate) fn author_time<'a>(&self, core: &'a Core) -> ZonedSeconds<'a> {
        core.zoned(self.author_seconds, self.author_zone)
    }

    pub(crate) fn commit_time<'a>(&self, core: &'a Core) -> ZonedSeconds<'a> {
        core.zoned(self.commit_seconds, self.commit_zone)
    }

    pub(crate) fn commit_instant(&self) -> Time {
        Time::new(self.commit_seconds, 0)
    }
}

/// Seconds since 1970 and a zone.
pub(crate) struct ZonedSeconds<'a> {
    seconds: i64,
    zone: ZoneText<'a>,
}

enum ZoneText<'a> {
    Plain(u32),
    Odd(&'a [u8]),
}

impl ZonedSeconds<'_> {
    pub(crate) fn to_git_time(&self) -> GitTime {
        let zone = match self.zone {
            ZoneText::Plain(code) => {
                let sign = if code < PLAIN_ZONES / 2 { '+' } else { '-' };
                format!("{sign}{:04}", code % (PLAIN_ZONES / 2))
            }
            ZoneText::Odd(text) => String::from_utf8_lossy(text).into_owned(),
        };
        GitTime {
            time: Time::new(self.seconds, 0),
            offset: zone_offset(zone.as_bytes()),
            zone,
        }
    }
}

impl Core {
    fn zoned(&self, seconds: i64, zone: Zone) -> ZonedSeconds<'_> {
        let zone = match zone.0.checked_sub(PLAIN_ZONES) {
            None => ZoneText::Plain(zone.0),
            Some(odd) => {
                let text = self.odd_zones.get(odd as usize).copied();
                ZoneText::Odd(self.texts.get(text.unwrap_or_default()))
            }
        };
        ZonedSeconds { seconds, zone }
    }

    fn zone(&mut self, text: &[u8]) -> Zone {
        if let [sign @ (b'+' | b'-'), digits @ ..] = text
            && digits.len() == 4
            && digits.iter().all(u8::is_ascii_digit)
        {
            let number = digits
                .iter()
                .fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
            return Zone(if *sign == b'+' {
                number
            } else {
                PLAIN_ZONES / 2 + number
            });
        }
        let text = self.intern(self.hasher.hash(text), text);
        self.odd_zones.push(text);
        Zone(PLAIN_ZONES + self.odd_zones.len() as u32 - 1)
    }

    pub(crate) fn parents(&self, id: CommitId) -> impl Iterator<Item = CommitId> {
        let row = self.row(id);
        let more = self.texts.get(row.more_parents).chunks_exact(4);
        let more = more.map(|id| CommitId(u32::from_le_bytes([id[0], id[1], id[2], id[3]])));
        let parents = row.first_parent.known().into_iter().chain(more);
        // A snapshot may say anything.
        parents.filter(|parent| (parent.0 as usize) < self.commits.len())
    }

    #[inline]
    pub(crate) fn row(&self, id: CommitId) -> &CommitRow {
        self.commits
            .get(id.0 as usize)
            .unwrap_or(&CommitRow::NOTHING)
    }

    /// The commit of this hash, known by nothing else if it was not.
    pub(super) fn commit_or_placeholder(&mut self, hash: &GitHash) -> CommitId {
        let key = self.hasher.hash(&hash.0);
        if let Some(known) = self.commit_by(key, hash) {
            return known;
        }
        let id = self.commits.len() as u32;
        self.commits.push(CommitRow::placeholder(*hash));
        self.commit_ids.insert(key, id);
        CommitId(id)
    }

    /// Adds a commit, or replaces what is known of it. Tells whether it was known by its hash only.
    pub(super) fn put_commit(&mut self, batch: &Batch, commit: &Commit) -> (CommitId, bool) {
        let id = self.commit_or_placeholder(&commit.hash);
        let mut first_parent = CommitId::NONE;
        let mut more_parents = Vec::new();
        let parents = &batch.parents[commit.parents.start as usize..commit.parents.end as usize];
        for (i, parent) in parents.iter().enumerate() {
            let parent = self.commit_or_placeholder(parent);
            if i == 0 {
                first_parent = parent;
            } else {
                more_parents.extend_from_slice(&parent.0.to_le_bytes());
            }
        }
        let more_parents = self.texts.push(&more_parents);
        let files = self.put_files(batch, commit);
        let message = self.intern(commit.message.hash, batch.bytes(&commit.message.span));
        let (author, author_zone) = self.who(batch, &commit.author);
        let (committer, commit_zone) = self.who(batch, &commit.committer);
        if let Some(hg) = &commit.hg {
            Arc::make_mut(&mut self.git_of_hg).insert(batch.bytes(hg).to_vec(), id);
        }
        let Some(row) = self.commits.get_mut(id.0 as usize) else {
            return (id, false); // cannot be: it was found or made above
        };
        let was_placeholder = !row.is_present();
        *row = CommitRow {
            author_seconds: commit.author.seconds,
            commit_seconds: commit.committer.seconds,
            hash: commit.hash.0,
            tree: commit.tree.0,
            first_parent,
            more_parents,
            author,
            committer,
            message,
            files,
            projects: row.projects,
            author_zone,
            commit_zone,
            traits: commit.traits,
            present: 1,
            unused: [0; 2],
        };
        (id, was_placeholder)
    }

    fn who(&mut self, batch: &Batch, who: &Who) -> (Text, Zone) {
        let person = self.intern(who.person.hash, batch.bytes(&who.person.span));
        (person, self.zone(batch.bytes(&who.zone)))
    }

    fn put_files(&mut self, batch: &Batch, commit: &Commit) -> Text {
        let files = &batch.files[commit.files.start as usize..commit.files.end as usize];
        let mut encoded = Vec::with_capacity(files.len() * 8);
        for file in files {
            let name = self.intern(file.name.hash, batch.bytes(&file.name.span));
            put_varint(
                &mut encoded,
                u64::from(name.to_bits()) << 1 | u64::from(file.binary),
            );
            put_varint(&mut encoded, file.added.cast_unsigned());
            put_varint(&mut encoded, file.deleted.cast_unsigned());
        }
        self.texts.push(&encoded)
    }
}

impl Batch {
    pub(crate) fn bytes(&self, span: &Span) -> &[u8] {
        &self.data[span.start as usize..span.end as usize]
    }

    /// A string, which was decoded as such.
    pub(crate) fn str(&self, span: &Span) -> &str {
        std::str::from_utf8(self.bytes(span)).unwrap_or_default()
    }
}

fn put_varint(encoded: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        encoded.push(n as u8 | 0x80);
        n >>= 7;
    }
    encoded.push(n as u8);
}

/// The files that a commit changed, off their encoded form: three varints each, the name's text with the binary flag, and the
/// lines added and deleted. Equal files have equal encodings.
#[derive(Debug, Clone)]
pub(crate) struct DiffFiles<'a> {
    pub(crate) encoded: &'a [u8],
}

/// A file that a commit changed.
#[derive(Debug)]
pub(crate) struct DiffFile {
    pub(crate) name: Text,
    pub(crate) added: i64,
    pub(crate) deleted: i64,
    pub(crate) binary: bool,
}

impl DiffFiles<'_> {
    fn varint(&mut self) -> u64 {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let Some((&byte, rest)) = self.encoded.split_first() else {
                break;
            };
            self.encoded = rest;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        n
    }
}

impl Iterator for DiffFiles<'_> {
    type Item = DiffFile;

    fn next(&mut self) -> Option<DiffFile> {
        if self.encoded.is_empty() {
            return None;
        }
        let name = self.varint();
        Some(DiffFile {
            name: Text::from_bits((name >> 1) as u32),
            added: self.varint().cast_signed(),
            deleted: self.varint().cast_signed(),
            binary: name & 1 != 0,
        })
    }
}
