use build_coordinator::model::{BranchUpdate, BuildState, Cause, Commit, Revision};
use build_coordinator::store::{BuildFilter, Grid, StoreError};

use super::support::{Scratch, ended, new_build, started, time};

super::on_both_databases!(
    the_dashboard_shows_commits_newest_first_with_their_builds,
    a_branch_that_was_rewritten_shows_what_is_on_it_now,
    a_hostile_commit_is_text,
    an_update_of_a_branch_is_bounded,
    more_history_goes_behind_what_is_known,
);

async fn the_dashboard_shows_commits_newest_first_with_their_builds(scratch: Scratch) {
    let store = &scratch.store;
    store
        .update_branch(time(1), update("main", 3, &[1, 2, 3], &[]))
        .await
        .unwrap();
    // History comes later, and in parts.
    store
        .update_branch(time(2), update("main", 4, &[4], &[103, 102]))
        .await
        .unwrap();
    store
        .update_branch(time(3), update("main", 4, &[], &[101]))
        .await
        .unwrap();
    let id = store
        .enqueue(time(4), new_build(2, "linux"))
        .await
        .unwrap()
        .build
        .id;
    store.enqueue(time(4), new_build(2, "mac")).await.unwrap();
    store
        .enqueue(time(4), new_build(101, "linux"))
        .await
        .unwrap();
    store
        .record(id, time(5), started(1, "m", "o"))
        .await
        .unwrap();
    store
        .record(id, time(6), ended(1, Cause::Failed))
        .await
        .unwrap();

    let grid = store.grid("tools", "main", None, 4).await.unwrap();
    assert_eq!(numbers(&grid), [4, 3, 2, 1]);
    let cells = &grid.rows[2].cells;
    assert_eq!([&cells[0].builder, &cells[1].builder], ["linux", "mac"]);
    let failed = BuildState::Done {
        cause: Cause::Failed,
    };
    assert_eq!((cells[0].state, cells[0].ended), (failed, Some(time(6))));
    assert_eq!(cells[1].state, BuildState::Queued { not_before: None });
    assert!(grid.rows[0].cells.is_empty());
    let grid = store.grid("tools", "main", grid.next, 4).await.unwrap();
    assert_eq!((numbers(&grid), grid.next), (vec![103, 102, 101], None));
    assert_eq!(grid.rows[2].cells.len(), 1);
    let second = store.grid_behind("tools", "main", 4).await.unwrap();
    assert_eq!(store.grid("tools", "main", second, 4).await.unwrap(), grid);
    let first = store.grid_behind("tools", "main", 0).await.unwrap();
    let first = store.grid("tools", "main", first, 1).await.unwrap();
    assert_eq!(first, store.grid("tools", "main", None, 1).await.unwrap());
    assert_eq!(store.grid_behind("tools", "main", 8).await.unwrap(), None);

    let branches = store.branches("tools").await.unwrap();
    assert_eq!(
        (branches[0].head.clone(), branches[0].updated),
        (revision(4), time(3))
    );
    let page = store
        .builds(&BuildFilter::default().text("commit 2"), 10)
        .await
        .unwrap();
    assert_eq!(page.builds.len(), 2);
    assert_eq!(page.builds[0].subject.as_deref(), Some("commit 2"));
    assert!(
        store
            .grid("tools", "dev", None, 4)
            .await
            .unwrap()
            .rows
            .is_empty()
    );
}

