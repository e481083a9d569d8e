use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use build_coordinator::blobs::{BlobName, FileBlobs};
use build_coordinator::coordinator::{Coordinator, Parts};
use build_coordinator::git::{Git, GitConfig};
use build_coordinator::model::{BuildDetail, BuildId, Cause};
use build_coordinator::notify::Courier;
use build_coordinator::store::{BuildFilter, OpenStoreError, Store, StoreConfig};
use buildlet_pool::{
    BuildletPool, GetBuildletError, Lease, LeaseControl, LeaseError, LeaseOptions, LeaseRequest,
    LostReason, Machine, MachineId, Metrics, OfferEvent, Offers, PoolStatus, Verdict,
};
use buildlet_proto::client::{BuildletClient as _, Config as ClientConfig};
use buildlet_proto::test_support::FakeBuildlet;
use dashboard_config::Config;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, watch};

/// Only ever waited for in full if a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// A pool of buildlets in this process, of one host type.
pub(crate) struct FakePool {
    machines: Vec<FakeMachine>,
    events: mpsc::UnboundedSender<OfferEvent>,
    followed: Mutex<Option<mpsc::UnboundedReceiver<OfferEvent>>>,
}

struct FakeMachine {
    machine: Arc<Machine>,
    buildlet: FakeBuildlet,
    /// Whether somebody has it.
    leased: Arc<Mutex<bool>>,
    lost: watch::Sender<Option<LostReason>>,
}

struct Control {
    lost: watch::Receiver<Option<LostReason>>,
    leased: Arc<Mutex<bool>>,
    machine: Arc<Machine>,
    dir: PathBuf,
    events: mpsc::UnboundedSender<OfferEvent>,
}

#[async_trait]
impl LeaseControl for Control {
    fn renew(&self, _: Duration) -> Result<(), LostReason> {
        Ok(())
    }

    async fn lost(&self) -> LostReason {
        let mut lost = self.lost.clone();
        match lost.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap(),
            Err(_) => LostReason::Shutdown,
        }
    }

    fn end(&self, _: Verdict) {
        let _ = std::fs::remove_dir_all(self.dir.join("src"));
        *self.leased.lock().unwrap() = false;
        if self.lost.borrow().is_none() {
            let _ = self.events.send(OfferEvent::Offered(self.machine.clone()));
        }
    }
}

impl FakePool {
    pub(crate) fn new(machines: u64) -> Arc<Self> {
        let (events, followed) = mpsc::unbounded_channel();
        let machines = (1..=machines).map(|number| {
            let machine =
                Machine::new(MachineId::new(number), "linux".into(), format!("m{number}"));
            let machine = Arc::new(machine);
            events.send(OfferEvent::Offered(machine.clone())).unwrap();
            FakeMachine {
                machine,
                buildlet: FakeBuildlet::start().unwrap(),
                leased: Arc::default(),
                lost: watch::Sender::new(None),
            }
        });
        Arc::new(Self {
            machines: machines.collect(),
            events,
            followed: Mutex::new(Some(followed)),
        })
    }

    /// Cuts the power of a machine, counted from 0.
    pub(crate) fn crash(&self, machine: usize) {
        let found = &self.machines[machine];
        found.buildlet.crash();
        let reason = LostReason::Disconnected("power".into());
        found.lost.send_replace(Some(reason.clone()));
        let gone = OfferEvent::Gone {
            machine: found.machine.id,
            reason,
        };
        self.events.send(gone).unwrap();
    }

    pub(crate) fn work_dir(&self, machine: usize) -> &Path {
        self.machines[machine].buildlet.work_dir()
    }
}

#[async_trait]
impl BuildletPool for FakePool {
    fn description(&self) -> String {
        "buildlets of a test".into()
    }

    async fn get_buildlet(&self, _: LeaseRequest) -> Result<Lease, GetBuildletError> {
        Err(GetBuildletError::Closed)
    }

