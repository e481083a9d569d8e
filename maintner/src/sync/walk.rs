use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::mpsc::SyncSender;

use crate::commit_object::{self, CommitObject};
use crate::hash::GitHash;
use crate::pb;
use crate::sync::SyncError;
use crate::sync::diffs::Diffs;
use crate::sync::objects::{ASKED, Object, Objects};
use crate::sync::process::Start;

/// Commits that are handed on at once.
const BATCH: usize = 256;
/// Bytes of commits after which a batch ends.
const BATCH_BYTES: usize = 4 << 20;
/// Bytes of commits that are read before their turn.
const AHEAD: usize = 4 << 20;
/// Bytes of commits that are kept until those that they come from were handed on; longer histories are read twice.
const HELD: usize = 8 << 20;
/// What an object that was read ahead takes besides its bytes.
const OVERHEAD: usize = 128;

/// The commits that some tips come from and that are not known, parents first.
///
/// Only unknown ones are looked at, as all that a known one comes from is known, or missing, which nobody could find here.
pub(super) struct Walk<'a, K> {
    start: Start<'a>,
    objects: Objects,
    is_known: K,
    max_commit: u64,
    tips: BTreeSet<GitHash>,
    steps: Vec<Step>,
    seen: HashSet<GitHash>,
    ahead: HashMap<GitHash, Object>,
    ahead_bytes: usize,
    held_bytes: usize,
    unusable: BTreeSet<GitHash>,
}

enum Step {
    Enter(GitHash),
    /// With the commit, unless too many are held.
    Leave(GitHash, Option<Vec<u8>>),
}

impl<'a, K: Fn(&GitHash) -> bool> Walk<'a, K> {
    pub(super) fn new(
        start: Start<'a>,
        tips: BTreeSet<GitHash>,
        is_known: K,
        max_commit: u64,
    ) -> Result<Self, SyncError> {
        Ok(Self {
            start,
            objects: Objects::open(start)?,
            is_known,
            max_commit,
            steps: tips.iter().rev().copied().map(Step::Enter).collect(),
            tips,
            seen: HashSet::new(),
            ahead: HashMap::new(),
            ahead_bytes: 0,
            held_bytes: 0,
            unusable: BTreeSet::new(),
        })
    }

    /// Hands on all of them with the files that they change, in batches of 256 or 4 MiB, until nobody takes them. Gives tips that are no
    /// commits of use, and others that are none.
    pub(super) fn run(
        mut self,
        batches: &SyncSender<Vec<pb::GitCommit>>,
    ) -> Result<BTreeSet<GitHash>, SyncError> {
        let mut diffs = Diffs::new(self.start);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        loop {
            let next = self.next()?;
            let is_last = next.is_none();
            if let Some((hash, raw)) = next {
                bytes += raw.len();
                batch.push(pb::GitCommit {
                    sha1: hash.to_string(),
                    raw,
                    diff_tree: None,
                });
            }
            if !is_last && batch.len() < BATCH && bytes < BATCH_BYTES {
                continue;
            }
            bytes = 0;
            let mut done = vec![diffs.turn(std::mem::take(&mut batch))?];
            if is_last {
                done.push(diffs.turn(Vec::new())?);
            }
            for commits in done {
                if !commits.is_empty() && batches.send(commits).is_err() {
                    return Ok(self.unusable);
                }
            }
            if is_last {
                diffs.end()?;
                self.objects.end()?;
                return Ok(self.unusable);
            }
        }
    }

    fn next(&mut self) -> Result<Option<(GitHash, Vec<u8>)>, SyncError> {
        while let Some(step) = self.steps.pop() {
            let hash = match step {
                Step::Leave(hash, Some(raw)) => {
                    self.held_bytes -= raw.len();
                    return Ok(Some((hash, raw)));
                }
                Step::Leave(hash, None) => match self.read(hash)? {
                    Object::Commit(raw) => return Ok(Some((hash, raw))),
                    _ => return Err(self.objects.gone(hash)),
                },
                Step::Enter(hash) if (self.is_known)(&hash) || !self.seen.insert(hash) => continue,
                Step::Enter(hash) => hash,
            };
            let (raw, is_usable) = match self.read(hash)? {
                Object::Commit(raw) => {
                    let is_usable = CommitObject::parse(&raw).is_some();
                    (raw, is_usable)
                }
                Object::TooLong(head) => (head, false),
                // A parent that is not here is one that the log lacks, which the corpus knows of.
                Object::Missing if !self.tips.contains(&hash) => continue,
                Object::Missing | Object::Other => {
                    self.unusable.insert(hash);
                    continue;
                }
            };
            // Those that a commit of no use comes from may be of use.
            let parents = commit_object::parents(&raw);
            if is_usable {
                let is_held = self.held_bytes + raw.len() <= HELD;
                self.held_bytes += if is_held { raw.len() } else { 0 };
                self.steps.push(Step::Leave(hash, is_held.then_some(raw)));
            } else {
                self.unusable.insert(hash);
            }
            self.steps
                .extend(parents.into_iter().rev().map(Step::Enter));
        }
        Ok(None)
    }

    /// An object, with which those are read that will be asked for next, as far as that can be seen.
    fn read(&mut self, hash: GitHash) -> Result<Object, SyncError> {
        if let Some(object) = self.ahead.remove(&hash) {
            self.ahead_bytes -= size(&object);
            return Ok(object);
        }
        let mut asked = vec![hash];
        if self.ahead_bytes < AHEAD / 2 {
            let mut later = HashSet::from([hash]);
            for step in self.steps.iter().rev().take(4 * ASKED) {
                if asked.len() == ASKED {
                    break;
                }
                let (Step::Enter(hash) | Step::Leave(hash, None)) = step else {
                    continue;
                };
                let is_entered = matches!(step, Step::Enter(_));
                let is_read = self.ahead.contains_key(hash)
                    || is_entered && (self.seen.contains(hash) || (self.is_known)(hash));
                if !is_read && later.insert(*hash) {
                    asked.push(*hash);
                }
            }
        }
        let mut wanted = None;
        let (ahead, bytes) = (&mut self.ahead, &mut self.ahead_bytes);
        self.objects.read(&asked, self.max_commit, |read, object| {
            if read == hash {
                wanted = Some(object);
            } else if *bytes + size(&object) <= AHEAD {
                *bytes += size(&object);
                ahead.insert(read, object);
            }
        })?;
        wanted.ok_or_else(|| self.objects.gone(hash))
    }
}

fn size(object: &Object) -> usize {
    let raw = match object {
        Object::Commit(raw) | Object::TooLong(raw) => raw.len(),
        Object::Other | Object::Missing => 0,
    };
    raw + OVERHEAD
}
