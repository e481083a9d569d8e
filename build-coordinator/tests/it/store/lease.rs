//! What holds on PostgreSQL alone, where a lease takes the place of a file's lock.

use std::time::Duration;

use build_coordinator::store::{OpenStoreError, Store, StoreError};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::support::{new_build, postgres, time};

#[tokio::test]
async fn a_coordinator_waits_for_the_lease_of_another() {
    let Some(scratch) = postgres().await else {
        return;
    };
    let impatient = Store::open(scratch.config.clone()).await.unwrap_err();
    assert!(matches!(impatient, OpenStoreError::InUse { .. }));
    let patient = scratch.config.wait_for_lease(Duration::from_secs(60));
    let waiting = tokio::spawn(Store::open(patient));
    scratch
        .store
        .enqueue(time(1), new_build(1, "linux"))
        .await
        .unwrap();
    scratch.store.close().await.unwrap();
    let next = waiting.await.unwrap().unwrap();
    assert_eq!(next.unfinished().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_coordinator_that_lost_its_lease_cannot_write() {
    let Some(scratch) = postgres().await else {
        return;
    };
    let store = &scratch.store;
    let url = scratch.url.as_deref().unwrap();
    let mut outside = PgConnection::connect(url).await.unwrap();
    // As if it had been silent for longer than its lease.
    outside
        .execute("UPDATE lease SET expires = '-infinity'")
        .await
        .unwrap();
    let other = Store::open(scratch.config.clone()).await.unwrap();
    let error = store
        .enqueue(time(1), new_build(1, "linux"))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::LeaseLost), "{error}");
    assert!(other.unfinished().await.unwrap().is_empty());
    other.enqueue(time(1), new_build(1, "linux")).await.unwrap();
    // It may still look.
    assert_eq!(store.unfinished().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_tables_are_changed_by_the_holder_of_the_lease_alone() {
    let Some(scratch) = postgres().await else {
        return;
    };
    let url = scratch.url.as_deref().unwrap();
    let mut outside = PgConnection::connect(url).await.unwrap();
    // Whoever opens it now believes that no table was made yet.
    outside
        .execute("DELETE FROM _sqlx_migrations")
        .await
        .unwrap();
    let refused = Store::open(scratch.config.clone()).await.unwrap_err();
    assert!(
        matches!(refused, OpenStoreError::InUse { .. }),
        "{refused:?}"
    );
    scratch.store.close().await.unwrap();
    let allowed = Store::open(scratch.config.clone()).await.unwrap_err();
    assert!(matches!(allowed, OpenStoreError::Migrate(_)), "{allowed:?}");
}

#[tokio::test]
async fn a_lost_connection_is_replaced() {
    let Some(scratch) = postgres().await else {
        return;
    };
    let store = &scratch.store;
    let url = scratch.url.as_deref().unwrap();
    let mut outside = PgConnection::connect(url).await.unwrap();
    store.enqueue(time(1), new_build(1, "linux")).await.unwrap();
    // The connections whose last statement was about this schema's tables cannot be told from those of other tests, but the
    // one that wrote holds the lease's row for a moment: lock it, and see who waits.
    let mut transaction = outside.begin().await.unwrap();
    transaction
        .execute("UPDATE lease SET expires = expires")
        .await
        .unwrap();
    let writer = store.clone();
    let writing = tokio::spawn(async move { writer.enqueue(time(1), new_build(2, "linux")).await });
    let mut killer = PgConnection::connect(url).await.unwrap();
    loop {
        let killed = killer
            .execute(
                "SELECT pg_terminate_backend(waiting.pid) FROM pg_locks waiting \
                 WHERE NOT waiting.granted AND waiting.locktype = 'transactionid' \
                 AND pg_blocking_pids(waiting.pid) <> '{}' AND EXISTS (SELECT 1 FROM pg_locks held \
                 WHERE held.pid = ANY (pg_blocking_pids(waiting.pid)) AND held.relation = 'lease'::regclass)",
            )
            .await
            .unwrap();
        if killed.rows_affected() > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    transaction.rollback().await.unwrap();
    // Nobody can know whether the one that was interrupted was carried out; this one was not.
    assert!(matches!(
        writing.await.unwrap(),
        Err(StoreError::Database(_))
    ));
    let again = store.enqueue(time(1), new_build(2, "linux")).await.unwrap();
    assert!(again.is_new);
}
