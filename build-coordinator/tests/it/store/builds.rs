use build_coordinator::model::{
    AfterAttempt, BuildDetail, BuildId, Cause, Change, EventSeq, StepOutcome, StoredLog,
    TransitionError,
};
use build_coordinator::store::{BuildFilter, OpenStoreError, Store, StoreError};

use super::support::{Scratch, new_build, started, time};

super::on_both_databases!(
    a_build_is_what_its_events_make_of_it_also_after_opening_again,
    the_same_build_is_made_once,
    a_change_that_cannot_happen_leaves_nothing_behind,
    what_is_to_be_stored_soon_is_stored_before_what_comes_later,
    a_store_in_use_cannot_be_opened_again,
    a_feed_gives_every_event_once_and_ends_with_the_store,
    builds_are_listed_newest_first_in_pages_and_by_what_is_asked,
);

async fn a_build_is_what_its_events_make_of_it_also_after_opening_again(scratch: Scratch) {
    let store = scratch.store;
    let id = store
        .enqueue(time(1), new_build(1, "linux"))
        .await
        .unwrap()
        .build
        .id;
    let changes = vec![
        (id, started(1, "m1", store.instance())),
        (
            id,
            Change::StepStarted {
                attempt: 1,
                index: 0,
                name: "make".into(),
                log_offset: 0,
            },
        ),
        (
            id,
            Change::StepEnded {
                attempt: 1,
                index: 0,
                outcome: StepOutcome::Succeeded,
                message: String::new(),
                log_offset: 10,
            },
        ),
        (
            id,
            Change::StepStarted {
                attempt: 1,
                index: 1,
                name: "te\0st".into(),
                log_offset: 10,
            },
        ),
        (
            id,
            Change::ArtifactStored {
                attempt: 1,
                name: "out/a".into(),
                blob: "b1".into(),
                bytes: 3,
            },
        ),
    ];
    store.record_all(time(2), changes).await.unwrap();
    let lost = Change::AttemptEnded {
        attempt: 1,
        cause: Cause::LostBuildlet,
        message: "no answer".into(),
        then: AfterAttempt::TryAgain {
            not_before: time(60),
        },
    };
    store.record(id, time(3), lost).await.unwrap();
    let log = StoredLog {
        blob: "log/1.1".into(),
        bytes: 12,
        dropped: 1,
    };
    store
        .record(id, time(4), Change::LogStored { attempt: 1, log })
        .await
        .unwrap();
    store
        .record(id, time(5), started(2, "m2", store.instance()))
        .await
        .unwrap();
    let cancel = Change::CancelRequested {
        cause: Cause::Cancelled,
        by: "alice".into(),
    };
    store.record(id, time(6), cancel).await.unwrap();

    let before = store.detail(id).await.unwrap().unwrap();
    let replayed = BuildDetail::replay(&store.events(id).await.unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(before, replayed);
    assert_eq!(before.attempts[0].steps[1].name, "te st");
    assert_eq!(
        before.attempts[0].steps[1].outcome,
        Some(StepOutcome::Interrupted)
    );
    store.close().await.unwrap();

    let store = Store::open(scratch.config).await.unwrap();
    assert_eq!(store.detail(id).await.unwrap().unwrap(), before);
    assert_eq!(store.unfinished().await.unwrap(), [before.build]);
    assert_ne!(
        store.instance(),
        before.attempts[1].owner,
        "an orphan can be told"
    );
}

async fn the_same_build_is_made_once(scratch: Scratch) {
    let store = &scratch.store;
    let first = store.enqueue(time(1), new_build(1, "linux")).await.unwrap();
    let twice = vec![
        new_build(1, "linux"),
        new_build(1, "mac"),
        new_build(1, "mac"),
    ];
    let all = store.enqueue_all(time(2), twice).await.unwrap();
    assert!(first.is_new);
    assert_eq!(all[0].build, first.build);
    assert_eq!(
        [all[0].is_new, all[1].is_new, all[2].is_new],
        [false, true, false]
    );
    assert_eq!(all[1].build.id, all[2].build.id);
    assert_eq!(
        store
            .events_after(EventSeq::default(), 10)
            .await
            .unwrap()
            .len(),
        2
    );
}

async fn a_change_that_cannot_happen_leaves_nothing_behind(scratch: Scratch) {
    let store = &scratch.store;
    let id = store
        .enqueue(time(1), new_build(1, "linux"))
        .await
        .unwrap()
        .build
        .id;
    let before = store.detail(id).await.unwrap();
    let seq = store.newest_event();
    let changes = vec![(id, started(1, "m", "o")), (id, started(1, "m", "o"))];
    let error = store.record_all(time(2), changes).await.unwrap_err();
    assert!(matches!(
        error,
        StoreError::Transition(TransitionError::State { .. })
    ));
    let error = store
        .record(BuildId(99), time(2), started(1, "m", "o"))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::NoBuild(BuildId(99))));
    assert_eq!(store.detail(id).await.unwrap(), before);
    assert_eq!(store.newest_event(), seq);
}

