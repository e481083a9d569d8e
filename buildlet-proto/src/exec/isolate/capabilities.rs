use rustix::io::Errno;
use rustix::thread::{CapabilitySet, capabilities, remove_capability_from_bounding_set};

use crate::exec::Enforcement;
use crate::types::ext::Mechanism;

/// What the superuser keeps in a sandbox: power over files and users, which builds of packages need. What controls the machine (mounts,
/// devices, modules, tracing, raw memory ...) would lead out of it.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::AUDIT_WRITE);

/// Takes the other capabilities from what this thread executes. There is nothing to take from a user who has none.
pub(super) fn drop_most(enforcement: &mut Enforcement) {
    match try_drop() {
        Ok(false) => {}
        Ok(true) => enforcement.add(Mechanism::Capabilities, "files and users alone"),
        Err(errno) => enforcement.miss(Mechanism::Capabilities, errno.to_string()),
    }
}

fn try_drop() -> Result<bool, Errno> {
    let has = capabilities(None)?;
    if has.permitted.is_empty() {
        return Ok(false);
    }
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if KEPT.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // There is none of this number, and so none of a higher one.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(true)
}
