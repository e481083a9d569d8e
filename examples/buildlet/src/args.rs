use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Parser, ValueEnum};
use program::{LogArgs, parse_bool};
use serde::Deserialize;

/// Runs what a coordinator asks for, in a folder of its own.
///
/// A buildlet receives files, runs commands, streams their output and sends files back. It does whatever it is told, so it
/// answers only those it should: a coordinator that it called itself, callers who know its password, or this machine.
#[derive(Debug, Parser)]
#[command(
    name = "buildlet",
    version = crate::machine::VERSION.as_str(),
    after_help = "\
Examples:
  buildlet                                             answer on localhost:5936
  buildlet --reverse-type=host-linux-bookworm --coordinator=build.example.org
                                                       work for that coordinator, from behind any NAT
  GOMOTEID=user-linux-1 GO_BUILDLET_TOKEN=... buildlet --swarming-bot --gomote-server-addr=gomote.example.org
                                                       be that gomote
  buildlet --listen=:443 --tls-cert=c.pem --tls-key=k.pem --password-file=secret
                                                       answer callers who know the password

Flags may be written with one dash, as upstream's. Each can stand in the file of --config too, as `reverse-type = \"T\"`.
Metadata `password`, `tls-cert` and `tls-key` are also read from META_password, META_tls_cert, META_tls_key (or in
capitals); a value @FILE means the content of FILE."
)]
pub(crate) struct Args {
    /// Read settings from this TOML file; flags count more
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    settings: Settings,
}

/// What can be said by flags and by the configuration file.
#[derive(Debug, Default, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    /// Work for the coordinator as a machine of this host type, instead of listening
    #[arg(long, value_name = "HOST-TYPE", help_heading = "Reverse mode")]
    reverse_type: Option<String>,
    /// Work for a gomote server, as the gomote that the variable `GOMOTEID` names and `GO_BUILDLET_TOKEN` proves
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool, value_name = "BOOL", help_heading = "Reverse mode", conflicts_with = "reverse_type")]
    swarming_bot: Option<bool>,
    /// Where the gomote server is [default: gomotessh.golang.org:443]
    #[arg(long, value_name = "ADDRESS", help_heading = "Reverse mode")]
    gomote_server_addr: Option<String>,
    /// Where the coordinator is, as HOST or HOST:PORT [default: localhost:8119; port 443]
    #[arg(long, value_name = "ADDRESS", help_heading = "Reverse mode")]
    coordinator: Option<String>,
    /// The name to register with [default: $HOSTNAME, or the system's]
    #[arg(long, value_name = "NAME", help_heading = "Reverse mode")]
    hostname: Option<String>,
    /// The file with this host type's key [default: as upstream, ~/.gobuildkey-HOST-TYPE]
    #[arg(long, value_name = "FILE", help_heading = "Reverse mode")]
    key_file: Option<PathBuf>,
    /// Use the development key, which everybody knows; for a coordinator on this machine it is used if there is no file
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool, value_name = "BOOL", help_heading = "Reverse mode")]
    dev_key: Option<bool>,
    /// Trust coordinators certified by the authorities in this PEM file, and no others
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Reverse mode",
        conflicts_with = "insecure"
    )]
    ca: Option<PathBuf>,
    /// Do not check the coordinator's certificate; in listen mode, allow other machines without a password
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool, value_name = "BOOL")]
    insecure: Option<bool>,
    /// End when the registration ends, instead of registering again
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool, value_name = "BOOL", help_heading = "Reverse mode")]
    once: Option<bool>,
    /// In reverse mode, answer /healthz here in plain HTTP; "none" for nowhere [default: localhost:8080]
    #[arg(long, value_name = "ADDRESS", help_heading = "Reverse mode")]
    health_addr: Option<String>,

    /// Listen here; AUTO is localhost:5936 [default: AUTO]
    #[arg(long, value_name = "ADDRESS", help_heading = "Listen mode")]
    listen: Option<String>,
    /// The file with the password of callers; surrounding blanks do not count
    #[arg(long, value_name = "FILE", help_heading = "Listen mode")]
    password_file: Option<PathBuf>,
    /// Serve TLS with this chain of certificates, in PEM
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Listen mode",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, in PEM
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Listen mode",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,

    /// Work in this folder, which must exist and is not emptied [default: a fresh one in the temporary folder]
    #[arg(long, value_name = "FOLDER")]
    workdir: Option<PathBuf>,
    /// What commands are kept from when a request says nothing of it [default: process]
    #[arg(long, value_enum, value_name = "LEVEL")]
    isolation: Option<Isolation>,
    /// Where SSH connections through the coordinator lead [default: builtin]
    #[arg(long, value_enum, value_name = "SERVER")]
    ssh: Option<Ssh>,
    /// When a client posts /halt, power the machine off (upstream's default)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool, value_name = "BOOL")]
    halt: Option<bool>,
    /// When a client posts /halt, reboot the machine
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool, value_name = "BOOL")]
    reboot: Option<bool>,
}