async fn what_is_to_be_stored_soon_is_stored_before_what_comes_later(scratch: Scratch) {
    let store = &scratch.store;
    let new = store.enqueue(time(1), new_build(1, "linux")).await.unwrap();
    let id = new.build.id;
    let begin = |index| Change::StepStarted {
        attempt: 1,
        index,
        name: format!("step {index}"),
        log_offset: 0,
    };
    let end = |index| Change::StepEnded {
        attempt: 1,
        index,
        outcome: StepOutcome::Succeeded,
        message: "wi\0th".into(),
        log_offset: 0,
    };
    let run = started(1, "m", store.instance());
    store.record_soon(id, time(2), run).await.unwrap();
    for index in 0..50 {
        store.record(id, time(3), begin(index)).await.unwrap();
        store.record_soon(id, time(4), end(index)).await.unwrap();
    }
    store.record_soon(id, time(5), begin(50)).await.unwrap();
    // What did not follow on what is stored is not, and the next says so.
    store.record_soon(id, time(5), begin(50)).await.unwrap();
    store.record_soon(id, time(5), end(51)).await.unwrap();
    let error = store.record(id, time(5), end(51)).await.unwrap_err();
    assert!(matches!(error, StoreError::Transition(_)), "{error}");
    let detail = store.detail(id).await.unwrap().unwrap();
    let steps = &detail.attempts[0].steps;
    assert_eq!(steps.len(), 51);
    assert_eq!(steps[49].outcome, Some(StepOutcome::Succeeded));
    assert_eq!(steps[49].message, "wi th", "as all that is stored");
    assert_eq!(steps[50].outcome, None);
}

async fn a_store_in_use_cannot_be_opened_again(scratch: Scratch) {
    let error = Store::open(scratch.config.clone()).await.unwrap_err();
    assert!(matches!(error, OpenStoreError::InUse { .. }), "{error}");
    scratch.store.close().await.unwrap();
    let error = scratch
        .store
        .enqueue(time(1), new_build(1, "linux"))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Closed));
    Store::open(scratch.config).await.unwrap();
}

async fn a_feed_gives_every_event_once_and_ends_with_the_store(scratch: Scratch) {
    let store = &scratch.store;
    store.enqueue(time(1), new_build(0, "linux")).await.unwrap();
    let mut feed = store.follow(EventSeq::default());
    assert_eq!(feed.next().await.unwrap().unwrap().len(), 1);
    let writer = store.clone();
    let writing = tokio::spawn(async move {
        for n in 1..300 {
            writer
                .enqueue(time(1), new_build(n, "linux"))
                .await
                .unwrap();
        }
    });
    let mut seen = Vec::new();
    while seen.len() < 299 {
        seen.extend(feed.next().await.unwrap().unwrap());
    }
    writing.await.unwrap();
    assert!(seen.is_sorted_by(|a, b| a.seq < b.seq));
    store.close().await.unwrap();
    assert_eq!(feed.next().await.unwrap(), None);
}

async fn builds_are_listed_newest_first_in_pages_and_by_what_is_asked(scratch: Scratch) {
    let store = &scratch.store;
    for n in 1..=5 {
        store.enqueue(time(1), new_build(n, "linux")).await.unwrap();
        store.enqueue(time(1), new_build(n, "ma%c")).await.unwrap();
    }
    let ids = |page: &build_coordinator::store::BuildPage| {
        page.builds
            .iter()
            .map(|row| row.build.id.0)
            .collect::<Vec<_>>()
    };
    let filter = BuildFilter::default().builder("linux");
    let page = store.builds(&filter, 3).await.unwrap();
    assert_eq!(ids(&page), [9, 7, 5]);
    let page = store
        .builds(&filter.before(page.next.unwrap()), 3)
        .await
        .unwrap();
    assert_eq!((ids(&page), page.next), (vec![3, 1], None));
    for (text, count) in [("LINUX", 5), ("a%C", 5), ("a_c", 0), ("main", 10), ("'", 0)] {
        let page = store
            .builds(&BuildFilter::default().text(text), 100)
            .await
            .unwrap();
        assert_eq!(page.builds.len(), count, "{text}");
    }
    let five = format!("{:040x}", 5);
    for filter in [
        BuildFilter::default().text(five.clone()),
        BuildFilter::default().revision(&five.parse().unwrap()),
        BuildFilter::default()
            .text(&five[..40])
            .done(false)
            .branch("main")
            .repository("tools"),
    ] {
        assert_eq!(ids(&store.builds(&filter, 100).await.unwrap()), [10, 9]);
    }
    assert!(
        store
            .builds(&BuildFilter::default().done(true), 9)
            .await
            .unwrap()
            .builds
            .is_empty()
    );
    let failed = BuildFilter::default().cause(Cause::Failed);
    assert!(store.builds(&failed, 9).await.unwrap().builds.is_empty());
}
