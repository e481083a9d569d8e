use build_coordinator::model::{BuildId, Cause, Change, StoredLog};
use build_coordinator::store::{BuildFilter, KeepLimits, Store};

use super::support::{Scratch, ended, new_build, started, time};

super::on_both_databases!(
    what_is_beyond_any_limit_goes_and_the_newest_of_each_branch_stays,
    a_build_that_is_forgotten_leaves_nothing_and_its_number_is_not_used_again,
);

/// A build that was done at that second, with so many bytes of log.
async fn done(store: &Store, n: u64, builder: &str, second: i64, bytes: u64) -> BuildId {
    let added = store.enqueue(time(1), new_build(n, builder)).await.unwrap();
    let id = added.build.id;
    let log = StoredLog {
        blob: format!("logs/{id}/1.gz"),
        bytes,
        dropped: 0,
    };
    let changes = [
        started(1, "m", store.instance()),
        Change::LogStored { attempt: 1, log },
        ended(1, Cause::Succeeded),
    ];
    for change in changes {
        store.record(id, time(second), change).await.unwrap();
    }
    id
}

const ALL: KeepLimits = KeepLimits {
    ended_before: build_coordinator::model::Timestamp::EPOCH,
    builds: None,
    bytes: None,
};

async fn what_is_beyond_any_limit_goes_and_the_newest_of_each_branch_stays(scratch: Scratch) {
    let store = &scratch.store;
    let mut ids = Vec::new();
    for n in 1..=5 {
        ids.push(done(store, n, "linux", 100 + i64::try_from(n).unwrap(), 10).await);
    }
    let only = done(store, 1, "mac", 50, 1000).await;
    let waits = store
        .enqueue(time(1), new_build(9, "arm"))
        .await
        .unwrap()
        .build
        .id;
    let prunable = async |limits: KeepLimits| {
        let found = store.prunable(&limits, 100).await.unwrap();
        found.into_iter().map(|one| one.build).collect::<Vec<_>>()
    };
    assert_eq!(prunable(ALL).await, []);
    let old = KeepLimits {
        ended_before: time(103),
        ..ALL
    };
    assert_eq!(prunable(old).await, ids[..2]);
    let few = KeepLimits {
        builds: Some(2),
        ..ALL
    };
    assert_eq!(prunable(few).await, ids[..3]);
    let small = KeepLimits {
        bytes: Some(35),
        ..ALL
    };
    assert_eq!(prunable(small).await, ids[..2]);
    let nothing = KeepLimits {
        builds: Some(0),
        bytes: Some(0),
        ended_before: time(1000),
    };
    let found = store.prunable(&nothing, 3).await.unwrap();
    assert_eq!(
        (found.len(), found[0].ended, found[0].bytes),
        (3, time(101), 10)
    );
    assert_eq!(prunable(nothing).await, ids[..4], "{only} and {waits} stay");
    store.close().await.unwrap();
}

async fn a_build_that_is_forgotten_leaves_nothing_and_its_number_is_not_used_again(
    scratch: Scratch,
) {
    let store = &scratch.store;
    let id = done(store, 1, "linux", 10, 5).await;
    let waits = store
        .enqueue(time(1), new_build(2, "linux"))
        .await
        .unwrap()
        .build
        .id;
    let newest = store.newest_event();
    assert_eq!(
        store
            .forget_builds(vec![id, waits, BuildId(4711)])
            .await
            .unwrap(),
        1
    );
    assert!(store.detail(id).await.unwrap().is_none());
    assert!(store.events(id).await.unwrap().is_empty());
    let retried = store
        .record(id, time(20), Change::Retried { by: "a".into() })
        .await;
    assert!(retried.is_err(), "{retried:?}");
    let page = store.builds(&BuildFilter::default(), 10).await.unwrap();
    assert_eq!(page.builds.len(), 1);
    let again = store
        .enqueue(time(30), new_build(1, "linux"))
        .await
        .unwrap();
    assert!(again.is_new && again.build.id > waits);
    assert!(store.newest_event() > newest);
    store.close().await.unwrap();
}