/// What the program was told, from flags, the configuration file and defaults.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) mode: Mode,
    pub(crate) workdir: Option<PathBuf>,
    pub(crate) isolation: Isolation,
    pub(crate) ssh: Ssh,
    pub(crate) power: Power,
}

#[derive(Debug)]
pub(crate) enum Mode {
    Listen(Listen),
    Reverse(Reverse),
}

#[derive(Debug)]
pub(crate) struct Listen {
    pub(crate) address: String,
    pub(crate) password_file: Option<PathBuf>,
    /// Chain and key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// Other machines may call without a password.
    pub(crate) insecure: bool,
}

#[derive(Debug)]
pub(crate) struct Reverse {
    pub(crate) role: Role,
    /// With the port.
    pub(crate) coordinator: String,
    pub(crate) hostname: Option<String>,
    pub(crate) trust: Trust,
    pub(crate) once: bool,
    pub(crate) health_address: Option<String>,
}

/// What a machine registers as.
#[derive(Debug)]
pub(crate) enum Role {
    /// A builder's machine, with the key of its type.
    Builder {
        host_type: String,
        key_file: Option<PathBuf>,
        dev_key: bool,
    },
    /// Somebody's gomote.
    Gomote,
}

impl Role {
    /// Of a builder's machine.
    pub(crate) fn host_type(&self) -> Option<&str> {
        match self {
            Self::Builder { host_type, .. } => Some(host_type),
            Self::Gomote => None,
        }
    }
}

/// How the coordinator's certificate is checked.
#[derive(Debug)]
pub(crate) enum Trust {
    System,
    Authorities(PathBuf),
    Anybody,
}

/// The isolation of commands whose request says nothing of it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Isolation {
    /// Nothing, as upstream's buildlet
    None,
    /// A session of its own, killed as a whole, within resource limits
    Process,
    /// Besides, as much as the system can: only its own folder to write to, limits of memory and processes
    Sandbox,
}

/// Who answers SSH connections.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ssh {
    /// A server inside the buildlet, for the keys that the coordinator names
    Builtin,
    /// The machine's own, as upstream: keys are added to the users' files
    System,
    /// Nobody
    Off,
}

/// What /halt does to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    /// Only the buildlet ends, or registers again.
    Stay,
    Halt,
    Reboot,
}

impl Args {
    /// Puts flags, configuration file and defaults together.
    pub(crate) fn config(self) -> anyhow::Result<Config> {
        let file = match &self.config {
            Some(path) => Settings::read(path)?,
            None => Settings::default(),
        };
        self.settings.or(file).config()
    }
}

