//! A coordinator with everything that it needs, put together.

use std::fs::{self, OpenOptions};
use std::future::ready;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use build_coordinator::blobs::{Blobs, FileBlobs};
use build_coordinator::coordinator::{Coordinator, Parts};
use build_coordinator::notify::HttpCourier;
use build_coordinator::web::{Backend, Certificate, Reading, Server, Site, SiteConfig};
use buildlet::AS_BUILDLET;
use buildlet_pool::{
    BuildletPool, HostPolicy, ProcessConfig, ProcessPool, Program, Reuse, ReverseConfig,
    ReversePool,
};
use buildlet_proto::key::MasterKey;
use dashboard_config::{Config, Host, Pool};
use revdial::{FrontDoor, FrontDoorConfig, PickupRegistry};
use rustls::crypto::ring::default_provider;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::args::RunArgs;
use crate::repository::local_buildlets;
use crate::state::State;

/// The bytes of a new master key.
const MASTER_KEY: usize = 32;

/// How somebody comes by a token.
const TOKEN_HINT: &str =
    "The command “coordinator token create --name NAME”, on the coordinator's machine, makes one.";

/// What runs.
pub(crate) struct System {
    pub(crate) coordinator: Coordinator,
    /// Where the page, the API and the machines are.
    pub(crate) address: SocketAddr,
    pools: Vec<ProcessPool>,
    reverse: ReversePool,
    server: AbortOnDropHandle<anyhow::Result<()>>,
    stop_serving: CancellationToken,
}

impl System {
    pub(crate) async fn start(
        config: Config,
        config_files: Vec<PathBuf>,
        State { dir, store, git }: State,
        args: &RunArgs,
    ) -> anyhow::Result<Self> {
        let state = dir.as_path();
        let blobs: Arc<dyn Blobs> = match &args.blobs {
            Some(address) => bucket(address).await.context("cannot use --blobs")?,
            None => Arc::new(
                FileBlobs::open(state.join("blobs"))
                    .await
                    .context("cannot keep logs and files")?,
            ),
        };

        let listener = TcpListener::bind(&args.listen)
            .await
            .with_context(|| format!("cannot listen on {}", args.listen))?;
        let address = listener.local_addr().context("cannot listen")?;
        let tls = state.join("tls");
        let (certificate, trusted) = certificate(&tls, args)?;
        let reverse = ReversePool::new(reverse_config(&config, state)?)?;
        let pools = local_pools(&config, &reverse, address, &trusted, state).await?;

        let coordinator = Coordinator::start(
            config,
            Parts {
                store,
                git,
                blobs,
                pools: vec![Arc::new(reverse.clone())],
                live_logs: state.join("live"),
                config_files,
                courier: Some(Arc::new(HttpCourier::new(Arc::new(default_provider())))),
            },
        )
        .await
        .context("cannot start")?;
        let stop_serving = CancellationToken::new();
        let reading = if args.closed {
            Reading::Closed
        } else {
            Reading::Open
        };
        let backend: Arc<dyn Backend> = Arc::new(coordinator.clone());
        let site = Site::new(
            backend,
            SiteConfig::default()
                .reading(reading)
                .token_hint(TOKEN_HINT),
            stop_serving.clone(),
        )
        .context("cannot serve the page")?;
        let door = FrontDoor::new(
            FrontDoorConfig::default(),
            PickupRegistry::new(),
            reverse.clone(),
        )?;
        let admitting = reverse.clone();
        let admit = move |machine| {
            admitting.admit(machine);
            ready(())
        };
        let serving =
            Server::new(site, door, certificate).serve(listener, admit, stop_serving.clone());
        Ok(Self {
            coordinator,
            address,
            pools,
            reverse,
            server: AbortOnDropHandle::new(tokio::spawn(async move {
                serving.await.context("cannot serve")
            })),
            stop_serving,
        })
    }

