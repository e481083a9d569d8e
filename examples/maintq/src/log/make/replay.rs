use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use maintner::sync::GitSync;
use maintner::{Corpus, pb};

use crate::log::make::Log;
use crate::log::make::gerrit::object_name;

/// Of a history that is kept to be copied: beyond that, its later commits are not copied.
const KEPT_BYTES: usize = 256 << 20;
/// How much later each copy takes place: a year of 365 days.
const SHIFT: i64 = 31_536_000;

/// The commits and refs of a repository, in the order in which they were read.
#[derive(Default)]
pub(super) struct History {
    commits: Vec<pb::GitCommit>,
    refs: Vec<pb::GitRef>,
}

impl History {
    /// Reads a repository into the log, as a project.
    pub(super) fn read(repository: &Path, project: &str, log: &mut Log) -> anyhow::Result<Self> {
        let git = GitSync::new(repository, project)?;
        let (mut history, mut kept) = (Self::default(), 0);
        git.sync(&Corpus::new().view(), |mutations| {
            for gerrit in mutations
                .iter()
                .filter_map(|mutation| mutation.gerrit.as_ref())
            {
                for commit in &gerrit.commits {
                    kept += commit.raw.len();
                    if kept <= KEPT_BYTES {
                        history.commits.push(commit.clone());
                    }
                }
                history.refs.extend_from_slice(&gerrit.refs);
            }
            Ok(log.append(mutations)?)
        })
        .with_context(|| format!("cannot read {}", repository.display()))?;
        if history.commits.is_empty() {
            bail!("{} has no commits", repository.display());
        }
        Ok(history)
    }

    /// Writes copies of the history, each under a name of its own and a year later than the one before, until the log has so many bytes.
    pub(super) fn amplify(&self, project: &str, until: u64, log: &mut Log) -> anyhow::Result<()> {
        for copy in 1.. {
            if log.bytes >= until {
                break;
            }
            let project = format!("{project}-{copy}");
            let gerrit = |gerrit: pb::GerritMutation| pb::Mutation {
                gerrit: Some(pb::GerritMutation {
                    project: project.clone(),
                    ..gerrit
                }),
                ..Default::default()
            };
            let mut names: HashMap<&str, String> = HashMap::new();
            for commit in &self.commits {
                if log.bytes >= until {
                    break;
                }
                let raw = shifted(&commit.raw, copy * SHIFT, &names);
                let sha1 = object_name(&raw);
                names.insert(&commit.sha1, sha1.clone());
                let commits = vec![pb::GitCommit {
                    sha1,
                    raw,
                    diff_tree: commit.diff_tree.clone(),
                }];
                log.append([gerrit(pb::GerritMutation {
                    commits,
                    ..Default::default()
                })])?;
            }
            let refs: Vec<_> = self
                .refs
                .iter()
                .filter_map(|reference| {
                    let sha1 = names.get(reference.sha1.as_str())?.clone();
                    let r#ref = reference.r#ref.clone();
                    Some(pb::GitRef { r#ref, sha1 })
                })
                .collect();
            if !refs.is_empty() {
                log.append([gerrit(pb::GerritMutation {
                    refs,
                    ..Default::default()
                })])?;
            }
        }
        Ok(())
    }
}

/// A commit at another time, on top of other parents. Signatures stay, and are wrong then.
fn shifted(raw: &[u8], by: i64, names: &HashMap<&str, String>) -> Vec<u8> {
    let mut shifted = Vec::with_capacity(raw.len());
    let mut in_header = true;
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        in_header &= line != b"\n";
        let text = std::str::from_utf8(line).ok().filter(|_| in_header);
        let changed = text.and_then(|line| match line.split_once(' ')? {
            ("parent", hash) => Some(format!("parent {}\n", names.get(hash.trim_end())?)),
            ("author" | "committer", _) => later(line, by),
            _ => None,
        });
        match changed {
            Some(line) => shifted.extend_from_slice(line.as_bytes()),
            None => shifted.extend_from_slice(line),
        }
    }
    shifted
}

/// `author Name <mail> 1400000000 +0000`, later.
fn later(line: &str, by: i64) -> Option<String> {
    let (rest, zone) = line.rsplit_once(' ')?;
    let (who, seconds) = rest.rsplit_once(' ')?;
    let seconds = seconds.parse::<i64>().ok()?.checked_add(by)?;
    Some(format!("{who} {seconds} {zone}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_have_other_times_and_parents() {
        let raw = b"tree 1\nparent a\nauthor A <a@b> 100 +0100\ncommitter \xff <a@b> 100 +0000\n\nauthor A <a@b> 100 +0100\n";
        let names = HashMap::from([("a", "b".to_owned())]);
        let expected = b"tree 1\nparent b\nauthor A <a@b> 105 +0100\ncommitter \xff <a@b> 100 +0000\n\nauthor A <a@b> 100 +0100\n";
        assert_eq!(shifted(raw, 5, &names), expected);
    }

    #[test]
    fn names_are_those_of_git() {
        // Of an empty tree, by nobody.
        let raw = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A <a@b> 0 +0000\ncommitter A <a@b> 0 +0000\n\nx\n";
        assert_eq!(object_name(raw).len(), 40);
    }
}