async fn a_branch_that_was_rewritten_shows_what_is_on_it_now(scratch: Scratch) {
    let store = &scratch.store;
    store
        .update_branch(time(1), update("main", 3, &[1, 2, 3], &[]))
        .await
        .unwrap();
    store
        .update_branch(time(1), update("other", 3, &[1, 2, 3], &[]))
        .await
        .unwrap();
    let rewritten = BranchUpdate {
        removed: vec![revision(2), revision(3)],
        ..update("main", 3, &[5, 3], &[])
    };
    store.update_branch(time(2), rewritten).await.unwrap();
    let grid = store.grid("tools", "main", None, 10).await.unwrap();
    assert_eq!(numbers(&grid), [3, 5, 1]);
    let grid = store.grid("tools", "other", None, 10).await.unwrap();
    assert_eq!(numbers(&grid), [3, 2, 1]);
    assert!(
        store.commit("tools", &revision(2)).await.unwrap().is_some(),
        "it is not forgotten"
    );
    store.remove_branch("tools", "other").await.unwrap();
    assert_eq!(store.branches("tools").await.unwrap().len(), 1);
    assert!(
        store
            .grid("tools", "other", None, 10)
            .await
            .unwrap()
            .rows
            .is_empty()
    );
}

async fn more_history_goes_behind_what_is_known(scratch: Scratch) {
    let store = &scratch.store;
    let first = update("main", 5, &[4, 5], &[]);
    store.update_branch(time(1), first).await.unwrap();
    assert_eq!(store.branches("tools").await.unwrap()[0].history, 0);
    let more = BranchUpdate {
        history: 3,
        ..update("main", 5, &[], &[4, 3, 2])
    };
    store.update_branch(time(2), more).await.unwrap();
    let newer = update("main", 6, &[6], &[]);
    store.update_branch(time(3), newer).await.unwrap();
    let grid = store.grid("tools", "main", None, 10).await.unwrap();
    assert_eq!(numbers(&grid), [6, 5, 4, 3, 2]);
    assert_eq!(store.branches("tools").await.unwrap()[0].history, 3);
}

async fn a_hostile_commit_is_text(scratch: Scratch) {
    let store = &scratch.store;
    let mut hostile = commit(1);
    hostile.subject = "'); DROP TABLE builds; -- $1 \0 <script>".into();
    hostile.author_name = "ä".repeat(1000);
    let update = BranchUpdate {
        newer: vec![hostile],
        ..update("'--", 1, &[], &[])
    };
    store.update_branch(time(1), update).await.unwrap();
    let stored = store.commit("tools", &revision(1)).await.unwrap().unwrap();
    assert_eq!(stored.subject, "'); DROP TABLE builds; -- $1   <script>");
    assert_eq!(stored.author_name, "ä".repeat(256));
    let grid = store.grid("tools", "'--", None, 10).await.unwrap();
    assert_eq!(numbers(&grid), [1]);
}

async fn an_update_of_a_branch_is_bounded(scratch: Scratch) {
    let many: Vec<u64> = (0..10_001).collect();
    let error = scratch
        .store
        .update_branch(time(1), update("main", 1, &many, &[]))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }));
    let error = scratch
        .store
        .update_branch(time(1), update("", 1, &[1], &[]))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Name { .. }));
}

fn numbers(grid: &Grid) -> Vec<u64> {
    grid.rows
        .iter()
        .map(|row| u64::from_str_radix(&row.commit.revision.as_str()[20..], 16).unwrap())
        .collect()
}

fn update(branch: &str, head: u64, newer: &[u64], older: &[u64]) -> BranchUpdate {
    BranchUpdate {
        repository: "tools".into(),
        branch: branch.into(),
        head: revision(head),
        removed: Vec::new(),
        newer: newer.iter().copied().map(commit).collect(),
        older: older.iter().copied().map(commit).collect(),
        history: 0,
    }
}

fn revision(n: u64) -> Revision {
    format!("{n:040x}").parse().unwrap()
}

fn commit(n: u64) -> Commit {
    Commit {
        revision: revision(n),
        parents: vec![revision(n + 1000), revision(n + 2000)],
        author_name: "Alice".into(),
        author_email: "alice@example.com".into(),
        committed: time(i64::try_from(n).unwrap()),
        subject: format!("commit {n}"),
        body: "why\n".into(),
    }
}
