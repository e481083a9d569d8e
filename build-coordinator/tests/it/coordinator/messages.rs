use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use build_coordinator::model::DeliveryState;
use build_coordinator::notify::{Courier, Message, SIGNATURE, signature};

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