impl Settings {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{}", path.display()))
    }

    /// What is not said here is taken from `file`.
    fn or(self, file: Self) -> Self {
        Self {
            // Which of the two it is, is one question.
            reverse_type: match self.swarming_bot {
                Some(true) => None,
                _ => self.reverse_type.clone().or(file.reverse_type),
            },
            swarming_bot: match self.reverse_type {
                Some(_) => self.swarming_bot,
                None => self.swarming_bot.or(file.swarming_bot),
            },
            gomote_server_addr: self.gomote_server_addr.or(file.gomote_server_addr),
            coordinator: self.coordinator.or(file.coordinator),
            hostname: self.hostname.or(file.hostname),
            key_file: self.key_file.or(file.key_file),
            dev_key: self.dev_key.or(file.dev_key),
            ca: self.ca.or(file.ca),
            insecure: self.insecure.or(file.insecure),
            once: self.once.or(file.once),
            health_addr: self.health_addr.or(file.health_addr),
            listen: self.listen.or(file.listen),
            password_file: self.password_file.or(file.password_file),
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            workdir: self.workdir.or(file.workdir),
            isolation: self.isolation.or(file.isolation),
            ssh: self.ssh.or(file.ssh),
            halt: self.halt.or(file.halt),
            reboot: self.reboot.or(file.reboot),
        }
    }

    fn config(self) -> anyhow::Result<Config> {
        let insecure = self.insecure.unwrap_or(false);
        let power = match (self.reboot, self.halt) {
            (Some(true), _) => Power::Reboot,
            (_, Some(true)) => Power::Halt,
            _ => Power::Stay,
        };
        let registers = match (self.reverse_type, self.swarming_bot) {
            (Some(_), Some(true)) => bail!(
                "`reverse-type` and `swarming-bot` contradict each other: a machine works for a coordinator or for a gomote server"
            ),
            (Some(host_type), _) => {
                let role = Role::Builder {
                    host_type,
                    key_file: self.key_file,
                    dev_key: self.dev_key.unwrap_or(false),
                };
                Some((
                    role,
                    self.coordinator.as_deref().unwrap_or("localhost:8119"),
                ))
            }
            (None, Some(true)) => {
                let address = self.gomote_server_addr.as_deref();
                Some((Role::Gomote, address.unwrap_or("gomotessh.golang.org:443")))
            }
            (None, _) => None,
        };
        let mode = match registers {
            Some((role, coordinator)) => Mode::Reverse(Reverse {
                role,
                coordinator: with_port(coordinator),
                hostname: self.hostname,
                trust: match (self.ca, insecure) {
                    (Some(_), true) => bail!(
                        "`ca` and `insecure` contradict each other: the one names whom to trust, the other trusts anybody"
                    ),
                    (Some(file), false) => Trust::Authorities(file),
                    (None, true) => Trust::Anybody,
                    (None, false) => Trust::System,
                },
                once: self.once.unwrap_or(false),
                health_address: match self.health_addr.as_deref() {
                    Some("none" | "") => None,
                    Some(address) => Some(address.to_owned()),
                    None => Some("localhost:8080".to_owned()),
                },
            }),
            None => Mode::Listen(Listen {
                address: listen_address(self.listen.as_deref().unwrap_or("AUTO")),
                password_file: self.password_file,
                tls: match (self.tls_cert, self.tls_key) {
                    (Some(cert), Some(key)) => Some((cert, key)),
                    (None, None) => None,
                    _ => bail!(
                        "`tls-cert` and `tls-key` belong together, and only one of them is given"
                    ),
                },
                insecure,
            }),
        };
        Ok(Config {
            mode,
            workdir: self.workdir,
            isolation: self.isolation.unwrap_or(Isolation::Process),
            ssh: self.ssh.unwrap_or(Ssh::Builtin),
            power,
        })
    }
}

/// An address without a port means that of HTTPS.
fn with_port(address: &str) -> String {
    let has_port = match address.rsplit_once(':') {
        // "[::1]" has colons, and no port.
        Some((_, port)) => !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()),
        None => false,
    };
    if has_port {
        address.to_owned()
    } else {
        format!("{address}:443")
    }
}

/// Upstream's forms: `AUTO`, and `:PORT` for every address of the machine.
fn listen_address(address: &str) -> String {
    match address {
        "AUTO" => "localhost:5936".to_owned(),
        _ if address.starts_with(':') => format!("[::]{address}"),
        _ => address.to_owned(),
    }
}