    async fn lease(&self, machine: MachineId, _: LeaseOptions) -> Result<Lease, LeaseError> {
        let found = self
            .machines
            .iter()
            .find(|found| found.machine.id == machine);
        let found = found.filter(|found| found.lost.borrow().is_none());
        let found = found.ok_or(LeaseError::NoSuchMachine { machine })?;
        assert!(
            !std::mem::replace(&mut *found.leased.lock().unwrap(), true),
            "a machine is given to one holder"
        );
        let client = found.buildlet.client(ClientConfig::default()).unwrap();
        assert!(client.broken().is_none());
        let control = Control {
            lost: found.lost.subscribe(),
            leased: found.leased.clone(),
            machine: found.machine.clone(),
            dir: found.buildlet.work_dir().to_owned(),
            events: self.events.clone(),
        };
        Ok(Lease::new(
            found.machine.clone(),
            Arc::new(client),
            Box::new(control),
        ))
    }

    fn offers(&self) -> Offers {
        let mut events = self.followed.lock().unwrap().take().expect("one follower");
        Offers::new(futures_util::stream::poll_fn(move |cx| {
            events.poll_recv(cx)
        }))
    }

    fn status(&self) -> PoolStatus {
        PoolStatus::default()
    }

    fn metrics(&self) -> Metrics {
        Metrics::default()
    }

    fn set_drained(&self, _: MachineId, _: bool) -> bool {
        false
    }

    async fn drain(&self) {}

    async fn shutdown(&self) {}
}

/// A folder with a repository, and the state of coordinators.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    builders: String,
    machine_return: &'static str,
}

