use std::sync::Arc;

use buildlet_proto::client::BuildletClient as _;
use revdial::proto::{Claim, Refusal, Worker};
use revdial::{Authorize, Authorizing};
use tokio::time::timeout;

use super::ReversePool;
use super::record::Identity;
use super::shared::{MachineHandle, Shared};
use crate::{HostType, Metrics};

/// A pool is asked by the front door whom to let in.
impl Authorize for ReversePool {
    fn authorize<'a>(&'a self, claim: &'a Claim) -> Authorizing<'a> {
        Box::pin(async move {
            let judged = judge(self.shared(), claim).await;
            if let Err(refusal) = &judged {
                count(self.shared(), |metrics| metrics.refused += 1);
                tracing::warn!(machine = claim.host_name(), worker = ?claim.worker(), %refusal, "registration refused");
            }
            judged
        })
    }
}

async fn judge(shared: &Arc<Shared>, claim: &Claim) -> Result<(), Refusal> {
    let Worker::Buildlet { host_type, key, .. } = claim.worker() else {
        return Err(Refusal::NOT_EXPECTED);
    };
    let identity: Identity = (HostType::from(host_type.as_str()), claim.host_name().into());
    let invited = shared.look(|state| state.invited.get(&identity).cloned());
    let has_key = match &invited {
        // Its key and no other: who has the key of a host type is not who was invited.
        Some(invited) => invited.has_key(key) && invited.is_open(),
        None => {
            let master = shared.config.master_key.as_ref();
            master.is_some_and(|master| master.verify(host_type, key))
        }
    };
    if !has_key {
        count(shared, |metrics| metrics.refused_key += 1);
        return Err(Refusal::INVALID_KEY);
    }
    let (is_full, is_shut, namesake) = shared.look(|state| {
        let core = &state.core;
        (core.is_full(), core.is_shut(), core.named(&identity))
    });
    if is_shut {
        return Err(Refusal::new(503, "coordinator is shutting down"));
    }
    if is_full {
        return Err(Refusal::TOO_MANY);
    }
    // Who was invited is the only one to have this key, so whoever has the name is a process that ended.
    if let (Some((_, namesake)), None) = (namesake, invited)
        && lives(shared, &namesake).await
    {
        count(shared, |metrics| metrics.refused_duplicate += 1);
        // Not one of the statuses that a buildlet takes to be final.
        return Err(Refusal::new(
            503,
            "a machine of that name and host type is registered, and answers",
        ));
    }
    Ok(())
}

/// Whether a machine is there, or only its connection is left.
async fn lives(shared: &Arc<Shared>, machine: &MachineHandle) -> bool {
    let limit = shared.config.health.duplicate_limit;
    matches!(timeout(limit, machine.client.status()).await, Ok(Ok(_)))
}

fn count(shared: &Arc<Shared>, add: impl FnOnce(&mut Metrics)) {
    shared.look(|state| add(state.core.metrics()));
}
