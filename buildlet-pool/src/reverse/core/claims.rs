use tokio::time::Instant;

use buildlet_proto::types::ext::KeptName;

use super::state::{Claim, Core, Effects, Handle, State};
use crate::{LeaseOptions, MachineId, ReclaimError};

impl<M: Handle, W> Core<M, W> {
    /// A machine came that has commands of an earlier stay: it goes to who claims one of them, or waits for that for a while.
    pub(super) fn hold(
        &mut self,
        now: Instant,
        id: MachineId,
        names: Vec<KeptName>,
        fx: &mut Effects<M, W>,
    ) {
        let claimed = names.iter().find_map(|name| self.claims.remove(name));
        match claimed {
            Some(claim) => self.give(now, id, claim, fx),
            None if self.closed || self.config.claim_limit.is_zero() => {
                self.set(now, id, State::Cleaning);
            }
            None => {
                let until = super::state::after(now, self.config.claim_limit);
                self.set(now, id, State::Held { names, until });
            }
        }
    }

    /// Claims the machine with the commands of this name: gets it now, or waits under the number that is returned. An
    /// earlier claim of the name is refused.
    pub(in crate::reverse) fn claim(
        &mut self,
        now: Instant,
        name: KeptName,
        options: LeaseOptions,
        waiter: W,
        fx: &mut Effects<M, W>,
    ) -> Result<u64, ReclaimError> {
        if self.closed {
            return Err(ReclaimError::Closed);
        }
        if self.claims.len() >= self.config.max_waiting {
            let waiting = self.claims.len();
            return Err(ReclaimError::TooManyWaiting { waiting });
        }
        let number = self.new_number();
        let claim = Claim {
            number,
            waiter,
            options,
        };
        let held = self.machines.iter().find(
            |(_, slot)| matches!(&slot.state, State::Held { names, .. } if names.contains(&name)),
        );
        match held.map(|(id, _)| *id) {
            Some(id) => self.give(now, id, claim, fx),
            None => {
                let before = self.claims.insert(name, claim);
                fx.refused.extend(before.map(|before| before.waiter));
            }
        }
        Ok(number)
    }

    /// A claim is given up. Nothing if it got its machine before.
    pub(in crate::reverse) fn unclaim(&mut self, name: KeptName, number: u64) -> Option<W> {
        let current = self.claims.get(&name)?;
        if current.number != number {
            return None;
        }
        self.claims.remove(&name).map(|claim| claim.waiter)
    }

    fn give(&mut self, now: Instant, id: MachineId, claim: Claim<W>, fx: &mut Effects<M, W>) {
        self.metrics.reclaimed += 1;
        let grant = self.grant(now, id, claim.options, true);
        fx.grants.push((claim.waiter, grant));
    }
}