impl Place {
    /// A repository with one commit, in which there is a file `version` with the text `1`; `builders` is TOML.
    pub(crate) fn new(builders: &str) -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
            builders: builders.to_owned(),
            machine_return: "30s",
        };
        std::fs::create_dir(place.repository()).unwrap();
        place.git(&["init", "--quiet", "--initial-branch=main"]);
        place.commit("1");
        place
    }

    /// How long builds wait for machines that are lost.
    pub(crate) fn machine_return(mut self, time: &'static str) -> Self {
        self.machine_return = time;
        self
    }

    /// The same place with other builders.
    pub(crate) fn with_builders(self, builders: &str) -> Self {
        Self {
            builders: builders.to_owned(),
            ..self
        }
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=A",
                "-c",
                "user.email=a@example.org",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .current_dir(self.repository())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Commits another version; gives the commit's name.
    pub(crate) fn commit(&self, version: &str) -> String {
        std::fs::write(self.repository().join("version"), version).unwrap();
        self.git(&["add", "version"]);
        self.git(&["commit", "--quiet", "-m", &format!("version {version}")]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    pub(crate) fn config(&self) -> Config {
        let text = self.config_text();
        Config::parse("builders.toml", &text).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn config_text(&self) -> String {
        format!(
            "[environment]\nmachine_return = '{}'\n[repo.site]\nclone_url = '{}'\npoll = '1s'\nhistory = 100\n\
             [host.linux]\npool = 'process'\n{}",
            self.machine_return,
            self.repository().display(),
            self.builders
        )
    }

    pub(crate) async fn store(&self) -> Store {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            match Store::open(StoreConfig::sqlite(self.path("coordinator.db"))).await {
                // A process that another test is about to start has a copy of the lock, until it becomes another program.
                Err(OpenStoreError::InUse { .. }) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                opened => return opened.unwrap(),
            }
        }
    }

    pub(crate) async fn start(&self, pool: &Arc<FakePool>) -> System {
        self.start_with(pool, None).await
    }

    pub(crate) async fn start_with(
        &self,
        pool: &Arc<FakePool>,
        courier: Option<Arc<dyn Courier>>,
    ) -> System {
        self.start_pool(pool.clone(), courier).await
    }

    pub(crate) async fn start_pool(
        &self,
        pool: Arc<dyn BuildletPool>,
        courier: Option<Arc<dyn Courier>>,
    ) -> System {
        let parts = Parts {
            courier,
            ..self.parts(pool).await
        };
        System {
            coordinator: Coordinator::start(self.config(), parts).await.unwrap(),
        }
    }

    pub(crate) async fn parts(&self, pool: Arc<dyn BuildletPool>) -> Parts {
        Parts {
            store: self.store().await,
            git: Git::open(self.path("git"), GitConfig::default())
                .await
                .unwrap(),
            blobs: Arc::new(FileBlobs::open(self.path("blobs")).await.unwrap()),
            pools: vec![pool],
            live_logs: self.path("live"),
            config_files: Vec::new(),
            courier: None,
        }
    }
}

pub(crate) struct System {
    pub(crate) coordinator: Coordinator,
}

impl System {
    /// Waits until there are so many builds that `is_so` holds for, and gives them, oldest first.
    pub(crate) async fn until(
        &self,
        count: usize,
        is_so: impl Fn(&BuildDetail) -> bool,
    ) -> Vec<BuildDetail> {
        let looking = async {
            loop {
                let found = self.builds().await;
                let found: Vec<_> = found.into_iter().filter(|build| is_so(build)).collect();
                if found.len() >= count {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(DEADLINE, looking).await {
            Ok(found) => found,
            Err(_) => panic!("it does not happen: {:#?}", self.builds().await),
        }
    }

    pub(crate) async fn builds(&self) -> Vec<BuildDetail> {
        let store = self.coordinator.store();
        let page = store.builds(&BuildFilter::default(), 1000).await.unwrap();
        let mut builds = Vec::new();
        for row in page.builds.iter().rev() {
            builds.push(store.detail(row.build.id).await.unwrap().unwrap());
        }
        builds
    }

    pub(crate) async fn done(&self, count: usize) -> Vec<BuildDetail> {
        self.until(count, |build| build.build.cause().is_some())
            .await
    }

    pub(crate) async fn log(&self, build: &BuildDetail, attempt: usize) -> String {
        let stored = build.attempts[attempt]
            .log
            .as_ref()
            .expect("its log is stored");
        let name: BlobName = stored.blob.parse().unwrap();
        let mut text = String::new();
        let mut log = self
            .coordinator
            .logs()
            .read(&name, 0..u64::MAX)
            .await
            .unwrap();
        log.read_to_string(&mut text).await.unwrap();
        assert_eq!(text.len() as u64, stored.bytes);
        text
    }
}

pub(crate) fn causes(build: &BuildDetail) -> Vec<Option<Cause>> {
    build
        .attempts
        .iter()
        .map(build_coordinator::model::Attempt::cause)
        .collect()
}

pub(crate) fn builder(name: &str, more: &str, run: &str) -> String {
    format!(
        "[builder.{name}]\nhost_type = 'linux'\nisolation = 'none'\nretry = {{ delay = '10ms' }}\n{more}\n[[builder.{name}.step]]\nrun = '{run}'\n"
    )
}

/// A step that ends when the file `go` is in the folder of the test.
pub(crate) fn gate(dir: &Path) -> String {
    format!(
        "echo $$ > pid.tmp; mv pid.tmp pid; until [ -e {}/go ]; do sleep 0.02; done; cat version",
        dir.display()
    )
}

/// Waits until a machine runs the gate's step, and gives its process id.
pub(crate) async fn pid(pool: &FakePool, machine: usize) -> u32 {
    let path = pool.work_dir(machine).join("src/pid");
    crate::run::eventually(|| std::fs::read_to_string(&path).ok()?.trim().parse().ok()).await
}

pub(crate) fn open_gate(dir: &Path) {
    std::fs::write(dir.join("go"), "").unwrap();
}

pub(crate) fn id(build: &BuildDetail) -> BuildId {
    build.build.id
}
