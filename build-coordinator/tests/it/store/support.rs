use build_coordinator::model::{
    AfterAttempt, BuildKey, Cause, Change, NewBuild, Purpose, Timestamp,
};
use build_coordinator::store::{Store, StoreConfig};
use tempfile::TempDir;

/// A store that goes away with this.
pub(crate) struct Scratch {
    pub(crate) store: Store,
    pub(crate) config: StoreConfig,
    /// The URL, for looking at it from outside.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(dead_code, reason = "only servers have one")
    )]
    pub(crate) url: Option<String>,
    _dir: Option<TempDir>,
}

pub(crate) async fn sqlite() -> Scratch {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig::sqlite(dir.path().join("state/coordinator.db"));
    Scratch {
        store: Store::open(config.clone()).await.unwrap(),
        config,
        url: None,
        _dir: Some(dir),
    }
}

/// A schema of its own in PostgreSQL, or `None` where there is none to test with.
#[cfg(feature = "postgres")]
pub(crate) async fn postgres() -> Option<Scratch> {
    use std::sync::atomic::{AtomicU32, Ordering};

    use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

    static SCHEMAS: AtomicU32 = AtomicU32::new(0);
    let server = tokio::task::spawn_blocking(harness::postgres_or_skip)
        .await
        .unwrap()?;
    let schema = format!(
        "test_{}_{}",
        std::process::id(),
        SCHEMAS.fetch_add(1, Ordering::Relaxed)
    );
    let mut connection = sqlx::PgConnection::connect(server.url()).await.unwrap();
    for text in [
        format!("DROP SCHEMA IF EXISTS {schema} CASCADE"),
        format!("CREATE SCHEMA {schema}"),
    ] {
        connection.execute(AssertSqlSafe(text)).await.unwrap();
    }
    let url = server.url_of_schema(&schema);
    // Not renewed while a test takes it away.
    let hour = std::time::Duration::from_secs(3600);
    let config = StoreConfig::from_url(&url).unwrap().lease(hour);
    Some(Scratch {
        store: Store::open(config.clone()).await.unwrap(),
        config,
        url: Some(url),
        _dir: None,
    })
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

pub(crate) fn ended(attempt: u32, cause: Cause) -> Change {
    Change::AttemptEnded {
        attempt,
        cause,
        message: String::new(),
        then: AfterAttempt::Done,
    }
}