    /// Ends what runs once `finish` is cancelled, or stops it when `stop` is. Nothing is left behind.
    pub(crate) async fn end(self, stop: &CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            () = self.coordinator.drain() => {}
            () = stop.cancelled() => self.coordinator.stop().await,
        }
        for pool in &self.pools {
            pool.stop().await;
        }
        self.reverse.shutdown().await;
        self.stop_serving.cancel();
        self.server.await.context("the server was lost")?
    }
}

#[cfg(any(feature = "s3", feature = "gcs"))]
async fn bucket(address: &str) -> anyhow::Result<Arc<dyn Blobs>> {
    use build_coordinator::blobs::ObjectBlobs;
    let settings = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let tls = program::tls_client_config(None, false)?;
    let blobs = ObjectBlobs::open(address, settings, tls)?;
    blobs.check().await?;
    Ok(Arc::new(blobs))
}

#[cfg(not(any(feature = "s3", feature = "gcs")))]
async fn bucket(address: &str) -> anyhow::Result<Arc<dyn Blobs>> {
    anyhow::bail!(
        "{address}: this program was compiled without buckets; `cargo build --features s3,gcs` brings them"
    )
}

/// The certificate, and the file by which the machines that are started here know it.
fn certificate(folder: &Path, args: &RunArgs) -> anyhow::Result<(Certificate, PathBuf)> {
    if let (Some(chain), Some(key)) = (&args.cert, &args.key) {
        return Ok((Certificate::from_files(chain, key)?, chain.clone()));
    }
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    names.extend(host_name());
    Ok((
        Certificate::kept_in(folder, &names)?,
        folder.join("cert.pem"),
    ))
}

fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    let good = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    (!name.is_empty() && name.len() < 64 && name.chars().all(good)).then(|| name.to_owned())
}

fn reverse_config(config: &Config, state: &Path) -> anyhow::Result<ReverseConfig> {
    let mut reverse = ReverseConfig::default();
    if config.hosts().any(|host| host.pool == Pool::Reverse) {
        reverse = reverse.master_key(master_key(&state.join("master-key"))?);
    }
    for host in config.hosts() {
        let expected = match host.pool {
            Pool::Process => local_count(host),
            _ => host.expect_num,
        };
        let reuse = if host.pool == Pool::Reverse && host.hermetic_reverse {
            Reuse::Never
        } else {
            Reuse::Cleaned
        };
        let policy = HostPolicy::default()
            .expected(expected as usize)
            .reuse(reuse);
        reverse = reverse.policy(host.name.as_str(), policy);
    }
    Ok(reverse)
}

/// The key that makes those of the machines, which `genbuilderkey` reads too; made at the first start.
fn master_key(path: &Path) -> anyhow::Result<MasterKey> {
    let what = || format!("cannot use the master key {}", path.display());
    let content = match fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut secret = [0; MASTER_KEY];
            getrandom::fill(&mut secret).context("the system has no random numbers")?;
            let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            write_secret(path, &text).with_context(what)?;
            text.into_bytes()
        }
        Err(error) => return Err(error).with_context(what),
    };
    MasterKey::from_file_content(&content).with_context(what)
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// How many buildlets of this type run on this machine.
fn local_count(host: &Host) -> u32 {
    match host.expect_num {
        0 => local_buildlets(),
        count => count,
    }
}

/// Buildlets on this machine, for each host type that says so.
async fn local_pools(
    config: &Config,
    reverse: &ReversePool,
    address: SocketAddr,
    trusted: &Path,
    state: &Path,
) -> anyhow::Result<Vec<ProcessPool>> {
    let mut pools = Vec::new();
    for host in config.hosts().filter(|host| host.pool == Pool::Process) {
        let program =
            Program::this_program([AS_BUILDLET]).context("cannot tell which program this is")?;
        let at = format!("localhost:{}", address.port());
        let config = ProcessConfig::new(program, at, state.join("machines").join(&host.name))
            .certificate(trusted)
            .host_type(host.name.as_str())
            .name(host.name.as_str())
            .inherit(host.inherit_env.iter().map(String::as_str))
            .count(local_count(host) as usize);
        pools.push(ProcessPool::start(config, reverse.clone()).await?);
    }
    Ok(pools)
}
