use build_coordinator::model::{BuildKey, Change, NewBuild, Purpose, Timestamp};
use build_coordinator::store::{Store, StoreConfig};
use tempfile::TempDir;

/// A store in a folder that goes away with it.
pub(crate) struct Scratch {
    pub(crate) store: Store,
    pub(crate) config: StoreConfig,
    _dir: TempDir,
}

pub(crate) async fn sqlite() -> Scratch {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig::sqlite(dir.path().join("state/coordinator.db"));
    Scratch {
        store: Store::open(config.clone()).await.unwrap(),
        config,
        _dir: dir,
    }
}

pub(crate) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// A build of the `n`-th revision.
pub(crate) fn new_build(n: u64, builder: &str) -> NewBuild {
    NewBuild {
        key: BuildKey {
            repository: "tools".into(),
            revision: format!("{n:040x}").parse().unwrap(),
            builder: builder.into(),
            base: None,
        },
        branch: Some("main".into()),
        host_type: "host-linux".into(),
        purpose: Purpose::Head,
        reason: "newest commit of main".into(),
    }
}

pub(crate) fn started(attempt: u32, machine: &str, owner: &str) -> Change {
    Change::AttemptStarted {
        attempt,
        machine: machine.into(),
        owner: owner.into(),
    }
}
