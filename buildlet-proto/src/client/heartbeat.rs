use std::error::Error;
use std::sync::Arc;

use tokio::time::sleep;

use super::BrokenReason;
use super::http_client::Inner;

/// Gives the buildlet up when its heart stops, or when it cannot be reached any more.
pub(super) async fn watch(inner: Arc<Inner>) {
    tokio::select! {
        () = beat(&inner) => {}
        why = inner.pool.closed() => inner.die(&BrokenReason::Unreachable(why)),
    }
}

/// Asks for the status again and again until the client is dead; gives the buildlet up after too many failures in a row.
///
/// A failure does not count if something came from the buildlet meanwhile, such as output of a command: then it is busy, not
/// gone.
async fn beat(inner: &Inner) {
    let Some(interval) = inner.limits.heartbeat_interval else {
        return inner.life.dead().cancelled().await;
    };
    let mut failures = 0;
    loop {
        tokio::select! {
            () = inner.life.dead().cancelled() => return,
            () = sleep(interval) => {}
        }
        let before = inner.life.activity();
        let Err(error) = inner.status().await else {
            failures = 0;
            continue;
        };
        if inner.life.death().is_some() {
            return;
        }
        let last = chain(&error);
        if inner.life.activity() != before {
            tracing::debug!(
                buildlet = inner.name(),
                error = last,
                "heartbeat failed while the buildlet sends"
            );
            failures = 0;
            continue;
        }
        failures += 1;
        tracing::warn!(
            buildlet = inner.name(),
            failures,
            error = last,
            "heartbeat failed"
        );
        if failures == inner.limits.heartbeat_failures {
            inner.die(&BrokenReason::HeartbeatsFailed {
                count: failures,
                last,
            });
            return;
        }
    }
}

/// An error with its causes, as programs print it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
