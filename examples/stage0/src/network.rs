//! Waiting for the network: a machine that has just started may have none for a while.

use std::time::{Duration, Instant};

use crate::web::Web;

/// Between two probes, as upstream has it.
const PAUSE: Duration = Duration::from_secs(1);

/// Waits until anybody answers at `url`, for at most `limit`. Returns how long it took; without an answer, that was too long, which the
/// download that comes next will find out as well.
pub(crate) async fn wait(web: &Web, url: &str, limit: Duration) -> Duration {
    let began = Instant::now();
    loop {
        let (web, target) = (web.clone(), url.to_owned());
        let answer = tokio::task::spawn_blocking(move || web.answers(&target)).await;
        match answer {
            Ok(Ok(())) => return began.elapsed(),
            Ok(Err(error)) => tracing::debug!(url, %error, "no network yet"),
            Err(error) => tracing::warn!(%error, "a probe of the network failed"),
        }
        if began.elapsed() + PAUSE > limit {
            tracing::warn!(url, waited = ?began.elapsed(), "nobody answers; going on without a network");
            return began.elapsed();
        }
        tokio::time::sleep(PAUSE).await;
    }
}
