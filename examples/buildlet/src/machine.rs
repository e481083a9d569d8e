use std::env;
use std::fs;
use std::io;
use std::process::Command;
use std::sync::LazyLock;

use buildlet_proto::server::HostName;
use buildlet_proto::types::Status;

use crate::args::Power;

/// What `--version` tells: the version of the protocol, as upstream's buildlet has it, and of this program.
pub(crate) static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "version {} ({})\nbuilt from {} {}",
        Status::VERSION,
        HostName::native(),
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION")
    )
});

/// The name to register with: the given one, `$HOSTNAME`, the system's, or `buildlet`.
///
/// A coordinator puts it into URLs, so what is no letter, digit, `-`, `_` or `.` becomes a `-`.
pub(crate) fn name(given: Option<&str>) -> String {
    let name = given
        .map(ToOwned::to_owned)
        .or_else(|| env::var("HOSTNAME").ok())
        .or_else(|| fs::read_to_string("/proc/sys/kernel/hostname").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "buildlet".to_owned());
    name.chars()
        .map(|c| match c {
            '-' | '_' | '.' => c,
            _ if c.is_ascii_alphanumeric() => c,
            _ => '-',
        })
        .collect()
}

/// Powers the machine off or reboots it, with the system's own command.
///
/// # Errors
///
/// When there is no such command or it fails; the machine goes on.
pub(crate) fn power(power: Power) -> io::Result<()> {
    let Some(command) = power_command(power, env::consts::OS) else {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("no command is known to do that on {}", env::consts::OS),
        ));
    };
    let status = Command::new(command[0]).args(&command[1..]).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{}: {status}", command.join(" "))))
    }
}

/// The commands of upstream's buildlet, by system.
fn power_command(power: Power, os: &str) -> Option<&'static [&'static str]> {
    Some(match (power, os) {
        (Power::Stay, _) => return None,
        (Power::Reboot, "windows") => &["shutdown", "/r"],
        (Power::Reboot, _) => &["reboot"],
        (Power::Halt, "linux") => &["/bin/halt", "-n", "-f", "-p"],
        (Power::Halt, "openbsd") => &["halt", "-q", "-n", "-p"],
        (Power::Halt, "freebsd") => &["shutdown", "-p", "-o", "now"],
        (Power::Halt, "macos") => &["/usr/bin/sudo", "/sbin/halt", "-n", "-q", "-l"],
        (Power::Halt, "windows") => &["shutdown", "/s"],
        (Power::Halt, _) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_fit_for_a_url() {
        assert_eq!(name(Some("mac 1%/é")), "mac-1---");
        assert_eq!(name(Some("linux-arm64.example_1")), "linux-arm64.example_1");
    }

    #[test]
    fn nothing_is_powered_off_unless_asked() {
        assert_eq!(power_command(Power::Stay, "linux"), None);
        assert_eq!(power_command(Power::Reboot, "linux"), Some(&["reboot"][..]));
        assert_eq!(power_command(Power::Halt, "plan9"), None);
    }
}
