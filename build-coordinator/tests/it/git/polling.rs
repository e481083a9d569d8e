use build_coordinator::git::{Found, GitConfig, Poll, PollPlan};
use build_coordinator::model::{Branch, Timestamp};
use build_coordinator::store::{Store, StoreConfig};

use super::support::{Workshop, found, script};

#[tokio::test]
async fn the_newest_commit_of_each_branch_comes_first_then_history_in_turns() {
    let workshop = Workshop::new();
    for n in 1..=4 {
        workshop.commit("a", &n.to_string(), &format!("main {n}"));
    }
    workshop.git(["checkout", "--quiet", "-b", "release-1"]);
    workshop.commit("a", "r", "release");
    let cache = workshop.cache().await;
    let plan = PollPlan::default().history(2);
    let poll = cache.poll(&[], &plan).await.unwrap();
    assert_eq!(
        subjects(&poll),
        ["main 4", "release", "main 3", "main 4", "main 2", "main 3"]
    );
    let heads: Vec<_> = poll.found.iter().filter(|found| found.is_head).collect();
    assert_eq!(heads.len(), 2);
    assert_eq!(poll.updates[0].newer.len(), 3);
    assert!(poll.updates[0].newer[2].subject == "main 4", "oldest first");

    let only = PollPlan::default().branches(["release-*"]);
    assert_eq!(
        subjects(&cache.poll(&[], &only).await.unwrap()),
        ["release"]
    );
    assert_eq!(
        cache.default_branch().await.unwrap().as_deref(),
        Some("release-1")
    );
}

#[tokio::test]
async fn a_commit_that_no_branch_has_is_fetched_when_asked_for() {
    let workshop = Workshop::new();
    let kept = workshop.commit("a", "1", "one");
    workshop.git(["checkout", "--quiet", "--detach"]);
    let detached = workshop.commit("a", "2", "two");
    let blob = workshop.git(["rev-parse", "HEAD:a"]).parse().unwrap();
    let cache = workshop.cache().await;
    cache.fetch().await.unwrap();
    let name = detached.to_string();
    assert_eq!(found(&cache, &name).await, None);
    assert!(cache.fetch_commit(&detached).await.unwrap());
    assert_eq!(found(&cache, &name).await, Some(detached.clone()));
    // It stays, and is no branch.
    cache.fetch().await.unwrap();
    cache.archive(&detached).await.unwrap();
    let branches = cache.branches().await.unwrap();
    assert_eq!(branches.len(), 1);
    assert_eq!(branches[0].revision, kept);
    let nothing = "0123456789012345678901234567890123456789".parse().unwrap();
    assert!(!cache.fetch_commit(&nothing).await.unwrap());
    let _ = cache.fetch_commit(&blob).await;
    assert_eq!(found(&cache, blob.as_ref()).await, None);
}

