use anyhow::Context as _;
use buildlet_proto::exec::{self, Executor, Launcher};
use buildlet_proto::server::{self, LocalSshd, Server};
use buildlet_proto::types::ext;
use buildlet_proto::workdir::Workdir;
use buildlet_proto::{ssh, ssh_gate};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::args::{Config, Isolation, Power, Ssh};
use crate::machine;

/// Opens the work directory, and makes the server for it. `halted` is cancelled a second after somebody posted `/halt`, unless that
/// is to power the machine off.
pub(crate) async fn start(
    config: &Config,
    host_type: Option<&str>,
    password: Option<String>,
    halted: CancellationToken,
) -> anyhow::Result<Server> {
    let workdir = config.workdir.clone();
    let host_type = host_type.map(ToOwned::to_owned);
    let workdir = spawn_blocking(move || {
        let workdir = match &workdir {
            Some(path) => Workdir::open(path).context("invalid --workdir")?,
            None => Workdir::open_default(host_type.as_deref())?,
        };
        workdir.reset_folders()?;
        anyhow::Ok(workdir)
    })
    .await??;
    tracing::info!("working in {}", workdir.path().display());

    let power = config.power;
    let mut settings = server::Config::default()
        .executor(executor())
        .isolation(match config.isolation {
            Isolation::None => ext::Isolation::None,
            Isolation::Process => ext::Isolation::Process,
            Isolation::Sandbox => ext::Isolation::Sandbox,
        })
        .fetch(fetcher())
        .on_halt(move || halt(power, &halted));
    if let Some(password) = password {
        settings = settings.password(password);
    }
    settings = match config.ssh {
        Ssh::Builtin => {
            let server = ssh::Server::new(ssh::Config::new(workdir.path()))?;
            settings.ssh(ssh::BuiltIn::new(server))
        }
        Ssh::System => settings.ssh(LocalSshd::new(ssh_gate::default_port())),
        Ssh::Off => settings,
    };
    Ok(Server::new(workdir, settings)?)
}

/// What `/writetgz` is told to fetch may come from wherever the system's certificate authorities vouch for, as with Go's buildlet;
/// whom the coordinator is certified by says nothing of that.
fn fetcher() -> server::HttpFetch {
    match program::tls_client_config(None, false) {
        Ok(config) => server::HttpFetch::new().tls(config),
        Err(error) => {
            tracing::warn!("archives can be fetched by http:// only: {error:#}");
            server::HttpFetch::new()
        }
    }
}

/// On Linux, commands have a supervisor: nothing that they start outlives them, or this process.
fn executor() -> Executor {
    let config = exec::Config::default();
    Executor::new(if cfg!(target_os = "linux") {
        config.launcher(Launcher::this_program())
    } else {
        config
    })
}

fn halt(power: Power, halted: &CancellationToken) {
    if power != Power::Stay {
        match machine::power(power) {
            Ok(()) => return,
            Err(error) => tracing::error!("cannot {power:?} the machine: {error}"),
        }
    }
    halted.cancel();
}
