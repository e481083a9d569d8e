use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use build_coordinator::model::DeliveryState;
use build_coordinator::notify::{Courier, Message, SIGNATURE, signature, terminal_rules};

use super::support::{DEADLINE, FakePool, Place, builder};

/// Remembers what it was given, and answers with these statuses.
struct FakeCourier {
    answers: Mutex<Vec<u16>>,
    sent: Mutex<Vec<Message>>,
}

#[async_trait]
impl Courier for FakeCourier {
    async fn post(&self, message: Message) -> Result<u16, String> {
        self.sent.lock().unwrap().push(message);
        self.answers
            .lock()
            .unwrap()
            .pop()
            .ok_or_else(|| "nobody is there".to_owned())
    }
}

#[tokio::test]
async fn rules_for_the_terminal_tell_what_broke_and_what_was_fixed() {
    let rule = "[notify.here]\nterminal = true\n[notify.chat]\nwebhook = 'https://chat.example.org/hook'\n";
    let run = "grep 1 version";
    let place = Place::new(&(builder("test", "notify = ['here', 'chat']", run) + rule));
    let system = place.start(&FakePool::new(1)).await;
    let mut told = Vec::new();
    for (count, version) in [(1, "1"), (2, "2"), (3, "3"), (4, "1")] {
        if count > 1 {
            place.commit(version);
            system.coordinator.look_now();
        }
        let done = system.done(count).await;
        let (store, config) = (system.coordinator.store(), system.coordinator.config());
        let rules = terminal_rules(store, &config, &done[count - 1].build)
            .await
            .unwrap();
        told.push(
            rules
                .into_iter()
                .map(|(rule, on)| format!("{rule} {on}"))
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(
        told,
        [
            vec![],
            vec!["here broken".to_owned()],
            vec![],
            vec!["here fixed".to_owned()]
        ]
    );
    system.coordinator.stop().await;
}

#[tokio::test]
async fn a_failure_is_told_with_a_signature_and_told_again_until_it_arrives() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "hush\n").unwrap();
    let rule = format!(
        "[notify.chat]\nwebhook = 'https://chat.example.org/hook'\nsecret_file = '{}'\n",
        secret.path().display()
    );
    let place = Place::new(&(builder("test", "notify = ['chat']", "exit 1") + &rule));
    let courier = Arc::new(FakeCourier {
        answers: Mutex::new(vec![500]),
        sent: Mutex::default(),
    });
    let pool = FakePool::new(1);
    let system = place.start_with(&pool, Some(courier.clone())).await;
    system.done(1).await;
    let tried = async {
        loop {
            let all = system.coordinator.store().deliveries(10).await.unwrap();
            if let [delivery] = &all[..]
                && delivery.tries == 1
            {
                return delivery.clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let delivery = tokio::time::timeout(DEADLINE, tried).await.unwrap();
    assert!(
        matches!(delivery.state, DeliveryState::Waiting { .. }),
        "it is sent again: {delivery:?}"
    );
    assert_eq!(delivery.last_result, "the answer was status 500");
    system.coordinator.drain().await;

    let sent = courier.sent.lock().unwrap();
    let body: serde_json::Value = serde_json::from_str(&sent[0].body).unwrap();
    assert_eq!(
        (&body["result"], &body["repository"]),
        (&"failed".into(), &"site".into())
    );
    let signed = sent[0]
        .headers
        .iter()
        .find(|(name, _)| *name == SIGNATURE)
        .unwrap();
    assert_eq!(signed.1, signature(b"hush", &sent[0].body));
}
