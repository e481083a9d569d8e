//! The queries that are measured: those of `interop/cmd/gomaintner/measure.go`, and the same answers.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use maintner::{Cl, Commit, View};
use serde_json::{Map, Value, json};

/// How many issues, changes and commits are looked up.
const SAMPLES: usize = 1000;
/// A query is repeated so often at least, and so long.
const PASSES: usize = 5;
const REPEATS: Duration = Duration::from_millis(200);

/// What each query is called in the tables, by its name in the objects that both programs print.
pub(super) const QUERIES: [(&str, &str); 8] = [
    ("open_cls", "all open changes"),
    ("votes_of_open_cls", "votes of the open changes"),
    ("subjects_of_open_cls", "subjects of the open changes"),
    (
        "has_ancestor",
        "has-ancestor: of each branch, its oldest commit and one that is none",
    ),
    ("issues_by_label", "issues with a label"),
    ("comments_of_issues", "comments of 1000 issues"),
    ("cls_by_number", "1000 changes by number"),
    ("commits_by_hash", "1000 commits by hash"),
];

/// Answers all of them: the median time of each, and its answer.
pub(super) fn run(view: &View) -> anyhow::Result<Map<String, Value>> {
    let mut open: Vec<Cl<'_>> = open_cls(view).collect();
    open.sort_by_key(Cl::number);
    let count = open.len().min(SAMPLES);
    let some: Vec<_> = (0..count).map(|at| open[at * open.len() / count]).collect();
    let commits = some.iter().filter_map(Cl::commit);
    let hashes: Vec<String> = commits.map(|commit| commit.hash().to_string()).collect();
    let repo = view.github().repo("golang", "go");
    let repo = repo.context("the log has no issues")?;
    let last = repo.issues().next_back().map_or(0, |issue| issue.number());
    let branches: Vec<_> = view
        .gerrit()
        .projects()
        .filter_map(|project| {
            let head = view.commit(&project.reference("refs/heads/master")?)?;
            Some((head, root(head)))
        })
        .collect();

    let mut times = Map::new();
    let mut timed = |name: &str, query: &mut dyn FnMut() -> usize| {
        let mut nanos = Vec::new();
        let mut answer = 0;
        let began = Instant::now();
        while nanos.len() < PASSES || began.elapsed() < REPEATS {
            let start = Instant::now();
            answer = black_box(query());
            nanos.push(start.elapsed().as_nanos() as u64);
        }
        nanos.sort_unstable();
        let nanos = nanos[nanos.len() / 2];
        times.insert(name.to_owned(), json!({"nanos": nanos, "answer": answer}));
    };
    let mut list = Vec::new();
    timed("open_cls", &mut || {
        list.clear();
        list.extend(open_cls(view));
        list.len()
    });
    timed("votes_of_open_cls", &mut || {
        let newest = open.iter().filter_map(Cl::meta);
        newest.map(|meta| meta.label_votes().len()).sum()
    });
    timed("subjects_of_open_cls", &mut || {
        open.iter().map(|cl| cl.subject().trim().len()).sum()
    });
    timed("has_ancestor", &mut || {
        let mut count = 0;
        for (at, (head, root)) in branches.iter().enumerate() {
            // Of another project, so that all commits are looked at.
            let (_, other) = &branches[(at + 1) % branches.len()];
            count += usize::from(head.has_ancestor(root)) + usize::from(head.has_ancestor(other));
        }
        count
    });
    timed("issues_by_label", &mut || {
        let issues = view.github().repos().flat_map(|repo| repo.issues());
        issues
            .filter(|issue| issue.has_label("NeedsInvestigation"))
            .count()
    });
    timed("comments_of_issues", &mut || {
        (0..SAMPLES as i64)
            .map(|at| 1 + at * i64::from(last) / SAMPLES as i64)
            .filter_map(|number| repo.issue(i32::try_from(number).ok()?))
            .flat_map(|issue| issue.comments())
            .map(|comment| comment.body().len())
            .sum()
    });
    timed("cls_by_number", &mut || {
        some.iter()
            .filter_map(|cl| cl.project().cl(cl.number()))
            .map(|cl| cl.version() as usize)
            .sum()
    });
    timed("commits_by_hash", &mut || {
        hashes
            .iter()
            .filter_map(|hash| view.git_commit(hash))
            .map(|commit| commit.parents().count())
            .sum()
    });
    Ok(times)
}

pub(super) fn open_cls(view: &View) -> impl Iterator<Item = Cl<'_>> {
    view.gerrit()
        .projects()
        .flat_map(|project| project.open_cls())
}

/// The oldest that is reached over first parents.
fn root(commit: Commit<'_>) -> Commit<'_> {
    let mut root = commit;
    while let Some(parent) = root.parents().next() {
        root = parent;
    }
    root
}
