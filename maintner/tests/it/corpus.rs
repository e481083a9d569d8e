//! Views, updates and the change feed.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use maintner::reclog::{Sync, Writer, WriterConfig, encode_into};
use maintner::{ApplyError, Change, Config, Corpus, DecodeError, FeedError, LoadError, pb};
use proptest::prelude::*;
use prost::Message as _;
use tempfile::tempdir;

use crate::facts::facts;
use crate::support::{day, vector, vectors};

const NOW: Duration = Duration::ZERO;

fn issue(number: i32, title: &str) -> pb::GithubIssueMutation {
    pb::GithubIssueMutation {
        owner: "golang".into(),
        repo: "go".into(),
        number,
        title: title.into(),
        ..Default::default()
    }
}

fn payload(issue: pb::GithubIssueMutation) -> Vec<u8> {
    pb::Mutation {
        github_issue: Some(issue),
        ..Default::default()
    }
    .encode_to_vec()
}

fn append(dir: &Path, after: u64, payloads: &[Vec<u8>]) {
    let config = WriterConfig::default().sync(Sync::Never);
    Writer::open(dir, config)
        .unwrap()
        .append_at(day(after), payloads)
        .unwrap();
}

fn title(corpus: &Corpus, number: i32) -> Option<String> {
    let view = corpus.view();
    Some(
        view.github()
            .repo("golang", "go")?
            .issue(number)?
            .title()
            .to_owned(),
    )
}

#[test]
fn a_view_stays_as_it_was_when_it_was_taken() {
    let mut corpus = Corpus::new();
    let empty = corpus.view();
    corpus
        .apply((1..=1000).map(|n| payload(issue(n, "before"))))
        .unwrap();
    let before = corpus.view();
    let facts_before = facts(&before);
    corpus
        .apply((500..=2000).map(|n| payload(issue(n, "after"))))
        .unwrap();

    assert_eq!(facts(&before), facts_before);
    assert!(empty.github().repo("golang", "go").is_none());
    let (before, after) = (before.github(), corpus.view());
    let before = before.repo("golang", "go").unwrap();
    let after = after.github().repo("golang", "go").unwrap();
    assert_eq!((before.issue_count(), after.issue_count()), (1000, 2000));
    assert_eq!(before.issue(700).unwrap().title(), "before");
    assert_eq!(after.issue(700).unwrap().title(), "after");
}

#[test]
fn an_update_reads_what_was_appended_also_to_a_new_day() {
    let dir = tempdir().unwrap();
    append(dir.path(), 0, &[payload(issue(1, "one"))]);
    let mut corpus = Corpus::open(dir.path()).unwrap();
    assert_eq!(title(&corpus, 1).as_deref(), Some("one"));
    corpus.update().unwrap();
    assert_eq!(corpus.view().stats().records, 1);

    append(dir.path(), 0, &[payload(issue(2, "two"))]);
    append(
        dir.path(),
        1,
        &[payload(issue(3, "three")), payload(issue(1, "changed"))],
    );
    corpus.update().unwrap();
    assert_eq!(corpus.view().stats().records, 4);
    assert_eq!(title(&corpus, 1).as_deref(), Some("changed"));
    assert_eq!(title(&corpus, 3).as_deref(), Some("three"));
    assert_eq!(
        facts(&corpus.view()),
        facts(&Corpus::open(dir.path()).unwrap().view())
    );
}

#[test]
fn a_record_that_is_being_written_is_read_when_it_is_whole() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("maintner-2020-01-02.mutlog");
    let mut log = Vec::new();
    encode_into(&mut log, 0, &payload(issue(1, "one")));
    let whole = log.len();
    encode_into(&mut log, 0, &payload(issue(2, "two")));
    let mut corpus = Corpus::at(dir.path(), Config::default());
    for end in whole..=log.len() {
        fs::write(&path, &log[..end]).unwrap();
        match corpus.update() {
            Ok(()) => assert!(end == whole || end == log.len()),
            Err(error) => assert!(error.is_incomplete(), "{error}"),
        }
        assert_eq!(title(&corpus, 1).as_deref(), Some("one"));
        assert_eq!(title(&corpus, 2).is_some(), end == log.len());
    }
}

#[test]
fn a_log_that_became_another_one_is_not_read() {
    let dir = tempdir().unwrap();
    append(dir.path(), 1, &[payload(issue(1, "one"))]);
    append(dir.path(), 2, &[payload(issue(2, "two"))]);
    let first = dir.path().join("maintner-2020-01-03.mutlog");
    let last = dir.path().join("maintner-2020-01-04.mutlog");
    let before = fs::read(&first).unwrap();
    let changes: [&dyn Fn(); 4] = [
        &|| fs::remove_file(&first).unwrap(),
        &|| fs::write(&first, [before.as_slice(), b"REC@"].concat()).unwrap(),
        &|| fs::write(&last, b"").unwrap(),
        &|| fs::write(dir.path().join("maintner-0000.mutlog"), b"").unwrap(),
    ];
    for change in changes {
        fs::write(&first, &before).unwrap();
        let after = fs::read(&last).unwrap();
        let mut corpus = Corpus::open(dir.path()).unwrap();
        change();
        let error = corpus.update().unwrap_err();
        assert!(matches!(error, LoadError::Diverged { .. }), "{error}");
        fs::write(&last, after).unwrap();
    }
}

