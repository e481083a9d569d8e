//! Namespaces: a network without interfaces, and mounts that hide files.

use std::fs;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::thread::UnshareFlags;

use super::Setup;
use crate::exec::{Enforcement, Isolation, Network};
use crate::types::ext::Mechanism;

/// Enters the namespaces that the setup needs.
pub(super) fn enter(setup: &Setup, enforcement: &mut Enforcement) {
    let off = setup.network == Network::Off;
    let hide = setup.isolation >= Isolation::Sandbox && !setup.sandbox.hidden.is_empty();
    let mut flags = UnshareFlags::empty();
    flags.set(UnshareFlags::NEWNET, off);
    flags.set(UnshareFlags::NEWNS, hide);
    if flags.is_empty() {
        return;
    }
    let entered = unshare(flags);
    if off {
        match entered.and_then(|()| loopback_up()) {
            Ok(()) => enforcement.add(Mechanism::NetworkOff, "loopback alone"),
            Err(error) => enforcement.miss(Mechanism::NetworkOff, error.to_string()),
        }
    }
    if hide {
        match entered.and_then(|()| hide_all(&setup.sandbox.hidden)) {
            Ok(()) => enforcement.add(Mechanism::HiddenFiles, "mounted over"),
            Err(error) => enforcement.miss(Mechanism::HiddenFiles, error.to_string()),
        }
    }
}

/// Leaves the namespaces of the parent; without the right to that, in a user namespace of its own, where it has all rights.
fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    match try_unshare(flags) {
        Err(Errno::PERM) => {}
        other => return other,
    }
    let user = rustix::process::getuid().as_raw();
    let group = rustix::process::getgid().as_raw();
    try_unshare(flags | UnshareFlags::NEWUSER)?;
    // A user who is not privileged outside can map nobody but themselves, and no groups beside their own.
    for (file, content) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{user} {user} 1")),
        ("gid_map", format!("{group} {group} 1")),
    ] {
        let written = fs::write(format!("/proc/self/{file}"), content);
        written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    }
    Ok(())
}

#[expect(
    deprecated,
    reason = "it was given up for flags that part threads from their file table; none of ours does"
)]
fn try_unshare(flags: UnshareFlags) -> Result<(), Errno> {
    rustix::thread::unshare(flags)
}

/// Switches on the loopback interface: in a new network it is there, and down.
///
/// `RTM_NEWLINK` of rtnetlink(7): a header of 16 bytes, and an `ifinfomsg` with the index 1 that it always has.
fn loopback_up() -> Result<(), Errno> {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACK: u16 = 1 | 4;
    const LEN: u32 = 32;
    const LOOPBACK_INDEX: u32 = 1;
    const IFF_UP: u32 = 1;
    let mut message = Vec::with_capacity(LEN as usize);
    message.extend_from_slice(&LEN.to_ne_bytes());
    message.extend_from_slice(&RTM_NEWLINK.to_ne_bytes());
    message.extend_from_slice(&REQUEST_AND_ACK.to_ne_bytes());
    message.extend_from_slice(&[0; 8]); // sequence number, port
    message.extend_from_slice(&[0; 4]); // family, padding, type
    for word in [LOOPBACK_INDEX, IFF_UP, IFF_UP] {
        message.extend_from_slice(&word.to_ne_bytes());
    }
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None, // NETLINK_ROUTE is 0
    )?;
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &message, SendFlags::empty(), &kernel)?;
    // The acknowledgement: a header, then the negative error number.
    let mut reply = [0; 256];
    let (len, _) = rustix::net::recv(&socket, &mut reply, RecvFlags::empty())?;
    let code = reply[..len]
        .get(16..20)
        .and_then(|code| code.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(Errno::from_raw_os_error(code.saturating_neg())),
        None => Err(Errno::PROTO),
    }
}

fn hide_all(hidden: &[impl AsRef<Path>]) -> Result<(), Errno> {
    // What is mounted from here on is seen here alone.
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    for path in hidden {
        let path = path.as_ref();
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => {
                let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RDONLY;
                mount("none", path, "tmpfs", flags, c"size=4k")?;
            }
            Ok(_) => mount_bind("/dev/null", path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        }
    }
    Ok(())
}
