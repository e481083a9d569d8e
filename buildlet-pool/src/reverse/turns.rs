use std::pin::pin;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How many connections leases make at the same time: enough to keep the processors of a large machine busy with hand-shakes.
const AT_ONCE: usize = 64;
/// For so long the others wait for one that is slow.
const TURN: Duration = Duration::from_secs(1);

/// Lets connections to machines be made some at a time.
///
/// Each costs hand-shakes at both ends. When a thousand leases begin theirs at once and the processors are slow, all would be late, and
/// be given up after most of the work was done. One that is slow for another reason, as to a machine that fell silent, holds up the next for
/// a second and no longer.
pub(super) struct Turns(Semaphore);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }

    /// Does `work` when its turn comes. Cancel safe if `work` is.
    pub(super) async fn take<T>(&self, work: impl Future<Output = T>) -> T {
        let turn = self.0.acquire().await.expect("it is never closed");
        let mut work = pin!(work);
        match timeout(TURN, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                drop(turn);
                work.await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::JoinSet;
    use tokio::time::{Instant, sleep, sleep_until};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connections_are_made_some_at_a_time_and_silent_machines_hold_them_up_for_a_second() {
        let (turns, begun) = (Arc::new(Turns::new()), Arc::new(AtomicUsize::new(0)));
        let mut dials = JoinSet::new();
        for number in 0..3 * AT_ONCE {
            let (turns, begun) = (turns.clone(), begun.clone());
            dials.spawn(async move {
                let dial = async {
                    begun.fetch_add(1, Ordering::Relaxed);
                    // The first ones are silent for long, the others slow.
                    let time = if number < AT_ONCE { 20_000 } else { 100 };
                    sleep(Duration::from_millis(time)).await;
                };
                turns.take(dial).await;
            });
        }
        let start = Instant::now();
        for (at, rounds) in [(500, 1), (1_050, 2), (1_150, 3)] {
            sleep_until(start + Duration::from_millis(at)).await;
            assert_eq!(begun.load(Ordering::Relaxed), rounds * AT_ONCE, "{at} ms");
        }
        dials.join_all().await;
    }
}
