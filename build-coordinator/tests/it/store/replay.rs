use build_coordinator::model::{
    AfterAttempt, BuildDetail, BuildId, Cause, Change, EventSeq, StepOutcome, StoredLog,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::support::{Scratch, new_build, time};

super::on_both_databases!(the_tables_are_what_the_events_make_of_them_whatever_happens);

async fn the_tables_are_what_the_events_make_of_them_whatever_happens(scratch: Scratch) {
    let store = &scratch.store;
    // A runner of its own: proptest's macro does not await. What fails is shown with its changes; it is not shrunk.
    let mut runner = TestRunner::deterministic();
    let changes = proptest::collection::vec((0_usize..3, change()), 1..120);
    let mut happened = 0;
    for round in 0..20_u64 {
        let changes = changes.new_tree(&mut runner).unwrap().current();
        let new = (0..3).map(|n| new_build(round * 3 + n, "linux")).collect();
        let enqueued = store.enqueue_all(time(0), new).await.unwrap();
        let ids: Vec<BuildId> = enqueued.iter().map(|enqueued| enqueued.build.id).collect();
        let mut model: Vec<BuildDetail> = Vec::new();
        for id in &ids {
            model.push(store.detail(*id).await.unwrap().unwrap());
        }
        let mut batch = Vec::new();
        for (n, (build, change)) in changes.iter().enumerate() {
            let at = time(i64::try_from(n).unwrap());
            let change = fitted(change, &model[*build]);
            let expected = model[*build].apply(at, &change);
            let stored = store.record(ids[*build], at, change.clone()).await;
            assert_eq!(stored.is_ok(), expected.is_ok(), "{change:?}: {stored:?}");
            if let Ok(stored) = stored {
                assert_eq!(stored.build, model[*build].build);
                batch.push((ids[*build], change));
            }
        }
        for (id, model) in ids.iter().zip(&model) {
            let stored = store.detail(*id).await.unwrap().unwrap();
            assert_eq!(&stored, model, "{changes:?}");
            let events = store.events(*id).await.unwrap();
            assert_eq!(BuildDetail::replay(&events).unwrap().as_ref(), Some(model));
        }

        // The same changes of other builds at once, in one transaction.
        let new = (0..3).map(|n| new_build(round * 3 + n, "mac")).collect();
        let others: Vec<BuildId> = store
            .enqueue_all(time(0), new)
            .await
            .unwrap()
            .iter()
            .map(|enqueued| enqueued.build.id)
            .collect();
        let other = |id: BuildId| others[ids.iter().position(|known| *known == id).unwrap()];
        let batch: Vec<_> = batch
            .into_iter()
            .map(|(id, change)| (other(id), change))
            .collect();
        let before = store.newest_event();
        store.record_all(time(99), batch.clone()).await.unwrap();
        let events = store.events_after(before, 1000).await.unwrap();
        assert_eq!(events.len(), batch.len());
        happened += batch.len();
        for id in &others {
            let events = store.events(*id).await.unwrap();
            let replayed = BuildDetail::replay(&events).unwrap();
            assert_eq!(store.detail(*id).await.unwrap(), replayed);
        }
    }
    assert!(
        happened > 100,
        "most of what was tried cannot happen: {happened}"
    );
    let all = store.events_after(EventSeq::default(), 1000).await.unwrap();
    assert!(all.is_sorted_by(|a, b| a.seq < b.seq));
}

/// Any change, with small numbers that often fit.
fn change() -> impl Strategy<Value = Change> {
    let attempt = 1_u32..4;
    let text = "[a-z\\x00ä]{0,4}";
    prop_oneof![
        3 => attempt.clone().prop_map(|attempt| Change::AttemptStarted {
            attempt,
            machine: "m".into(),
            owner: "o".into(),
        }),
        1 => (attempt.clone(), text).prop_map(|(attempt, message)| Change::MachineAwaited {
            attempt,
            until: time(77),
            message,
        }),
        1 => attempt.clone().prop_map(|attempt| Change::AttemptAdopted { attempt, owner: "p".into() }),
        3 => (attempt.clone(), 0_u32..3, text).prop_map(|(attempt, index, name)| Change::StepStarted {
            attempt,
            index,
            name,
            log_offset: 7,
        }),
        3 => (attempt.clone(), 0_u32..3, 0_usize..6, text).prop_map(|(attempt, index, outcome, message)| {
            Change::StepEnded {
                attempt,
                index,
                outcome: StepOutcome::ALL[outcome],
                message,
                log_offset: 9,
            }
        }),
        1 => (attempt.clone(), text).prop_map(|(attempt, name)| Change::ArtifactStored {
            attempt,
            name,
            blob: "b".into(),
            bytes: 3,
        }),
        1 => attempt.clone().prop_map(|attempt| Change::LogStored {
            attempt,
            log: StoredLog { blob: "l".into(), bytes: 5, dropped: 1 },
        }),
        1 => (0_usize..10, text).prop_map(|(cause, by)| Change::CancelRequested { cause: Cause::ALL[cause], by }),
        3 => (attempt, 0_usize..10, text, any::<bool>()).prop_map(|(attempt, cause, message, again)| {
            Change::AttemptEnded {
                attempt,
                cause: Cause::ALL[cause],
                message,
                then: if again { AfterAttempt::TryAgain { not_before: time(5) } } else { AfterAttempt::Done },
            }
        }),
        1 => (0_usize..10, text).prop_map(|(cause, message)| Change::Closed { cause: Cause::ALL[cause], message }),
        3 => text.prop_map(|by| Change::Retried { by }),
    ]
}

/// Most random changes fit no build. Half of them are made to speak of the attempt and the step that the build is at; and all
/// have their texts as the store keeps them.
fn fitted(change: &Change, detail: &BuildDetail) -> Change {
    let mut json = serde_json::to_value(change).unwrap();
    let fields = json.as_object_mut().unwrap();
    let steps = detail.attempts.last().map_or(0, |last| last.steps.len());
    let (attempt, step) = match change {
        Change::AttemptStarted { .. } => (detail.build.attempts + 1, 0),
        Change::StepEnded { .. } => (detail.build.attempts, steps.saturating_sub(1)),
        _ => (detail.build.attempts, steps),
    };
    let odd = change.attempt().is_some_and(|attempt| attempt % 2 == 1);
    for (key, value) in [("attempt", attempt as usize), ("index", step)] {
        if odd && fields.contains_key(key) {
            fields.insert(key.into(), value.into());
        }
    }
    if odd && fields.get("then").is_some_and(serde_json::Value::is_object) {
        fields.insert("cause".into(), "network".into());
    }
    for value in fields.values_mut() {
        if let serde_json::Value::String(text) = value {
            *text = text.replace('\0', " ");
        }
    }
    serde_json::from_value(json).unwrap()
}
