use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use build_coordinator::model::{BuildDetail, BuildId, Change, EventSeq, StepOutcome, Timestamp};
use build_coordinator::store::{Store, StoreConfig};

use super::support::{new_build, started};

/// The variable that makes this program write to the database that it names until it is killed.
const WRITE_TO: &str = "BUILD_COORDINATOR_TEST_WRITE_TO";

/// Half of [`a_killed_writer_leaves_whole_transactions_and_all_that_it_was_promised`]; does nothing by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(WRITE_TO) else {
        return;
    };
    let store = Store::open(StoreConfig::sqlite(path)).await.unwrap();
    let first = store.newest_event().0;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let store = store.clone();
        writers.spawn(async move {
            for n in 0.. {
                let number = first * 1000 + n;
                let new = new_build(number, &format!("builder{writer}"));
                let id = store.enqueue(Timestamp::now(), new).await.unwrap().build.id;
                let step = |change| (id, change);
                let changes = vec![
                    step(started(1, "m", store.instance())),
                    step(Change::StepStarted {
                        attempt: 1,
                        index: 0,
                        name: "a".into(),
                        log_offset: 0,
                    }),
                    step(Change::StepEnded {
                        attempt: 1,
                        index: 0,
                        outcome: StepOutcome::Succeeded,
                        message: String::new(),
                        log_offset: 5,
                    }),
                ];
                let recorded = store.record_all(Timestamp::now(), changes).await.unwrap();
                // A promise: this much is there, whatever happens to us.
                println!("\npromised {} {}", id, recorded.last().unwrap().seq);
            }
        });
    }
    writers.join_all().await;
}

#[tokio::test]
async fn a_killed_writer_leaves_whole_transactions_and_all_that_it_was_promised() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("coordinator.db");
    let mut promised = BTreeMap::new();
    for round in 0..4_u64 {
        // At another moment each time.
        let after = Duration::from_millis(20 + round * round * 37);
        promised.extend(write_and_kill(&path, after).await);
        let store = Store::open(StoreConfig::sqlite(&path)).await.unwrap();
        for (build, seq) in &promised {
            let events = store.events(*build).await.unwrap();
            assert_eq!(events.last().map(|event| event.seq), Some(*seq));
        }
        let mut builds = 0;
        for build in store.unfinished().await.unwrap() {
            let events = store.events(build.id).await.unwrap();
            assert!(
                events.len() == 1 || events.len() == 4,
                "three changes were one transaction"
            );
            let replayed = BuildDetail::replay(&events).unwrap();
            assert_eq!(store.detail(build.id).await.unwrap(), replayed);
            builds += 1;
        }
        assert!(builds >= promised.len());
        store.close().await.unwrap();
    }
    assert!(!promised.is_empty());
}

/// Starts a writer, kills it a while after its first promise, and returns its promises.
async fn write_and_kill(path: &Path, after: Duration) -> Vec<(BuildId, EventSeq)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store::crash::writes_until_it_is_killed",
            "--nocapture",
        ])
        .env(WRITE_TO, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (first, seen) = tokio::sync::oneshot::channel();
    let reading = tokio::task::spawn_blocking(move || {
        let mut promises = Vec::new();
        let mut first = Some(first);
        // The last line may have been cut off by the kill.
        for line in output.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            let mut words = line.split(' ');
            if words.next() != Some("promised") {
                continue;
            }
            if let (Some(build), Some(seq)) = (words.next(), words.next())
                && let (Ok(build), Ok(seq)) = (build.parse::<BuildId>(), seq.parse())
            {
                promises.push((build, EventSeq(seq)));
            }
            if let Some(first) = first.take() {
                let _ = first.send(());
            }
        }
        promises
    });
    seen.await.expect("the writer promises something");
    tokio::time::sleep(after).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let mut promises = reading.await.unwrap();
    promises.pop();
    promises
}
