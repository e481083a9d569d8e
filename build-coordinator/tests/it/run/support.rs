use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use build_coordinator::model::{
    AttemptId, Build, BuildDetail, BuildId, BuildKey, Change, NewBuild, Purpose, StepOutcome,
    Timestamp,
};
use build_coordinator::run::{
    Attempt, Ending, KeepError, Kept, LiveLog, OutputLimit, Plan, Stage, StageError, Stop,
};
use buildlet_pool::{Lease, LeaseControl, LostReason, Machine, MachineId, Verdict};
use buildlet_proto::client::{Archive, Config as ClientConfig, HttpClient};
use buildlet_proto::test_support::FakeBuildlet;
use dashboard_config::Config;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::watch;

/// Only ever waited for in full if a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A buildlet, and one attempt on it.
pub(crate) struct Bench {
    pub(crate) buildlet: FakeBuildlet,
    client: Arc<HttpClient>,
    dir: tempfile::TempDir,
    pub(crate) stage: FakeStage,
    pub(crate) stop: Stop,
    lost: watch::Sender<Option<LostReason>>,
    pub(crate) log: LiveLog,
    limit: OutputLimit,
    plan: Plan,
}

#[derive(Default)]
pub(crate) struct FakeStage {
    pub(crate) changes: Mutex<Vec<Change>>,
    pub(crate) kept: Mutex<Vec<(String, Vec<u8>)>>,
    /// Why there is no source, if there is none.
    pub(crate) no_source: Option<String>,
}

#[async_trait]
impl Stage for FakeStage {
    async fn source(&self, _: &Build) -> Result<Archive, StageError> {
        if let Some(why) = &self.no_source {
            return Err(StageError::new("no source", why.clone()));
        }
        let mut tar = tar::Builder::new(Vec::new());
        let text = b"echo from the source; pwd\n";
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, "run.sh", &text[..]).unwrap();
        Ok(Archive::tar(tar.into_inner().unwrap()))
    }

    async fn record(&self, change: Change) -> Result<(), StageError> {
        self.changes.lock().unwrap().push(change);
        Ok(())
    }

    async fn keep(
        &self,
        _: AttemptId,
        name: &str,
        mut content: Box<dyn AsyncRead + Send + Unpin>,
    ) -> Result<Kept, KeepError> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).await?;
        let kept = Kept {
            blob: format!("blob of {name}"),
            bytes: bytes.len() as u64,
        };
        self.kept.lock().unwrap().push((name.to_owned(), bytes));
        Ok(kept)
    }
}

struct FakeControl(watch::Receiver<Option<LostReason>>);

#[async_trait]
impl LeaseControl for FakeControl {
    fn renew(&self, _: Duration) -> Result<(), LostReason> {
        Ok(())
    }

    async fn lost(&self) -> LostReason {
        let mut lost = self.0.clone();
        let reason = lost.wait_for(Option::is_some).await.unwrap();
        reason.clone().unwrap()
    }

    fn end(&self, _: Verdict) {}
}

impl Bench {
    /// An attempt at these steps, which are TOML; `builder` are further lines of the builder's table.
    pub(crate) fn new(builder: &str, steps: &str) -> Self {
        let text = format!(
            "[repo.site]\nclone_url = '/site'\n[host.linux]\npool = 'process'\n\
             [builder.test]\nhost_type = 'linux'\nisolation = 'none'\n{builder}\n{steps}"
        );
        let config =
            Config::parse("builders.toml", &text).unwrap_or_else(|error| panic!("{error}"));
        let new = NewBuild {
            key: BuildKey {
                repository: "site".into(),
                revision: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
                builder: "test".into(),
                base: None,
            },
            branch: Some("main".into()),
            host_type: "linux".into(),
            purpose: Purpose::Head,
            reason: String::new(),
        };
        let build = BuildDetail::new(BuildId(7), Timestamp::now(), new).build;
        let plan = Plan::new(&config, &build).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let buildlet = FakeBuildlet::start().unwrap();
        let client = buildlet.client(ClientConfig::default()).unwrap();
        Self {
            client: Arc::new(client),
            buildlet,
            log: LiveLog::create(dir.path(), BuildId(7).attempt(1)).unwrap(),
            dir,
            stage: FakeStage::default(),
            stop: Stop::default(),
            lost: watch::Sender::new(None),
            limit: OutputLimit::default(),
            plan,
        }
    }

    pub(crate) fn output_limit(mut self, bytes: u64) -> Self {
        self.limit = OutputLimit(bytes);
        self
    }

    pub(crate) fn lose(&self, reason: LostReason) {
        self.lost.send_replace(Some(reason));
    }

    /// Runs the attempt to its end.
    pub(crate) async fn run(&self) -> Ending {
        let machine = Machine::new(MachineId::new(1), "linux".into(), "m1");
        let control = FakeControl(self.lost.subscribe());
        let lease = Lease::new(Arc::new(machine), self.client.clone(), Box::new(control));
        let mut attempt = Attempt::new(BuildId(7).attempt(1), self.plan.clone(), self.log.clone())
            .output_limit(self.limit);
        let run = attempt.run(&lease, &self.stage, &self.stop);
        let ending = tokio::time::timeout(DEADLINE, run)
            .await
            .expect("an attempt ends");
        self.log.close();
        ending
    }

    pub(crate) async fn text(&self) -> String {
        let mut text = Vec::new();
        self.log.reader_at(0).read_to_end(&mut text).await.unwrap();
        assert_eq!(
            text,
            std::fs::read(self.log.path()).unwrap(),
            "the file has what readers see"
        );
        assert!(self.log.path().starts_with(self.dir.path()));
        String::from_utf8(text).unwrap()
    }

    /// The steps' outcomes in order, after checking that each began before it ended.
    pub(crate) fn outcomes(&self) -> Vec<StepOutcome> {
        let mut outcomes = Vec::new();
        for change in self.stage.changes.lock().unwrap().iter() {
            match change {
                Change::StepStarted { index, .. } => assert_eq!(*index as usize, outcomes.len()),
                Change::StepEnded { index, outcome, .. } => {
                    assert_eq!(*index as usize, outcomes.len());
                    outcomes.push(*outcome);
                }
                _ => {}
            }
        }
        outcomes
    }

    /// Waits until a command of the build has written its process id to `name`, and gives it.
    #[cfg(target_os = "linux")]
    pub(crate) async fn pid(&self, name: &str) -> u32 {
        let path = self.buildlet.work_dir().join("src").join(name);
        eventually(|| std::fs::read_to_string(&path).ok()?.trim().parse().ok()).await
    }
}

/// Waits until there is something.
pub(crate) async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, looking)
        .await
        .expect("it happens")
}

/// Waits until no process has this id.
#[cfg(target_os = "linux")]
pub(crate) async fn gone(pid: u32) {
    let path = PathBuf::from(format!("/proc/{pid}"));
    eventually(|| (!path.exists()).then_some(())).await;
}