#[test]
fn a_missing_folder_is_an_error_and_an_empty_one_is_none() {
    let dir = tempdir().unwrap();
    assert_eq!(Corpus::open(dir.path()).unwrap().view().stats().records, 0);
    let error = Corpus::open(dir.path().join("missing")).unwrap_err();
    assert!(matches!(error, LoadError::Dir { .. }), "{error}");
}

#[test]
fn threads_make_the_same_corpus_as_one() {
    let dir = tempdir().unwrap();
    let body = "x".repeat(3000);
    for file in 0..3 {
        let payloads: Vec<_> = (0..1000)
            .map(|n| {
                let mut issue = issue(n % 400 + 1, &format!("{file} {n}"));
                issue.body.clone_from(&body);
                payload(issue)
            })
            .collect();
        append(dir.path(), file, &payloads);
    }
    let seen = Arc::new(AtomicU64::new(0));
    let load = |threads: usize| {
        let seen = Arc::clone(&seen);
        let config = Config::default()
            .threads(threads.try_into().unwrap())
            .progress(move |progress| {
                assert!(progress.bytes <= progress.total);
                seen.store(progress.records, Ordering::Relaxed);
            });
        let mut corpus = Corpus::at(dir.path(), config);
        corpus.update().unwrap();
        corpus
    };
    let expected = facts(&load(1).view());
    for threads in [2, 3, 8] {
        seen.store(0, Ordering::Relaxed);
        assert_eq!(facts(&load(threads).view()), expected);
        assert_eq!(seen.load(Ordering::Relaxed), 3000);
    }

    // An error in the middle ends all threads, and what came before it is there.
    let path = dir.path().join("maintner-2020-01-03.mutlog");
    let mut log = fs::read(&path).unwrap();
    let middle = log.len() / 2;
    let at = middle + memchr::memmem::find(&log[middle..], b"REC@").unwrap();
    log[at] = b'X';
    fs::write(&path, log).unwrap();
    for threads in [1, 4] {
        let mut corpus = Corpus::at(
            dir.path(),
            Config::default().threads(threads.try_into().unwrap()),
        );
        assert!(matches!(
            corpus.update().unwrap_err(),
            LoadError::Segment { .. }
        ));
        let records = corpus.view().stats().records;
        assert!((1001..2000).contains(&records), "{records}");
    }
}

#[test]
fn subscribers_are_told_what_changed_each_thing_once() {
    let mut corpus = Corpus::new();
    corpus.apply([payload(issue(1, "before"))]).unwrap();
    let mut feed = corpus.subscribe();
    assert_eq!(feed.next(NOW), Ok(None));
    corpus
        .apply([
            payload(issue(2, "a")),
            payload(issue(2, "b")),
            payload(issue(1, "c")),
        ])
        .unwrap();
    let changed = |number| Change::Issue {
        owner: "golang".into(),
        repo: "go".into(),
        number,
    };
    let update = feed.next(NOW).unwrap().unwrap();
    assert_eq!(*update, [changed(1), changed(2)]);
    assert_eq!(
        feed.view()
            .github()
            .repo("golang", "go")
            .unwrap()
            .issue(2)
            .unwrap()
            .title(),
        "b"
    );
    assert_eq!(feed.next(NOW), Ok(None));
    drop(corpus);
    assert_eq!(feed.next(Duration::MAX), Err(FeedError::Closed));
}

#[test]
fn a_subscriber_of_gerrit_learns_of_commits_refs_and_changes() {
    let dir = vector("disk/12-gerrit-cl-life");
    let mut corpus = Corpus::at(dir, Config::default());
    let mut feed = corpus.subscribe();
    corpus.update().unwrap();
    let update = feed.next(NOW).unwrap().unwrap();
    let project = "go.googlesource.com/go".to_owned();
    let name = "refs/heads/master".to_owned();
    assert!(update.contains(&Change::Ref {
        project: project.clone(),
        name
    }));
    assert!(update.contains(&Change::Cl {
        project,
        number: 4321
    }));
    let commits = update
        .iter()
        .filter(|change| matches!(change, Change::Commit(_)))
        .count();
    assert_eq!(commits, 7);
}

#[test]
fn a_subscriber_that_falls_behind_is_told_so_and_goes_on() {
    let mut corpus = Corpus::new();
    let mut feed = corpus.reader().subscribe();
    for n in 1..=300 {
        corpus.apply([payload(issue(n, "x"))]).unwrap();
    }
    assert_eq!(feed.next(NOW), Err(FeedError::Lagged { missed: 44 }));
    let next = feed.next(NOW).unwrap().unwrap();
    assert!(matches!(&*next, [Change::Issue { number: 45, .. }]));
}

