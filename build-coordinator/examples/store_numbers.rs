//! Measures a store: `cargo run --release -p build-coordinator --example store_numbers [URL]`.
//!
//! Without a URL it uses a SQLite file in a temporary folder. Results are medians of many calls, on the machine as it is.

use std::error::Error;
use std::future::Future;
use std::time::{Duration, Instant};

use build_coordinator::model::{
    AfterAttempt, BranchUpdate, BuildKey, Cause, Change, Commit, NewBuild, Purpose, Revision,
    Timestamp,
};
use build_coordinator::store::{BuildFilter, Store, StoreConfig, StoreError};

const BUILDERS: u64 = 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let config = match std::env::args().nth(1) {
        Some(url) => StoreConfig::from_url(&url)?,
        None => StoreConfig::sqlite(dir.path().join("coordinator.db")),
    };
    let store = Store::open(config).await?;
    println!("| what | measured |\n|---|---|");
    writes(&store).await?;
    let mut commits = 0;
    for builds in [1_000, 100_000] {
        fill(&store, &mut commits, builds / BUILDERS).await?;
        reads(&store, builds).await?;
    }
    store.close().await?;
    Ok(())
}

/// Changes a second: from one caller, who waits for each, and from many.
async fn writes(store: &Store) -> Result<(), Box<dyn Error>> {
    for (callers, each) in [(1, 200_u64), (64, 50)] {
        let begun = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for caller in 0..callers {
            let store = store.clone();
            tasks.spawn(async move {
                for n in 0..each {
                    let builder = format!("writer{callers}.{caller}");
                    one_build(&store, n, &builder).await?;
                }
                Ok::<(), StoreError>(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        let took = begun.elapsed().as_secs_f64();
        let builds = f64::from(callers) * each as f64;
        println!(
            "| builds a second, five changes each, {callers} callers | {:.0} ({:.0} changes) |",
            builds / took,
            builds * 5.0 / took
        );
    }
    Ok(())
}

async fn one_build(store: &Store, n: u64, builder: &str) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let id = store.enqueue(now, new_build(n, builder)).await?.build.id;
    for change in changes() {
        store.record(id, now, change).await?;
    }
    Ok(())
}

/// Makes it `commits` commits, each with ten builds that are done.
async fn fill(store: &Store, have: &mut u64, commits: u64) -> Result<(), StoreError> {
    let now = Timestamp::now();
    while *have < commits {
        let until = commits.min(*have + 100);
        let update = BranchUpdate {
            repository: "tools".into(),
            branch: "main".into(),
            head: revision(until - 1),
            removed: Vec::new(),
            newer: (*have..until).map(commit).collect(),
            older: Vec::new(),
            history: 0,
        };
        store.update_branch(now, update).await?;
        let all = (*have..until)
            .flat_map(|n| (0..BUILDERS).map(move |b| new_build(n, &format!("builder{b}"))))
            .collect();
        let enqueued = store.enqueue_all(now, all).await?;
        let changes = enqueued
            .iter()
            .flat_map(|enqueued| {
                changes()
                    .into_iter()
                    .map(|change| (enqueued.build.id, change))
            })
            .collect();
        store.record_all(now, changes).await?;
        *have = until;
    }
    Ok(())
}

async fn reads(store: &Store, builds: u64) -> Result<(), StoreError> {
    let newest = store.builds(&BuildFilter::default(), 1).await?.builds;
    let id = newest[0].build.id;
    let all = BuildFilter::default();
    let row = |what: &str, time: Duration| {
        println!(
            "| {what}, {builds} builds | {:.2} ms |",
            time.as_secs_f64() * 1e3
        );
    };
    let grid = || store.grid("tools", "main", None, 50);
    row("dashboard, 50 commits of 10 builders", median(grid).await?);
    let grid = || store.grid("tools", "main", None, 100);
    row("dashboard, 1000 cells", median(grid).await?);
    let old = || {
        store.grid(
            "tools",
            "main",
            Some(i64::try_from(builds / 20).unwrap_or(0)),
            50,
        )
    };
    row("dashboard, a page in the middle", median(old).await?);
    row(
        "builds, a page of 100",
        median(|| store.builds(&all, 100)).await?,
    );
    let filter = BuildFilter::default()
        .builder("builder3")
        .cause(Cause::Succeeded);
    row(
        "builds of a builder, a page of 100",
        median(|| store.builds(&filter, 100)).await?,
    );
    let filter = BuildFilter::default().text("commit 7");
    row(
        "search that finds much, 100 results",
        median(|| store.builds(&filter, 100)).await?,
    );
    let filter = BuildFilter::default().text("no such text");
    row(
        "search that finds nothing",
        median(|| store.builds(&filter, 100)).await?,
    );
    row("recent builds, 50", median(|| store.recent(50)).await?);
    row("unfinished builds", median(|| store.unfinished()).await?);
    row(
        "one build with its attempts",
        median(|| store.detail(id)).await?,
    );
    row("its events", median(|| store.events(id)).await?);
    row(
        "durations for an estimate, 50",
        median(|| store.durations("builder3", "tools", 50)).await?,
    );
    Ok(())
}

async fn median<T, F: Future<Output = Result<T, StoreError>>>(
    call: impl Fn() -> F,
) -> Result<Duration, StoreError> {
    let mut times = Vec::new();
    for _ in 0..21 {
        let begun = Instant::now();
        call().await?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

fn changes() -> Vec<Change> {
    vec![
        Change::AttemptStarted {
            attempt: 1,
            machine: "m1".into(),
            owner: "c1".into(),
        },
        Change::StepStarted {
            attempt: 1,
            index: 0,
            name: "test".into(),
            log_offset: 0,
        },
        Change::StepEnded {
            attempt: 1,
            index: 0,
            outcome: build_coordinator::model::StepOutcome::Succeeded,
            message: String::new(),
            log_offset: 1000,
        },
        Change::AttemptEnded {
            attempt: 1,
            cause: Cause::Succeeded,
            message: String::new(),
            then: AfterAttempt::Done,
        },
    ]
}

fn revision(n: u64) -> Revision {
    format!("{n:040x}").parse().expect("forty digits")
}

fn new_build(n: u64, builder: &str) -> NewBuild {
    NewBuild {
        key: BuildKey {
            repository: "tools".into(),
            revision: revision(n),
            builder: builder.into(),
            base: None,
        },
        branch: Some("main".into()),
        host_type: "host-linux".into(),
        purpose: Purpose::Head,
        reason: "newest commit of main".into(),
    }
}

fn commit(n: u64) -> Commit {
    Commit {
        revision: revision(n),
        parents: n.checked_sub(1).map(revision).into_iter().collect(),
        author_name: "A U Thor".into(),
        author_email: "author@example.com".into(),
        committed: Timestamp::now(),
        subject: format!("commit {n}: a subject of a usual length"),
        body: "And a body that says why, in a line or two.".into(),
    }
}
