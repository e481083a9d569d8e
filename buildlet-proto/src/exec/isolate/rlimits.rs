use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::exec::{Enforcement, Limits};
use crate::types::ext::Mechanism;

/// Sets the limits of each process. A limit above what this process may have is set to that.
pub(super) fn set(limits: &Limits, enforcement: &mut Enforcement) {
    let wanted = [
        ("core", Resource::Core, limits.core_bytes.or(Some(0))),
        ("nofile", Resource::Nofile, limits.open_files),
        ("fsize", Resource::Fsize, limits.file_bytes),
        ("as", Resource::As, limits.address_space_bytes),
        ("nproc", Resource::Nproc, limits.user_processes),
    ];
    let mut set = Vec::new();
    for (name, resource, value) in wanted {
        let Some(value) = value else { continue };
        let value = getrlimit(resource)
            .maximum
            .map_or(value, |hard| value.min(hard));
        let limit = Rlimit {
            current: Some(value),
            maximum: Some(value),
        };
        match setrlimit(resource, limit) {
            Ok(()) => set.push(format!("{name}={value}")),
            Err(errno) => enforcement.miss(Mechanism::Rlimits, format!("{name}: {errno}")),
        }
    }
    if !set.is_empty() {
        enforcement.add(Mechanism::Rlimits, set.join(" "));
    }
}
