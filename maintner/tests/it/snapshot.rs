//! Snapshots: what was saved comes back and goes on, and nothing else is believed.

use std::fs;
use std::path::{Path, PathBuf};

use maintner::reclog::segments;
use maintner::{Config, Corpus, SnapshotError, View};
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

use crate::compare::assert_same;
use crate::corpus_vectors::without_counter;
use crate::facts::facts;
use crate::support::{records, vector, vectors};

/// A log, and where its snapshot is.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        Self { dir }
    }

    /// With a copy of a vector's log.
    fn with(from: &Path) -> Self {
        let place = Self::new();
        for segment in segments(from).unwrap() {
            fs::copy(&segment.path, place.log().join(segment.name)).unwrap();
        }
        place
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn snapshot(&self) -> PathBuf {
        self.dir.path().join("made/for/it/snapshot")
    }

    /// An empty corpus of the log.
    fn corpus(&self) -> Corpus {
        Corpus::at(self.log(), Config::default().snapshot(self.snapshot()))
    }

    /// A corpus of the log, of which this one has made a snapshot.
    fn saved(&self) -> Corpus {
        let mut corpus = self.corpus();
        corpus.update().unwrap();
        corpus.save_snapshot().unwrap();
        corpus
    }

    /// Puts other bytes in the place of the snapshot.
    fn replace(&self, bytes: &[u8]) {
        fs::remove_file(self.snapshot()).unwrap();
        fs::write(self.snapshot(), bytes).unwrap();
    }
}

fn cl_life() -> PathBuf {
    vector("disk/12-gerrit-cl-life")
}

#[test]
fn every_corpus_of_the_vectors_comes_back_and_goes_on_wherever_its_log_is_cut() {
    let mut cuts = 0;
    for vector in vectors("disk") {
        let case = vector.file_name().unwrap().to_str().unwrap();
        let Ok(whole) = Corpus::open(&vector) else {
            continue;
        };
        let expected = without_counter(facts(&whole.view()));
        let logs: Vec<(String, Vec<u8>)> = segments(&vector)
            .unwrap()
            .into_iter()
            .map(|segment| (segment.name, fs::read(segment.path).unwrap()))
            .collect();
        let ends: Vec<(usize, usize)> = logs
            .iter()
            .enumerate()
            .flat_map(|(at, (_, log))| {
                records(log)
                    .into_iter()
                    .map(move |record| (at, record.end as usize))
            })
            .collect();
        // All cuts of the short ones, some of the long ones.
        for &(at, end) in ends
            .iter()
            .step_by(ends.len().div_ceil(4).max(1))
            .chain(ends.last())
        {
            let place = Place::new();
            for (name, log) in &logs[..at] {
                fs::write(place.log().join(name), log).unwrap();
            }
            fs::write(place.log().join(&logs[at].0), &logs[at].1[..end]).unwrap();
            let mut first = place.saved();
            let before = facts(&first.view());

            let mut second = place.corpus();
            second.update().unwrap();
            assert!(second.snapshot_error().is_none(), "{case}");
            assert!(second.snapshot_bytes() > 0, "{case}");
            assert_eq!(second.view().stats(), first.view().stats(), "{case}");
            assert_same(case, &facts(&second.view()), &before);
            let same = |corpus: &Corpus| {
                assert_same(case, &without_counter(facts(&corpus.view())), &expected);
            };

            for (name, log) in &logs[at..] {
                fs::write(place.log().join(name), log).unwrap();
            }
            // The one that saved it, the one that began with it, and one that begins with it and has more to read.
            let third = place.corpus();
            for mut corpus in [second, third] {
                corpus.update().unwrap();
                assert!(corpus.snapshot_error().is_none(), "{case}");
                same(&corpus);
                let (is, was) = (corpus.view().stats(), whole.view().stats());
                assert_eq!(
                    (is.records, is.commits, is.ignored),
                    (was.records, was.commits, was.ignored),
                    "{case}"
                );
            }
            first.update().unwrap();
            same(&first);
            // A snapshot of what began with one is the same again.
            first.save_snapshot().unwrap();
            let mut fourth = place.corpus();
            fourth.update().unwrap();
            same(&fourth);
            cuts += 1;
        }
    }
    assert!(cuts > 50, "{cuts}");
}

