use build_coordinator::blobs::{BlobError, BlobName};

use super::support::{FakePool, Place, builder};

#[tokio::test]
async fn old_builds_go_with_their_logs_and_are_only_counted_when_asked_so() {
    let keep = "[retention]\nbuilds = 1\n";
    let place = Place::new(&(builder("test", "", "cat version") + keep));
    let system = place.start(&FakePool::new(1)).await;
    system.done(1).await;
    for (count, version) in [(2, "2"), (3, "3")] {
        place.commit(version);
        system.coordinator.look_now();
        system.done(count).await;
    }
    let before = system.builds().await;
    let bytes: u64 = before[..2]
        .iter()
        .map(|build| build.attempts[0].log.as_ref().unwrap().bytes)
        .sum();
    let would = system.coordinator.prune(true).await.unwrap();
    assert_eq!((would.builds, would.bytes), (2, bytes));
    assert_eq!(would.newest, before[1].build.ended);
    assert_eq!(system.builds().await.len(), 3);

    assert_eq!(system.coordinator.prune(false).await.unwrap(), would);
    let left = system.builds().await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].build.id, before[2].build.id);
    assert!(system.log(&left[0], 0).await.ends_with('3'));
    let gone: BlobName = before[0].attempts[0]
        .log
        .as_ref()
        .unwrap()
        .blob
        .parse()
        .unwrap();
    let read = system.coordinator.logs().read(&gone, 0..1).await;
    assert!(matches!(read, Err(BlobError::NotFound(_))), "{read:?}");
    assert_eq!(system.coordinator.prune(false).await.unwrap().builds, 0);
    // What is gone is not found again.
    system.coordinator.look_now();
    system
        .coordinator
        .enqueue("site", "main", None, "test")
        .await
        .unwrap();
    assert_eq!(system.builds().await.len(), 1);
    system.coordinator.stop().await;
}
