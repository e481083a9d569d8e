use std::sync::Arc;
use std::time::Duration;

use dashboard_config::{Config, Notify};
use tokio::sync::{Notify as Bell, watch};
use tokio_util::sync::CancellationToken;

use super::{Courier, Message, SIGNATURE, signature};
use crate::model::{Delivery, DeliveryOutcome, Timestamp};
use crate::store::Store;

/// A secret's file is not longer.
const MAX_SECRET: u64 = 4096;
/// Between looks at what is due, if nobody rings.
const PAUSE: Duration = Duration::from_secs(5);
const FIRST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Sends what is due, until it is to stop; one message at a time.
pub(crate) async fn carry_messages(
    store: Store,
    configs: watch::Receiver<Arc<Config>>,
    courier: Arc<dyn Courier>,
    bell: &Bell,
    stop: &CancellationToken,
) {
    loop {
        let rung = bell.notified();
        match store.due_deliveries(Timestamp::now(), 100).await {
            Ok(due) => {
                for delivery in due {
                    let config = configs.borrow().clone();
                    // A message that was on its way is sent again: better twice than never.
                    let sending = carry(&config, &*courier, &delivery);
                    let Some(outcome) = stop.run_until_cancelled(sending).await else {
                        return;
                    };
                    if let Err(error) = store
                        .record_delivery(Timestamp::now(), delivery.id, outcome)
                        .await
                    {
                        tracing::error!(delivery = %delivery.id, %error, "what came of a message is not noted");
                        break;
                    }
                }
            }
            Err(error) => tracing::error!(%error, "messages that are due cannot be read"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = rung => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn carry(config: &Config, courier: &dyn Courier, delivery: &Delivery) -> DeliveryOutcome {
    let rule = (config.builders())
        .flat_map(|builder| config.notify(builder))
        .find(|rule| rule.name == delivery.new.target);
    let Some((rule, url)) = rule.and_then(|rule| Some((rule, rule.webhook.as_ref()?))) else {
        return DeliveryOutcome::GiveUp {
            error: "it is not configured any more".into(),
        };
    };
    let error = match send(rule, url, courier, delivery).await {
        Ok(status @ 200..=299) => {
            tracing::debug!(delivery = %delivery.id, status, "a message arrived");
            return DeliveryOutcome::Delivered;
        }
        Ok(status) => format!("the answer was status {status}"),
        Err(error) => error,
    };
    let tries = delivery.tries.saturating_add(1);
    if tries >= rule.attempts {
        return DeliveryOutcome::GiveUp { error };
    }
    DeliveryOutcome::TryAgain {
        due: Timestamp::now().after(wait_after(tries)),
        error,
    }
}

/// How long to wait after so many tries.
fn wait_after(tries: u32) -> Duration {
    let factor = 2_u32.saturating_pow(tries.saturating_sub(1));
    FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
}

async fn send(
    rule: &Notify,
    url: &str,
    courier: &dyn Courier,
    delivery: &Delivery,
) -> Result<u16, String> {
    let mut headers = vec![
        ("Content-Type", "application/json".to_owned()),
        ("X-Build-Event", delivery.new.event.clone()),
        ("X-Build-Delivery", delivery.id.to_string()),
    ];
    if let Some(file) = &rule.secret_file {
        let secret = secret(file)
            .await
            .map_err(|error| format!("cannot read the secret: {error}"))?;
        headers.push((SIGNATURE, signature(&secret, &delivery.new.body)));
    }
    let message = Message {
        url: url.to_owned(),
        headers,
        body: delivery.new.body.clone(),
        timeout: rule.timeout,
    };
    match tokio::time::timeout(rule.timeout, courier.post(message)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("there was no answer within {:?}", rule.timeout)),
    }
}

/// Without white space at its ends, as editors leave it there.
async fn secret(file: &str) -> std::io::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt as _;
    let mut secret = Vec::new();
    tokio::fs::File::open(file)
        .await?
        .take(MAX_SECRET)
        .read_to_end(&mut secret)
        .await?;
    let secret = secret.trim_ascii();
    if secret.is_empty() {
        return Err(std::io::Error::other("the file is empty"));
    }
    Ok(secret.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_sent_again_less_and_less_often() {
        let waits = [1, 2, 3, 20, u32::MAX].map(|tries| wait_after(tries).as_secs());
        assert_eq!(waits, [10, 20, 40, 3600, 3600]);
    }
}
