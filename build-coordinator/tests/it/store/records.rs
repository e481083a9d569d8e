use std::time::Duration;

use build_coordinator::model::{
    Cause, DeliveryOutcome, DeliveryState, MachineChange, NewDelivery, Scope, Span,
};
use build_coordinator::store::StoreError;

use super::support::{Scratch, ended, new_build, started, time};

super::on_both_databases!(
    a_token_works_until_it_ends_or_is_taken_back,
    a_delivery_is_stored_with_its_change_and_tried_until_it_arrives,
    machines_are_remembered_with_what_happened_and_what_they_built,
    names_of_drained_machines_are_kept,
    estimates_come_from_what_succeeded,
    spans_belong_to_an_attempt_and_are_bounded,
);

async fn a_token_works_until_it_ends_or_is_taken_back(scratch: Scratch) {
    let store = &scratch.store;
    let (token, text) = store
        .create_token(time(0), "laptop", Scope::Change, Some(time(1000)))
        .await
        .unwrap();
    assert_eq!(format!("{text:?}"), "TokenText(..)");
    let text = text.expose();
    let found = store.check_token(time(10), text).await.unwrap().unwrap();
    assert_eq!(found, token);
    let last_used = || async { store.tokens().await.unwrap()[0].last_used };
    assert_eq!(last_used().await, Some(time(10)));
    store.check_token(time(20), text).await.unwrap();
    assert_eq!(last_used().await, Some(time(10)), "known to the minute");

    let (id, secret) = text.rsplit_once('_').unwrap();
    let wrong = format!("{id}_{}", secret.chars().rev().collect::<String>());
    for wrong in [
        "",
        "bskt__",
        id,
        &wrong,
        &text[..text.len() - 1],
        &format!("{text}0"),
    ] {
        assert_eq!(
            store.check_token(time(10), wrong).await.unwrap(),
            None,
            "{wrong}"
        );
    }
    assert_eq!(
        store.check_token(time(1000), text).await.unwrap(),
        None,
        "it has ended"
    );

    assert!(store.revoke_token(time(30), &token.id).await.unwrap());
    assert!(!store.revoke_token(time(40), &token.id).await.unwrap());
    assert_eq!(store.check_token(time(50), text).await.unwrap(), None);
    assert_eq!(store.tokens().await.unwrap()[0].revoked, Some(time(30)));
}

async fn a_delivery_is_stored_with_its_change_and_tried_until_it_arrives(scratch: Scratch) {
    let store = &scratch.store;
    let id = store
        .enqueue(time(1), new_build(1, "linux"))
        .await
        .unwrap()
        .build
        .id;
    let delivery = |target: &str| NewDelivery {
        target: target.into(),
        event: "build_started".into(),
        body: "{}".into(),
    };
    let change = vec![(id, started(1, "m", "o"))];
    store
        .record_and_tell(
            time(2),
            change.clone(),
            vec![delivery("chat"), delivery("mail")],
        )
        .await
        .unwrap();
    // It cannot start twice, so nothing is told.
    store
        .record_and_tell(time(2), change, vec![delivery("chat")])
        .await
        .unwrap_err();

    let due = store.due_deliveries(time(2), 10).await.unwrap();
    assert_eq!(due.len(), 2);
    let later = DeliveryOutcome::TryAgain {
        due: time(60),
        error: "503".into(),
    };
    store
        .record_delivery(time(3), due[0].id, later)
        .await
        .unwrap();
    store
        .record_delivery(time(3), due[1].id, DeliveryOutcome::Delivered)
        .await
        .unwrap();
    assert!(store.due_deliveries(time(59), 10).await.unwrap().is_empty());
    let due = store.due_deliveries(time(60), 10).await.unwrap();
    assert_eq!((due[0].tries, due[0].last_result.as_str()), (1, "503"));
    let give_up = DeliveryOutcome::GiveUp {
        error: "410".into(),
    };
    store
        .record_delivery(time(61), due[0].id, give_up)
        .await
        .unwrap();
    store
        .record_delivery(time(62), due[0].id, DeliveryOutcome::Delivered)
        .await
        .unwrap();
    let states: Vec<_> = store
        .deliveries(10)
        .await
        .unwrap()
        .into_iter()
        .map(|delivery| (delivery.new.target, delivery.state))
        .collect();
    let delivered = ("mail".to_owned(), DeliveryState::Delivered { at: time(3) });
    let given_up = ("chat".to_owned(), DeliveryState::GivenUp { at: time(61) });
    assert_eq!(states, [delivered, given_up]);
    let large = NewDelivery {
        body: "x".repeat((1 << 20) + 1),
        ..delivery("chat")
    };
    let error = store
        .record_and_tell(time(9), vec![], vec![large])
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }));
}

