use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, LandlockStatus, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use crate::exec::{Enforcement, Sandbox};
use crate::types::ext::Mechanism;

/// Devices that programs write to and that keep nothing.
const DEVICES: [&str; 8] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
];

/// Whose rights are asked for: those of files as of version 4 (later ones add the control of devices, which no build needs to be without),
/// and the scopes of version 6.
const FILES: ABI = ABI::V4;
const SCOPES: ABI = ABI::V6;

/// Confines this thread, and what it starts, for good.
pub(super) fn restrict(sandbox: &Sandbox, enforcement: &mut Enforcement) {
    match rustix::thread::set_no_new_privs(true) {
        Ok(()) => enforcement.add(Mechanism::NoNewPrivs, "set-user-ID has no effect"),
        Err(errno) => enforcement.miss(Mechanism::NoNewPrivs, errno.to_string()),
    }
    let status = match try_restrict(sandbox) {
        Ok(status) => status,
        Err(error) => {
            enforcement.miss(Mechanism::Landlock, error.to_string());
            enforcement.miss(Mechanism::Scope, error.to_string());
            return;
        }
    };
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else {
        enforcement.miss(Mechanism::Landlock, "not in this kernel, or switched off");
        enforcement.miss(Mechanism::Scope, "not in this kernel, or switched off");
        return;
    };
    if status.ruleset == RulesetStatus::NotEnforced {
        enforcement.miss(Mechanism::Landlock, "not enforced");
        enforcement.miss(Mechanism::Scope, "not enforced");
        return;
    }
    let version = effective_abi as i32;
    let writable: Vec<_> = sandbox
        .writable
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let detail = format!("version {version}, writes below {}", writable.join(" "));
    enforcement.add(Mechanism::Landlock, detail);
    if effective_abi < ABI::V3 {
        let reason = format!("version {version} lets files be truncated anywhere");
        enforcement.miss(Mechanism::Landlock, reason);
    }
    if effective_abi >= SCOPES {
        enforcement.add(Mechanism::Scope, "no signals and abstract sockets outwards");
    } else {
        let reason = format!("version {version} of Landlock has no scopes");
        enforcement.miss(Mechanism::Scope, reason);
    }
}

fn try_restrict(sandbox: &Sandbox) -> Result<RestrictionStatus, RulesetError> {
    let writes = AccessFs::from_write(FILES);
    // Nobody may make devices: one made in a writable directory could be any disk.
    let granted = writes & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(writes)?
        .scope(Scope::from_all(SCOPES))?
        .create()?
        // What does not exist is passed over.
        .add_rules(path_beneath_rules(&sandbox.writable, granted))?
        .add_rules(path_beneath_rules(DEVICES, granted))?
        .restrict_self()
}