#[tokio::test]
async fn a_second_look_finds_only_what_is_new() {
    let workshop = Workshop::new();
    workshop.commit("a", "1", "one");
    let cache = workshop.cache().await;
    let store = Store::open(StoreConfig::sqlite(workshop.path().join("db")))
        .await
        .unwrap();
    let plan = PollPlan::default();
    let look = async || {
        let known: Vec<Branch> = store.branches("tools").await.unwrap();
        let poll = cache.poll(&known, &plan).await.unwrap();
        for update in poll.updates.clone() {
            store.update_branch(Timestamp::now(), update).await.unwrap();
        }
        for branch in &poll.removed {
            store.remove_branch("tools", branch).await.unwrap();
        }
        subjects(&poll)
    };
    assert_eq!(look().await, ["one"]);
    assert_eq!(look().await, [""; 0]);
    workshop.commit("a", "2", "two");
    workshop.commit("a", "3", "three");
    assert_eq!(look().await, ["three", "two"]);

    // History is rewritten, and a branch comes and goes.
    workshop.git(["reset", "--quiet", "--hard", "HEAD~1"]);
    workshop.commit("a", "4", "four");
    workshop.git(["branch", "topic"]);
    assert_eq!(look().await, ["four", "four"]);
    let on_main = async || {
        let grid = store.grid("tools", "main", None, 10).await.unwrap();
        grid.rows
            .iter()
            .map(|row| row.commit.subject.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(on_main().await, ["four", "two", "one"]);
    workshop.git(["branch", "--quiet", "-D", "topic"]);
    assert_eq!(look().await, [""; 0]);
    assert_eq!(store.branches("tools").await.unwrap().len(), 1);
    // Back to an older commit.
    workshop.git(["reset", "--quiet", "--hard", "HEAD~2"]);
    assert_eq!(look().await, [""; 0]);
    assert_eq!(on_main().await, ["one"]);
}

#[tokio::test]
async fn more_history_is_looked_for_when_more_is_asked_for() {
    let workshop = Workshop::new();
    for n in 1..=5 {
        workshop.commit("a", &n.to_string(), &n.to_string());
    }
    let cache = workshop.cache().await;
    let store = Store::open(StoreConfig::sqlite(workshop.path().join("db")))
        .await
        .unwrap();
    let look = async |history| {
        let known = store.branches("tools").await.unwrap();
        let plan = PollPlan::default().history(history);
        let poll = cache.poll(&known, &plan).await.unwrap();
        for update in poll.updates.clone() {
            store.update_branch(Timestamp::now(), update).await.unwrap();
        }
        assert!(
            poll.found
                .iter()
                .all(|found| found.is_head == (found.commit.subject == "5"))
        );
        subjects(&poll)
    };
    assert_eq!(look(1).await, ["5", "4"]);
    assert_eq!(look(1).await, [""; 0]);
    assert_eq!(
        look(3).await,
        ["4", "3", "2"],
        "a build of 4 is there already"
    );
    for less in [3, 0, 2] {
        assert_eq!(look(less).await, [""; 0]);
    }
    // More than there is is looked for once.
    assert_eq!(look(9).await, ["4", "3", "2", "1"]);
    assert_eq!(look(9).await, [""; 0]);
    let grid = store.grid("tools", "main", None, 10).await.unwrap();
    let subjects = grid.rows.iter().map(|row| row.commit.subject.as_str());
    assert_eq!(subjects.collect::<Vec<_>>(), ["5", "4", "3", "2", "1"]);
}

#[tokio::test]
async fn a_branch_whose_old_commit_is_gone_is_seen_as_it_is_now() {
    let workshop = Workshop::new();
    workshop.commit("a", "1", "one");
    let cache = workshop.cache().await;
    let known = known_branch("0123456789abcdef0123456789abcdef01234567");
    let poll = cache.poll(&known, &PollPlan::default()).await.unwrap();
    assert_eq!(subjects(&poll), ["one"]);
    assert!(poll.updates[0].removed.is_empty());
}

#[tokio::test]
async fn a_commit_is_found_by_branch_or_digits() {
    let workshop = Workshop::new();
    let one = workshop.commit("a", "1", "one");
    let two = workshop.commit("a", "2", "two");
    workshop.git(["branch", "feature/x"]);
    let cache = workshop.cache().await;
    cache.fetch().await.unwrap();
    for (text, expected) in [
        ("main", Some(&two)),
        ("feature/x", Some(&two)),
        (one.as_str(), Some(&one)),
        (&one.as_str()[..7], Some(&one)),
        (&one.as_str()[..6], None),
        ("0123456789", None),
        ("HEAD", None),
        ("main~1", None),
        ("--all", None),
        ("", None),
    ] {
        assert_eq!(found(&cache, text).await.as_ref(), expected, "{text}");
    }
}

#[tokio::test]
#[cfg(unix)]
async fn between_fetches_asking_for_a_commit_starts_one_git() {
    let workshop = Workshop::new();
    let one = workshop.commit("a", "1", "one");
    let log = workshop.path().join("started");
    let noting = format!("echo \"$3\" >>{}; exec git \"$@\"", log.display());
    let program = script(workshop.path(), &noting);
    let cache = workshop
        .cache_with(GitConfig::default().program(program))
        .await;
    cache.fetch().await.unwrap();
    let since = || {
        let text = std::fs::read_to_string(&log).unwrap();
        std::fs::write(&log, "").unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    since();
    assert_eq!(found(&cache, "main").await, Some(one.clone()));
    assert_eq!(since(), ["for-each-ref", "cat-file"]);
    for text in ["main", one.as_str(), &one.as_str()[..9]] {
        assert_eq!(found(&cache, text).await.as_ref(), Some(&one), "{text}");
        assert_eq!(since(), ["cat-file"]);
    }
    let two = workshop.commit("a", "2", "two");
    assert_eq!(found(&cache, "main").await, Some(one));
    cache.fetch().await.unwrap();
    assert_eq!(found(&cache, "main").await, Some(two));
}

fn subjects(poll: &Poll) -> Vec<String> {
    let subject = |found: &Found| found.commit.subject.clone();
    poll.found.iter().map(subject).collect()
}

/// What a store says of a branch `main` at `revision`.
fn known_branch(revision: &str) -> Vec<Branch> {
    let json = format!(
        r#"[{{"repository": "tools", "name": "main", "head": "{revision}", "updated": "2026-01-01T00:00:00Z"}}]"#
    );
    serde_json::from_str(&json).unwrap()
}