async fn machines_are_remembered_with_what_happened_and_what_they_built(scratch: Scratch) {
    let store = &scratch.store;
    let connected = MachineChange::Connected {
        description: "version 26".into(),
    };
    let lost = MachineChange::Lost {
        reason: "no answer for 90 s".into(),
    };
    for (at, name, change) in [
        (1, "m1", &connected),
        (1, "m2", &connected),
        (5, "m1", &lost),
        (9, "m1", &connected),
    ] {
        store
            .record_machine(time(at), name, "host-linux", change.clone())
            .await
            .unwrap();
    }
    let machines = store.machines().await.unwrap();
    assert_eq!(machines.len(), 2);
    assert_eq!(
        (machines[0].first_seen, machines[0].last_change),
        (time(1), time(9))
    );
    let events = store.machine_events("m1", "host-linux", 2).await.unwrap();
    assert_eq!(
        events.iter().map(|event| &event.change).collect::<Vec<_>>(),
        [&connected, &lost]
    );

    for n in 1..=3 {
        let id = store
            .enqueue(time(10), new_build(n, "linux"))
            .await
            .unwrap()
            .build
            .id;
        let at = time(10 + i64::try_from(n).unwrap());
        store.record(id, at, started(1, "m1", "o")).await.unwrap();
    }
    let attempts = store.machine_attempts("m1", 2).await.unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!((attempts[0].started, attempts[0].cause), (time(13), None));
    assert_eq!(attempts[0].key, new_build(3, "linux").key);
}

async fn names_of_drained_machines_are_kept(scratch: Scratch) {
    let store = &scratch.store;
    for (name, drained, changes) in [
        ("m2", true, true),
        ("m1", true, true),
        ("m2", true, false),
        ("m3", true, true),
        ("m3", false, true),
        ("m3", false, false),
    ] {
        let changed = store.set_drained(time(1), name, drained, "alice").await;
        assert_eq!(changed.unwrap(), changes, "{name} {drained}");
    }
    let kept = store.drained_machines().await.unwrap();
    let names: Vec<_> = kept.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["m1", "m2"]);
    assert_eq!((kept[0].since, kept[0].by.as_str()), (time(1), "alice"));
    let error = store.set_drained(time(1), "", true, "alice").await;
    assert!(matches!(error, Err(StoreError::Name { .. })));
}

async fn estimates_come_from_what_succeeded(scratch: Scratch) {
    let store = &scratch.store;
    for (n, cause, seconds) in [
        (1, Cause::Succeeded, 10),
        (2, Cause::Failed, 1),
        (3, Cause::Succeeded, 20),
        (4, Cause::Succeeded, 30),
    ] {
        let id = store
            .enqueue(time(0), new_build(n, "linux"))
            .await
            .unwrap()
            .build
            .id;
        store
            .record(id, time(100), started(1, "m", "o"))
            .await
            .unwrap();
        store
            .record(id, time(100 + seconds), ended(1, cause))
            .await
            .unwrap();
    }
    let durations = store.durations("linux", "tools", 2).await.unwrap();
    assert_eq!(
        durations,
        [Duration::from_secs(30), Duration::from_secs(20)]
    );
    assert!(store.durations("mac", "tools", 2).await.unwrap().is_empty());
    assert_eq!(
        store.results_since(time(105)).await.unwrap(),
        [(Cause::Succeeded, 3)]
    );
    let recent = store.recent(2).await.unwrap();
    assert_eq!(recent[0].build.ended, Some(time(130)));
    assert_eq!(recent[1].build.ended, Some(time(120)));
}

async fn spans_belong_to_an_attempt_and_are_bounded(scratch: Scratch) {
    let store = &scratch.store;
    let id = store
        .enqueue(time(0), new_build(1, "linux"))
        .await
        .unwrap()
        .build
        .id;
    let span = Span {
        name: "get_buildlet".into(),
        detail: String::new(),
        start: time(1),
        end: time(2),
        error: Some("refused".into()),
    };
    let attempt = id.attempt(1);
    let error = store
        .record_spans(attempt, vec![span.clone()])
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::NoAttempt(_)));
    store
        .record(id, time(1), started(1, "m", "o"))
        .await
        .unwrap();
    store
        .record_spans(attempt, vec![span.clone()])
        .await
        .unwrap();
    store
        .record_spans(attempt, vec![span.clone(); 2])
        .await
        .unwrap();
    assert_eq!(store.spans(attempt).await.unwrap(), vec![span.clone(); 3]);
    let error = store
        .record_spans(attempt, vec![span; 998])
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }));
}