#[test]
fn views_stay_when_the_corpus_they_are_of_is_mapped_instead() {
    let place = Place::with(&cl_life());
    let mut corpus = place.corpus();
    corpus.update().unwrap();
    let (view, before) = (corpus.view(), facts(&corpus.view()));
    corpus.save_snapshot().unwrap();
    let mapped = corpus.view();
    fs::remove_file(place.snapshot()).unwrap();
    drop(corpus);
    for view in [view, mapped] {
        assert_same("view", &facts(&view), &before);
    }
}

/// The corpus of the log, begun with what is in the snapshot's place, if that is one.
fn begun(place: &Place) -> Corpus {
    let mut corpus = place.corpus();
    corpus.update().unwrap();
    corpus
}

#[test]
fn a_snapshot_that_is_cut_anywhere_is_not_used() {
    let place = Place::with(&cl_life());
    let expected = facts(&place.saved().view());
    let whole = fs::read(place.snapshot()).unwrap();
    for len in (0..whole.len()).step_by(293) {
        place.replace(&whole[..len]);
        let corpus = begun(&place);
        assert!(
            matches!(corpus.snapshot_error(), Some(SnapshotError::Torn)),
            "{len}: {:?}",
            corpus.snapshot_error()
        );
        assert_eq!(corpus.snapshot_bytes(), 0);
        assert_eq!(facts(&corpus.view()), expected);
    }
    place.replace(&[&whole[..], b"more"].concat());
    assert!(matches!(
        begun(&place).snapshot_error(),
        Some(SnapshotError::Torn)
    ));
}

#[test]
fn a_snapshot_with_any_bit_flipped_is_not_used() {
    let place = Place::with(&cl_life());
    place.saved();
    let whole = fs::read(place.snapshot()).unwrap();
    // The rest of the header's page says nothing.
    let header = 0..212;
    let rest = (4096..whole.len()).step_by(197);
    for at in header.chain(rest) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        place.replace(&damaged);
        let corpus = begun(&place);
        let error = corpus.snapshot_error();
        let fits = match at {
            0..16 => matches!(error, Some(SnapshotError::Foreign)),
            16..20 => matches!(error, Some(SnapshotError::Version { .. })),
            20..24 => matches!(error, Some(SnapshotError::Machine)),
            24..212 => matches!(error, Some(SnapshotError::Torn)),
            _ => matches!(error, Some(SnapshotError::Damaged { offset: 4096 })),
        };
        assert!(fits, "{at}: {error:?}");
    }
}

#[test]
fn a_snapshot_of_another_log_is_not_used() {
    let place = Place::with(&vector("disk/20-files-and-order"));
    for segment in segments(&place.log()).unwrap() {
        if segment.len < 90 {
            fs::remove_file(segment.path).unwrap();
        }
    }
    let all = segments(&place.log()).unwrap();
    assert!(all.len() > 1);
    place.saved();
    type Damage = fn(&mut Vec<u8>);
    let another: Damage = |log| log[40] ^= 1;
    let shorter: Damage = |log| log.truncate(log.len() - 1);
    let longer: Damage = |log| log.push(0);
    let last = all.len() - 1;
    for (at, damage, refused) in [
        (0, another, true),
        (0, shorter, true),
        (0, longer, true),
        (last, another, true),
        (last, shorter, true),
        // What comes behind its end is what comes since.
        (last, longer, false),
    ] {
        let segment = &all[at];
        let good = fs::read(&segment.path).unwrap();
        let mut bad = good.clone();
        damage(&mut bad);
        fs::write(&segment.path, bad).unwrap();
        let mut corpus = place.corpus();
        // Some of these cannot be read either.
        drop(corpus.update());
        match corpus.snapshot_error() {
            Some(SnapshotError::Log { segment: named }) if refused => {
                assert_eq!(*named, segment.name);
            }
            None if !refused => {}
            error => panic!("segment {at}: {error:?}"),
        }
        fs::write(&segment.path, good).unwrap();
    }
    fs::remove_file(&all[last].path).unwrap();
    assert!(matches!(
        begun(&place).snapshot_error(),
        Some(SnapshotError::Log { .. })
    ));
}