#[test]
fn readers_on_other_threads_see_whole_updates_only() {
    let mut corpus = Corpus::new();
    let reader = corpus.reader();
    std::thread::scope(|scope| {
        let looking = scope.spawn(move || {
            let mut last = 0;
            while last < 200 {
                let view = reader.view();
                let Some(repo) = view.github().repo("golang", "go") else {
                    continue;
                };
                // Each update sets both titles.
                let titles: Vec<_> = repo
                    .issues()
                    .map(|issue| issue.title().parse::<u32>().unwrap())
                    .collect();
                assert_eq!(titles, [titles[0]; 2]);
                assert!(titles[0] >= last);
                last = titles[0];
            }
        });
        for n in 1..=200 {
            let title = n.to_string();
            corpus
                .apply([payload(issue(1, &title)), payload(issue(1000, &title))])
                .unwrap();
        }
        looking.join().unwrap();
    });
}

#[test]
fn what_is_no_mutation_is_refused_and_what_came_before_it_applied() {
    let mut corpus = Corpus::new();
    let error = corpus.apply([
        payload(issue(1, "one")),
        b"\xff".to_vec(),
        payload(issue(2, "two")),
    ]);
    assert_eq!(
        error,
        Err(ApplyError::Mutation {
            index: 1,
            source: DecodeError::Truncated
        })
    );
    assert!(title(&corpus, 1).is_some() && title(&corpus, 2).is_none());
}

#[test]
fn commits_that_are_their_own_ancestors_end_no_query() {
    let hash = |n: u8| format!("{n:040x}");
    let commit = |n: u8, parent: u8| {
        pb::GitCommit {
        sha1: hash(n),
        raw: format!(
            "tree {}\nparent {}\nauthor a <1@x> 1 +0000\ncommitter a <a> 1 +0000\n\nx\n\nStatus: new\n",
            hash(9),
            hash(parent)
        )
        .into(),
        diff_tree: None,
    }
    };
    let gerrit = pb::GerritMutation {
        project: "x/y".into(),
        // A ring of three, and one that is its own parent.
        commits: vec![commit(1, 2), commit(2, 3), commit(3, 1), commit(4, 4)],
        refs: [
            "refs/changes/01/1/1",
            "refs/changes/01/1/meta",
            "refs/changes/02/2/meta",
        ]
        .iter()
        .zip([1, 2, 4])
        .map(|(name, n)| pb::GitRef {
            r#ref: (*name).into(),
            sha1: hash(n),
        })
        .collect(),
        deleted_refs: vec![],
    };
    let mutation = pb::Mutation {
        gerrit: Some(gerrit),
        ..Default::default()
    };
    let mut corpus = Corpus::new();
    corpus.apply([mutation.encode_to_vec()]).unwrap();
    let view = corpus.view();
    let [one, three, four] = [1, 3, 4].map(|n| view.git_commit(&hash(n)).unwrap());
    assert!(one.has_ancestor(&three) && one.has_ancestor(&one) && four.has_ancestor(&four));
    assert!(!one.has_ancestor(&four));
    assert_eq!(view.gerrit().project("x", "y").unwrap().cls().count(), 0);
    facts(&view);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn damaged_mutations_make_no_panic(
        case in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let dirs = vectors("disk");
        let dir = &dirs[case.index(dirs.len())];
        let mut corpus = Corpus::new();
        for segment in maintner::reclog::segments(dir).unwrap() {
            let log = fs::read(segment.path).unwrap();
            for record in maintner::reclog::Records::new(&log, 0).map_while(Result::ok) {
                let mut payload = record.payload.to_vec();
                for (at, byte) in &damage {
                    if !payload.is_empty() {
                        let at = at.index(payload.len());
                        payload[at] = *byte;
                    }
                }
                drop(corpus.apply([payload]));
            }
        }
        let view = corpus.view();
        let mut seen = 0;
        // All facts but those that the damage took the UTF-8 from.
        for cl in view.gerrit().projects().flat_map(|project| project.all_cls()) {
            for meta in cl.metas() {
                seen += meta.label_votes().len() + meta.hashtags().len() + meta.footer().len();
                seen += meta.change_message().map_or(0, |message| message.text().len());
            }
            seen += cl.subject().len() + usize::from(cl.work_in_progress()) + cl.issue_refs().count();
            seen += cl.change_id().map_or(0, str::len) + cl.owner_id().map_or(0, |_| 1);
        }
        for commit in view.commits() {
            seen += commit.files().count() + commit.parents().count() + commit.author_time().zone.len();
            seen += commit.reviewer().map_or(0, |person| person.email().len());
        }
        for issue in view.github().repos().flat_map(|repo| repo.issues()) {
            seen += issue.comments().count() + issue.events().count() + issue.body().len();
        }
        prop_assert!(seen > 0 || view.stats().records < 20);
    }
}
