use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use buildlet_proto::client::{BuildletClient as _, HttpClient};
use tokio_util::sync::CancellationToken;

use crate::LostReason;

/// One lease, as pool, holder and connections see it.
#[derive(Default)]
pub(super) struct Hold {
    /// Fires when the lease is over, for whatever reason: connections end then.
    over: CancellationToken,
    /// Fires when it is over through no doing of its holder.
    lost: CancellationToken,
    reason: OnceLock<LostReason>,
    /// The holder's client, which must not live longer than the holder wants.
    client: OnceLock<Weak<HttpClient>>,
}

impl Hold {
    /// Ends the lease, as its holder wanted.
    pub(super) fn end(&self) {
        self.over.cancel();
    }

    /// Ends the lease against its holder's will; the first reason counts.
    pub(super) fn lose(&self, reason: LostReason) {
        let _ = self.reason.set(reason); // the first one stays
        self.lost.cancel();
        self.over.cancel();
    }

    pub(super) fn over(&self) -> &CancellationToken {
        &self.over
    }

    pub(super) fn lost_reason(&self) -> Option<&LostReason> {
        self.reason.get()
    }

    pub(super) async fn lost(&self) -> LostReason {
        self.lost.cancelled().await;
        let reason = self.reason.get().cloned();
        reason.expect("it is set before the token fires")
    }

    pub(super) fn set_client(&self, client: &Arc<HttpClient>) {
        let _ = self.client.set(Arc::downgrade(client)); // set once, when the lease is given out
    }

    /// Asks the machine whether it lives, over the holder's client: from then on its heartbeat watches.
    pub(super) async fn ask(&self) -> bool {
        let Some(client) = self.client.get().and_then(Weak::upgrade) else {
            return false;
        };
        client.status().await.is_ok()
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("over", &self.over.is_cancelled())
            .field("lost", &self.reason.get())
            .finish_non_exhaustive()
    }
}