#[test]
fn what_is_no_snapshot_is_left_until_there_is_one() {
    let place = Place::with(&cl_life());
    place.saved();
    let foreign = vec![b'x'; 10_000];
    place.replace(&foreign);
    assert!(matches!(
        begun(&place).snapshot_error(),
        Some(SnapshotError::Foreign)
    ));
    assert_eq!(fs::read(place.snapshot()).unwrap(), foreign);
    place.saved();
    assert!(begun(&place).snapshot_error().is_none());

    fs::remove_file(place.snapshot()).unwrap();
    fs::create_dir(place.snapshot()).unwrap();
    let mut corpus = begun(&place);
    assert!(corpus.snapshot_error().is_some());
    let error = corpus.save_snapshot().unwrap_err();
    assert!(matches!(error, SnapshotError::Write { .. }), "{error}");
    let left = fs::read_dir(place.snapshot().parent().unwrap()).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(
        left,
        ["snapshot", "snapshot.lock"],
        "nothing is left of what failed"
    );
}

#[cfg(unix)]
#[test]
fn a_killed_writer_leaves_nothing_in_the_way_and_a_living_one_is_left_alone() {
    let place = Place::with(&cl_life());
    let mut corpus = place.saved();
    let dir = place.snapshot().parent().unwrap().to_owned();
    fs::write(dir.join("snapshot.new"), "half of it").unwrap();
    corpus.save_snapshot().unwrap();
    assert!(!dir.join("snapshot.new").exists());

    let lock = fs::File::open(dir.join("snapshot.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let error = corpus.save_snapshot().unwrap_err();
    assert!(matches!(error, SnapshotError::Busy { .. }), "{error}");
    drop(lock);
    corpus.save_snapshot().unwrap();
}

#[test]
fn a_corpus_makes_a_snapshot_by_itself_when_enough_is_new() {
    let place = Place::new();
    let append = |after: u64, mebibytes: usize| {
        let issue = |number: usize| maintner::pb::GithubIssueMutation {
            owner: "golang".into(),
            repo: "go".into(),
            number: (number + 1) as i32,
            body: "x".repeat(1 << 20),
            ..Default::default()
        };
        let payloads = (0..mebibytes).map(|number| {
            let mutation = maintner::pb::Mutation {
                github_issue: Some(issue(number)),
                ..Default::default()
            };
            prost::Message::encode_to_vec(&mutation)
        });
        let config = maintner::reclog::WriterConfig::default().sync(maintner::reclog::Sync::Never);
        let mut writer = maintner::reclog::Writer::open(place.log(), config).unwrap();
        writer
            .append_at(crate::support::day(after), payloads.collect::<Vec<_>>())
            .unwrap();
    };
    let mut corpus = place.corpus();
    append(0, 3);
    corpus.update().unwrap();
    assert!(!place.snapshot().exists());
    append(0, 2);
    corpus.update().unwrap();
    let covered = corpus.snapshot_bytes();
    assert_eq!(covered, corpus.view().stats().log_bytes);
    let begun_with = begun(&place);
    assert_eq!(begun_with.snapshot_bytes(), covered);

    append(1, 1);
    corpus.update().unwrap();
    assert_eq!(corpus.snapshot_bytes(), covered, "too little is new");
    append(1, 4);
    corpus.update().unwrap();
    assert_eq!(corpus.snapshot_bytes(), corpus.view().stats().log_bytes);
}

#[test]
fn texts_that_are_written_while_a_large_log_is_read_are_the_same() {
    let place = Place::new();
    let config = maintner::reclog::WriterConfig::default().sync(maintner::reclog::Sync::Never);
    let mut writer = maintner::reclog::Writer::open(place.log(), config).unwrap();
    // Some are longer than the blocks that they are kept in.
    let body = |number: i32| format!("{number} ").repeat(50_000 * (1 + number as usize % 7));
    let issues = 1..=300;
    for number in issues.clone() {
        let issue = maintner::pb::GithubIssueMutation {
            owner: "golang".into(),
            repo: "go".into(),
            number,
            body: body(number),
            ..Default::default()
        };
        let mutation = maintner::pb::Mutation {
            github_issue: Some(issue),
            ..Default::default()
        };
        let payload = prost::Message::encode_to_vec(&mutation);
        writer.append_at(crate::support::day(0), [payload]).unwrap();
    }
    let check = |corpus: &Corpus| {
        let view = corpus.view();
        let repo = view.github().repo("golang", "go").unwrap();
        assert!(view.stats().text_bytes > 160 << 20);
        for number in issues.clone() {
            assert!(
                repo.issue(number).unwrap().body() == body(number),
                "{number}"
            );
        }
    };
    // In the way of what is written.
    let new = place.snapshot().with_extension("new");
    fs::create_dir_all(&new).unwrap();
    let corpus = begun(&place);
    check(&corpus);
    let error = corpus.snapshot_error();
    assert!(
        matches!(error, Some(SnapshotError::Write { .. })),
        "{error:?}"
    );
    fs::remove_dir(&new).unwrap();

    let corpus = begun(&place);
    assert!(corpus.snapshot_error().is_none());
    check(&corpus);
    assert!(!new.exists());
    check(&begun(&place));
}

#[test]
fn without_a_file_or_a_log_there_is_no_snapshot() {
    let error = Corpus::new().save_snapshot().unwrap_err();
    assert!(matches!(error, SnapshotError::NotConfigured), "{error}");
    let mut corpus = Corpus::open(cl_life()).unwrap();
    let error = corpus.save_snapshot().unwrap_err();
    assert!(matches!(error, SnapshotError::NotConfigured), "{error}");
}

/// Gives a file that was changed the checksums that a snapshot of this kind would have.
fn seal(snapshot: &mut [u8]) {
    let number = |at: usize| u64::from_ne_bytes(snapshot[at..at + 8].try_into().unwrap()) as usize;
    let sums = number(192);
    let pieces: Vec<u32> = snapshot[4096..sums]
        .chunks(1 << 20)
        .map(crc32fast::hash)
        .collect();
    for (n, sum) in pieces.iter().enumerate() {
        snapshot[sums + 4 * n..][..4].copy_from_slice(&sum.to_ne_bytes());
    }
    let header = crc32fast::hash(&snapshot[..208]);
    snapshot[208..212].copy_from_slice(&header.to_ne_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_that_says_nonsense_with_the_right_checksums_harms_nobody(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        which in 0..3,
    ) {
        let vector = ["disk/12-gerrit-cl-life", "disk/06-github-reviews", "disk/20-files-and-order"][which as usize];
        let place = Place::with(&self::vector(vector));
        place.saved();
        let mut snapshot = fs::read(place.snapshot()).unwrap();
        // Zeros are padding for the most part, and a change of them says nothing.
        let said: Vec<usize> = (4096..snapshot.len() - 4).filter(|&at| snapshot[at] != 0).collect();
        for (index, byte) in changes {
            let at = *index.get(&said);
            snapshot[at] = byte;
        }
        seal(&mut snapshot);
        place.replace(&snapshot);
        let mut corpus = place.corpus();
        // The log may not be what it says, which an update tells; there is no panic.
        drop(corpus.update());
        look_at_everything(&corpus.view());
        let mut payloads = Vec::new();
        for segment in segments(&place.log()).unwrap() {
            let log = fs::read(segment.path).unwrap();
            payloads.extend(records(&log).iter().map(|record| record.payload.to_vec()));
        }
        drop(corpus.apply(payloads));
        look_at_everything(&corpus.view());
        drop(corpus.save_snapshot());
    }
}

/// Asks all that can be asked, whatever the answers.
fn look_at_everything(view: &View) {
    drop(view.check());
    let mut seen = 0;
    for commit in view.commits() {
        seen += commit.message().len() + commit.files().count() + commit.parents().count();
        seen += commit.author_time().zone.len() + commit.committer().name().len();
        seen += usize::from(view.commit(&commit.hash()).is_some());
    }
    for project in view.gerrit().projects() {
        seen += project.references().count()
            + project.missing_commits().count()
            + project.commits().count();
        for cl in project.all_cls() {
            seen += cl.subject().len()
                + cl.branch().len()
                + cl.messages().count()
                + cl.issue_refs().count();
            seen += cl
                .meta()
                .map_or(0, |meta| meta.label_votes().len() + meta.hashtags().len());
            seen += cl.patch_sets().count() + usize::from(cl.owner_id().is_some());
        }
    }
    for repo in view.github().repos() {
        seen += repo.labels().count() + repo.milestones().count();
        for issue in repo.issues() {
            seen += issue.title().len()
                + issue.body().len()
                + issue.labels().count()
                + issue.assignees().count();
            seen += issue
                .comments()
                .map(|comment| comment.body().len())
                .sum::<usize>();
            seen += issue.events().count() + issue.all_reviews().count();
        }
    }
    seen += view.github().users().count()
        + view.github().teams().count()
        + view.hg_changesets().count();
    std::hint::black_box(seen);
}
